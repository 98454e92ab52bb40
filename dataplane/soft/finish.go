package soft

import (
	"weft/dataplane"
	"weft/dataplane/packet"
	"weft/dataplane/soft/device"
	"weft/fib"
)

// finish does what is to be done with packets that do not just leave: what XDP would leave
// to the kernel. One by one: they are few.
func (w *Worker) finish(s *state) {
	view := s.image.View()
	for _, i := range w.v.exceptions[:w.v.ended] {
		w.finishOne(s, &view, i, w.v.reason[i])
	}
}

func (w *Worker) finishOne(s *state, view *fib.View, i uint8, r dataplane.Reason) {
	switch r {
	case dataplane.TTLValueIsTooSmall:
		w.expired(s, view, i)
	case dataplane.MTUValueIsTooSmall:
		w.tooBig(s, view, i)
	case dataplane.IPv4LPMMiss:
		w.answer4(s, view, i, packet.Error{Type: packet.Unreachable4, Code: packet.NetUnreachable}, true)
	case dataplane.IPv6LPMMiss:
		w.answer6(s, view, i, packet.Error{Type: packet.Unreachable6, Code: packet.NoRoute})
	case dataplane.RejectRoute:
		w.rejected(s, view, i)
	case dataplane.Glean, dataplane.UnresolvedNeigh:
		w.unresolved(s, view, i)
	case dataplane.ChecksumPartial:
		w.fill(s, view, i)
	default:
		if r.Verdict() == dataplane.Drop {
			w.free(i)
			return
		}
		w.punt(i)
	}
}

func (w *Worker) isIPv4(i uint8) bool {
	return packet.EtherType(w.mem.Packet(w.v.packets[i])) == packet.TypeIPv4
}

func (w *Worker) expired(s *state, view *fib.View, i uint8) {
	if w.isIPv4(i) {
		w.answer4(s, view, i, packet.Error{Type: packet.TimeExceeded4}, false)
		return
	}
	w.answer6(s, view, i, packet.Error{Type: packet.TimeExceeded6})
}

func (w *Worker) rejected(s *state, view *fib.View, i uint8) {
	code := view.Word(w.v.group[i]).Next().Code
	if w.isIPv4(i) {
		w.answer4(s, view, i, packet.Error{Type: packet.Unreachable4, Code: code}, true)
		return
	}
	w.answer6(s, view, i, packet.Error{Type: packet.Unreachable6, Code: code})
}

// punt hands a packet to the kernel, as it came in: with its tags.
func (w *Worker) punt(i uint8) {
	v := &w.v
	d := v.packets[i]
	w.note(FatePunted, i)
	l := w.link(d.Port)
	if l == nil || l.kernel == nil {
		if l != nil {
			l.refused.add(1, uint64(d.Length))
		}
		v.reason[i] = dataplane.LoopPuntOverrun
		w.free(i)
		return
	}
	if n := v.tags[i]; n > 0 {
		d.Address -= uint64(n) * packet.TagLen
		d.Length += uint32(n) * packet.TagLen
		packet.PushTags(w.mem.Packet(d), v.tag[i][:n])
	}
	l.punted[uint8(l.up)], l.from[uint8(l.up)] = d, i
	l.up++
}

// fill has the checksum filled in that a host has left to hardware, and lets the packet
// go on.
func (w *Worker) fill(s *state, view *fib.View, i uint8) {
	v := &w.v
	w.note(FateFilled, i)
	v.flags[i] = v.flags[i]&^hasPartial | fills
	var r dataplane.Reason
	if w.isIPv4(i) {
		r = w.resolve4(view, i, v.group[i])
	} else {
		r = w.resolve6(view, i, v.group[i])
	}
	if r != dataplane.Forwarded {
		w.finishOne(s, view, i, r)
	}
}

// tooBig is for a packet that is longer than the MTU of the way that it is to go.
func (w *Worker) tooBig(s *state, view *fib.View, i uint8) {
	b := view.Block(w.v.adjacency[i])
	switch {
	case b == nil: // it has gone since
		w.punt(i)
	case w.refuse(s, view, i, b.Port, int(b.Mtu)):
	case w.link(b.Port) == nil:
		w.punt(i)
	default:
		w.divide(i, b)
	}
}

// refuse tells the source of a packet, that may not be divided, if it is longer than the
// MTU of a way out by a port.
func (w *Worker) refuse(s *state, view *fib.View, i uint8, port uint32, mtu int) bool {
	frame := w.mem.Packet(w.v.packets[i])
	if packet.EtherType(frame) != packet.TypeIPv4 {
		return w.refuse6(s, view, i, port, mtu)
	}
	p := packet.IPv4(frame[at4:])
	if p.Len() <= mtu || p.MayFragment() {
		return false
	}
	w.answer4(s, view, i, packet.Error{Type: packet.Unreachable4, Code: packet.FragNeeded, Info: uint32(mtu)}, false) // RFC 1191 4
	return true
}

// refuse6 is RFC 8201 4: a router does not divide. An MTU of the route's, that is below
// the link's, Linux finds out late, and quotes what it was about to send.
func (w *Worker) refuse6(s *state, view *fib.View, i uint8, port uint32, mtu int) bool {
	p := packet.IPv6(w.mem.Packet(w.v.packets[i])[at6:])
	if p.Len() <= mtu {
		return false
	}
	link := max(mtu, s.port(port).itself.MTU, packet.LeastMTU6)
	e := packet.Error{Type: packet.TooBig6, Info: uint32(link)}
	if p.Len() <= link {
		if !packet.HasFragmentPoint(p[:p.Len()]) {
			w.unanswered(i)
			return true
		}
		e.Info = uint32(mtu)
		p.Forward()
	}
	w.answer6(s, view, i, e)
	return true
}

// divide sends a packet in fragments through an adjacency.
func (w *Worker) divide(i uint8, b *fib.Block) {
	w.note(FateDivided, i)
	frame := w.mem.Packet(w.v.packets[i])
	if w.v.flags[i]&fills != 0 {
		packet.FillChecksum4(frame)
	}
	p := packet.IPv4(frame[at4:])
	p.Forward()
	var f packet.Fragments
	f.Divide(p, int(b.Mtu))
	for more := true; more; {
		d, ok := w.frame(int(b.Mtu))
		if !ok {
			w.note(FateNoRoom, i)
			break
		}
		n := f.Next(w.mem.Packet(d))
		if d.Length = uint32(n); n > 0 {
			w.sendOwn(d, packet.TypeIPv4, b)
		} else {
			w.pool.Put(d.Address)
		}
		more = n > 0
	}
	w.free(i)
}

// frame takes one for a packet of the router's own, of at most n bytes of IP behind room
// for its Ethernet header.
func (w *Worker) frame(n int) (d device.Descriptor, ok bool) {
	if w.pool.Get(w.scratch[:]) == 0 {
		return d, false
	}
	d.Address = w.scratch[0]
	if w.mem.Room(d.Address) < n {
		w.pool.Put(d.Address)
		return d, false
	}
	d.Length = uint32(n)
	return d, true
}

// sendOwn gives an IP packet an adjacency's header and puts it before its queue.
func (w *Worker) sendOwn(d device.Descriptor, etherType uint16, b *fib.Block) {
	l := w.link(b.Port)
	if l == nil || b.RewriteLen < packet.EthernetLen || int(b.RewriteLen) > len(b.Rewrite) {
		w.pool.Put(d.Address)
		return
	}
	n := uint32(b.RewriteLen)
	d.Address -= uint64(n)
	d.Length += n
	h := w.mem.Packet(d)
	copy(h, b.Rewrite[:n])
	h[n-2], h[n-1] = byte(etherType>>8), byte(etherType)
	if l.n == maxOut {
		w.send(l.queue, l.out[:], &l.lost)
		l.n = 0
	}
	l.add(d)
}
