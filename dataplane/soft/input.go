package soft

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"weft/dataplane"
	"weft/dataplane/packet"
	"weft/dataplane/soft/device"
	"weft/fib"
)

// head is the first line of a frame. A frame has always so many bytes, whatever the packet
// in it has.
type head [64]byte

const (
	etherIPv4 = 0x0008 // as they lie in a frame
	etherIPv6 = 0xdd86

	at4 = packet.EthernetLen // of the IP header
	at6 = packet.EthernetLen
)

func (h *head) word16(at int) uint16 { return binary.LittleEndian.Uint16(h[at:]) }
func (h *head) word32(at int) uint32 { return binary.LittleEndian.Uint32(h[at:]) }
func (h *head) word64(at int) uint64 { return binary.LittleEndian.Uint64(h[at:]) }

func (w *Worker) head(d *device.Descriptor) *head { return (*head)(unsafe.Add(w.base, d.Address)) }

// input looks at all packets of the vector: those that have nothing unusual about them
// are known by a few comparisons, here, and go on. All others take their time.
func (w *Worker) input(s *state) {
	v := &w.v
	four, six := &v.four, &v.six
	seen := uint32(0)
	for i := range v.n {
		i := uint8(i)
		d := &v.packets[i]
		v.bytes[i] = d.Length
		h := w.head(d)
		p := s.port(d.Port)
		seen |= p.flags
		if (h.word64(0)^p.mac)<<16 != 0 {
			w.inputSlow(s, i)
			continue
		}
		switch h.word16(12) {
		case etherIPv4:
			first, ttl, src, dst := h.word32(at4), h.word32(at4+8), h.word32(at4+12), h.word32(at4+16)
			sum := uint64(first) + uint64(h.word32(at4+4)) + uint64(ttl) + uint64(src) + uint64(dst)
			length := uint32(bits.ReverseBytes16(uint16(first >> 16)))
			src, dst = bits.ReverseBytes32(src), bits.ReverseBytes32(dst)
			if first&0xff == 0x45 && length+at4 == d.Length && length >= packet.IPv4Len && packet.IsRight(sum) &&
				packet.IsPlain4(src, dst) && p.flags&forwardsIPv4 != 0 {
				four.add(i, p, dst, ttl)
				continue
			}
		case etherIPv6:
			first := h.word64(at6)
			length := uint32(bits.ReverseBytes16(uint16(first>>32))) + packet.IPv6Len
			if first&0xf0 == 0x60 && length+at6 == d.Length && uint8(first>>48) != 0 &&
				packet.IsPlain6(h[at6+8], h[at6+24]) && p.flags&forwardsIPv6 != 0 {
				six.add(i, p, fib.Addr6{Hi: bits.ReverseBytes64(h.word64(at6 + 24)), Lo: bits.ReverseBytes64(h.word64(at6 + 32))})
				continue
			}
		}
		w.inputSlow(s, i)
	}
	v.seen = seen
	v.endRuns()
}

// inputSlow is input for any packet, in the steps and the order of
// bpf/include/weft/router.h: it goes on, or ends with a reason.
func (w *Worker) inputSlow(s *state, i uint8) {
	v := &w.v
	d := &v.packets[i]
	if s.vlans {
		w.popTags(s, i)
	}
	frame, p := w.mem.Packet(*d), s.port(d.Port)
	d.Port = p.number
	if len(frame) < packet.EthernetLen {
		v.end(i, dataplane.FrameCorrupted)
		return
	}
	h := w.head(d)
	if (h.word64(0)^p.mac)<<16 != 0 {
		if p.number == 0 {
			v.end(i, dataplane.PortUnknown)
			return
		}
		if !packet.IsGroup(frame) {
			v.end(i, dataplane.NotOurMAC)
			return
		}
	}
	if packet.IsGroup(frame) {
		v.flags[i] |= toGroup
	}
	var r dataplane.Reason
	var length int
	needs := uint32(0)
	etherType := packet.EtherType(frame)
	switch etherType {
	case packet.TypeIPv4:
		r, length = packet.CheckIPv4(frame)
		needs = forwardsIPv4
	case packet.TypeIPv6:
		r, length = packet.CheckIPv6(frame)
		needs = forwardsIPv6
	default:
		r, length = packet.Other(etherType), len(frame)
	}
	d.Length = uint32(length)
	switch {
	case r != dataplane.Forwarded:
	case p.flags&needs == 0 && p.number == 0:
		r = dataplane.PortUnknown
	case p.flags&needs == 0:
		r = dataplane.IrifDisabled
	}
	if r != dataplane.Forwarded {
		v.end(i, r)
		return
	}
	if needs == forwardsIPv4 {
		v.four.add(i, p, bits.ReverseBytes32(h.word32(at4+16)), h.word32(at4+8))
		return
	}
	v.six.add(i, p, packet.IPv6(frame[at6:]).Destination())
}

// popTags takes off the tags that lead to a port, and makes the packet that port's.
func (w *Worker) popTags(s *state, i uint8) {
	v := &w.v
	d := &v.packets[i]
	frame, number := w.mem.Packet(*d), d.Port
	n := 0
	for ; n < packet.MaxTags; n++ {
		t, ok := packet.TagAt(frame, n)
		if !ok || !s.follow(&number, t) {
			break
		}
		v.tag[i][n] = t
	}
	if n == 0 {
		return
	}
	packet.PopTags(frame, n)
	d.Address += uint64(n * packet.TagLen)
	d.Length -= uint32(n * packet.TagLen)
	d.Port = number
	v.tags[i] = uint8(n)
}

// follow takes one tag of a frame that came in by a port, and tells whether it leads on.
// Identifier 0 is no VLAN, only a priority: the port stays.
func (s *state) follow(number *uint32, t packet.Tag) bool {
	if t.ID() == 0 {
		return true
	}
	below := s.port(*number)
	if below.vlans == nil {
		return false
	}
	p := s.port(uint32(below.vlans[t.ID()]))
	if p.number == 0 || (p.tpid == packet.Type8021A) != (t.TPID() == packet.Type8021A) {
		return false
	}
	*number = p.number
	return true
}
