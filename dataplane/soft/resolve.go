package soft

import (
	"weft/dataplane"
	"weft/dataplane/packet"
	"weft/fib"
)

// resolve4 takes any IPv4 packet from its group on, in the steps and the order of
// bpf/include/weft/router.h: it leaves, or there is a reason why not.
func (w *Worker) resolve4(view *fib.View, i uint8, g fib.GroupID) dataplane.Reason {
	v := &w.v
	v.group[i], v.adjacency[i], v.hash[i] = g, 0, 0
	if g == 0 {
		return dataplane.IPv4LPMMiss
	}
	word := view.Word(g)
	if !word.Single() && !word.Spread() {
		return other(word)
	}
	frame := w.mem.Packet(v.packets[i])
	p := packet.IPv4(frame[at4:])
	if r := w.goes(i, p[8]); r != dataplane.Forwarded {
		return r
	}
	id := word.Adjacency()
	if word.Spread() {
		v.hash[i] = packet.Flow4(frame, w.seed)
		id = view.Member(word, v.hash[i])
	}
	v.adjacency[i] = id
	b, r := w.usable(view, id, p.Len())
	if r != dataplane.Forwarded {
		return r
	}
	if v.flags[i]&fills != 0 {
		packet.FillChecksum4(frame)
	}
	p.Forward()
	return w.leave(i, b)
}

// resolve6 is the same for IPv6.
func (w *Worker) resolve6(view *fib.View, i uint8, g fib.GroupID) dataplane.Reason {
	v := &w.v
	v.group[i], v.adjacency[i], v.hash[i] = g, 0, 0
	if g == 0 {
		return dataplane.IPv6LPMMiss
	}
	word := view.Word(g)
	if !word.Single() && !word.Spread() {
		return other(word)
	}
	frame := w.mem.Packet(v.packets[i])
	p := packet.IPv6(frame[at6:])
	if r := w.goes(i, p[7]); r != dataplane.Forwarded {
		return r
	}
	id := word.Adjacency()
	if word.Spread() {
		v.hash[i] = packet.Flow6(frame, w.seed)
		id = view.Member(word, v.hash[i])
	}
	v.adjacency[i] = id
	b, r := w.usable(view, id, p.Len())
	if r != dataplane.Forwarded {
		return r
	}
	if v.flags[i]&fills != 0 {
		packet.FillChecksum6(frame)
	}
	p.Forward()
	return w.leave(i, b)
}

// other names what becomes of packets to a group without members.
func other(word fib.GroupWord) dataplane.Reason {
	next := word.Next()
	switch next.Kind {
	case fib.Local:
		return dataplane.LocalRoute
	case fib.Glean:
		return dataplane.Glean
	case fib.Blackhole:
		return dataplane.BlackholeRoute
	case fib.Reject:
		return dataplane.RejectRoute
	case fib.Punt:
		if r := dataplane.Reason(next.Reason); next.Reason != 0 && next.Reason < 256 && r.Verdict() == dataplane.Punt {
			return r
		}
		return dataplane.PuntRoute
	}
	return dataplane.NoGroup
}

// goes tells whether a packet goes on to a member of its group.
func (w *Worker) goes(i uint8, ttl byte) dataplane.Reason {
	switch flags := w.v.flags[i]; {
	case flags&toGroup != 0:
		return dataplane.UCDIPOverMCDMAC // RFC 1812 5.3.4
	case ttl <= 1:
		return dataplane.TTLValueIsTooSmall // RFC 1812 5.3.1, RFC 8200 3
	case flags&hasPartial != 0:
		return dataplane.ChecksumPartial
	}
	return dataplane.Forwarded
}

// usable tells whether a packet of so many bytes of IP can go out through an adjacency.
func (w *Worker) usable(view *fib.View, id fib.AdjacencyID, length int) (*fib.Block, dataplane.Reason) {
	b := view.Block(id)
	if b == nil {
		return nil, dataplane.NoAdjacency
	}
	form := fib.FormOf(b)
	switch {
	case !form.IsComplete():
		return b, dataplane.UnresolvedNeigh
	case form != fib.FormPlain && form != fib.FormTagged && form != fib.FormDouble:
		return b, dataplane.EncapUnknown
	case length > int(b.Mtu):
		return b, dataplane.MTUValueIsTooSmall
	case w.link(b.Port) == nil:
		return b, dataplane.ErifDisabled
	}
	return b, dataplane.Forwarded
}

// leave gives a packet the header of an adjacency for which usable holds, and puts it
// before its queue.
func (w *Worker) leave(i uint8, b *fib.Block) dataplane.Reason {
	d := &w.v.packets[i]
	tags := uint64(b.RewriteLen) - packet.EthernetLen
	if d.Address&w.frameMask < tags {
		return dataplane.RewriteFailed
	}
	d.Address -= tags
	d.Length += uint32(tags)
	// The EtherType is before the packet still.
	copy(w.mem.Packet(*d), b.Rewrite[:b.RewriteLen-2])
	w.link(b.Port).add(*d)
	return dataplane.Forwarded
}
