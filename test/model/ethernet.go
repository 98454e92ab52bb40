package model

import (
	"encoding/binary"
	"net/netip"

	"weft/dataplane"
)

const (
	ethLen     = 14
	ethLeast   = 60 // IEEE 802.3 3.2.8: the shortest frame, without its checksum
	typeIPv4   = 0x0800
	typeARP    = 0x0806
	typeVLAN   = 0x8100 // IEEE 802.1Q
	typeQinQ   = 0x88a8
	typeIPv6   = 0x86dd
	tagLen     = 4
	tagVIDMask = 0xfff
)

func isGroup(m dataplane.MAC) bool           { return m[0]&1 != 0 }
func destination(f []byte) (m dataplane.MAC) { return dataplane.MAC(f[:6]) }
func be16(b []byte) int                      { return int(binary.BigEndian.Uint16(b)) }
func put16(b []byte, v int)                  { binary.BigEndian.PutUint16(b, uint16(v)) }

// Forward says what becomes of a frame that came in by a port. The frame is not
// changed.
func (s *State) Forward(frame []byte, port string) Outcome {
	in := s.port(port)
	if in == nil {
		return Outcome{Reason: dataplane.PortUnknown, Frame: frame, Linux: Linux{Does: Undefined, Why: "no such port in the state"}}
	}
	o := s.weft(frame, in)
	o.Linux = s.linux(frame, in)
	return o
}

// packet is what both families have of a packet, as weft forwards it.
type packet struct {
	frame    []byte // without padding that goes
	family   int    // 4 or 6
	src, dst netip.Addr
	ttl      byte
	length   int // bytes of IP
	l4       int // where the header behind that of IP starts, in the frame
	protocol byte
	flow     uint32 // hash
}

// weft says what becomes of a frame in weft: verdict, reason, way out.
func (s *State) weft(frame []byte, in *Port) Outcome {
	punt := func(r dataplane.Reason) Outcome { return Outcome{Reason: r, Frame: frame} }
	if len(frame) < ethLen {
		return punt(dataplane.FrameCorrupted)
	}
	if m := destination(frame); m != in.MAC && !isGroup(m) {
		return punt(dataplane.NotOurMAC)
	}
	switch be16(frame[12:]) {
	case typeIPv4:
		return s.weft4(frame, in)
	case typeIPv6:
		return s.weft6(frame, in)
	case typeARP:
		return punt(dataplane.ARP)
	case typeVLAN, typeQinQ:
		return punt(dataplane.VLANUnknown)
	}
	return punt(dataplane.NonIP)
}

// fit takes padding off a frame, but for what the shortest one has: RFC 1812 5.2.2,
// checklist 2.
func fit(frame []byte, length int) []byte {
	return frame[:min(len(frame), max(ethLen+length, ethLeast))]
}

// route takes a packet that has passed all checks to the end of its way.
func (s *State) route(p *packet, in *Port) Outcome {
	end := func(r dataplane.Reason) Outcome { return Outcome{Reason: r, Frame: p.frame} }
	r := s.lookup(p.dst)
	switch r.Kind {
	case none:
		if p.family == 4 {
			return end(dataplane.IPv4LPMMiss)
		}
		return end(dataplane.IPv6LPMMiss)
	case local:
		return end(dataplane.LocalRoute)
	case broadcast:
		return end(dataplane.Broadcast) // RFC 1812 5.3.5.2
	case Blackhole:
		return end(dataplane.BlackholeRoute)
	case Unreachable, Prohibit:
		return end(dataplane.RejectRoute)
	}
	hops := s.alive(r.Route)
	for _, h := range hops {
		switch {
		case h.Gateway.IsValid():
		case len(r.Hops) > 1: // destinations on several links: only the kernel knows how
			return end(dataplane.PuntRoute)
		case !s.neighbor(h.Port, p.dst).usable():
			return end(dataplane.Glean)
		}
	}
	if isGroup(destination(p.frame)) {
		return end(dataplane.UCDIPOverMCDMAC) // RFC 1812 5.3.4
	}
	if p.ttl <= 1 {
		return end(dataplane.TTLValueIsTooSmall) // RFC 1812 5.3.1, RFC 8200 3
	}
	if in.Partial && checksumLeft(p) {
		return end(dataplane.ChecksumPartial)
	}
	return s.leave(p, r.Route, choose(hops, p.flow))
}

// leave sends a packet to a next hop.
func (s *State) leave(p *packet, r Route, h Hop) Outcome {
	out := s.port(h.Port)
	n := s.neighbor(h.Port, h.to(p.dst))
	if !n.usable() {
		return Outcome{Reason: dataplane.UnresolvedNeigh, Frame: p.frame}
	}
	mtu := out.MTU
	if r.MTU != 0 {
		mtu = min(mtu, r.MTU)
	}
	if p.length > max(mtu, leastMTU4) { // RFC 791 3.2: any link takes that
		return Outcome{Reason: dataplane.MTUValueIsTooSmall, Frame: p.frame}
	}
	f := ethernet(n.MAC, out.MAC, be16(p.frame[12:]), p.frame[ethLen:])
	if p.family == 4 {
		decreaseTTL4(f[ethLen:])
	} else {
		f[ethLen+hopLimitAt]-- // RFC 8200 3
	}
	return Outcome{Reason: dataplane.Forwarded, Port: h.Port, Frame: f}
}

// ethernet makes a frame.
func ethernet(to, from dataplane.MAC, etherType int, payload []byte) []byte {
	f := make([]byte, 0, ethLen+len(payload))
	f = append(append(f, to[:]...), from[:]...)
	f = binary.BigEndian.AppendUint16(f, uint16(etherType))
	return append(f, payload...)
}

// sum adds the 16-bit words of b to a sum: RFC 1071.
func sum(b []byte, n uint32) uint32 {
	for i := 0; i+1 < len(b); i += 2 {
		n += uint32(be16(b[i:]))
	}
	if len(b)%2 == 1 {
		n += uint32(b[len(b)-1]) << 8
	}
	for n > 0xffff {
		n = n>>16 + n&0xffff
	}
	return n
}

// checksum is the Internet checksum (RFC 1071) of b, 0 if b holds its right one.
func checksum(b []byte) int { return int(^sum(b, 0) & 0xffff) }

// checksumLeft tells whether a packet's L4 checksum looks as one that was left to
// hardware: it is the sum of the pseudo-header (RFC 768, RFC 9293 3.1, RFC 8200 8.1),
// or there is no CRC yet (RFC 9260 6.8).
func checksumLeft(p *packet) bool {
	l4 := p.frame[p.l4:]
	switch at := map[byte]int{6: 16, 17: 6, 132: 8}[p.protocol]; p.protocol {
	case 132:
		return len(l4) >= at+4 && binary.BigEndian.Uint32(l4[at:]) == 0
	case 6, 17:
		length := p.length - (p.l4 - ethLen)
		pseudo := append(append([]byte{}, p.src.AsSlice()...), p.dst.AsSlice()...)
		pseudo = append(pseudo, byte(length>>8), byte(length), 0, p.protocol)
		return len(l4) >= at+2 && int(sum(pseudo, 0))%0xffff == be16(l4[at:])%0xffff
	}
	return false
}
