package soft

import (
	"net/netip"
	"time"

	"weft/dataplane"
	"weft/dataplane/packet"
	"weft/dataplane/soft/device"
	"weft/fib"
)

const (
	holdSets  = 64
	holdWays  = 4
	holdMost  = 32                    // packets for one neighbor (Linux: 208 KiB of them, net.ipv4.neigh.*.unres_qlen_bytes)
	holdShare = 4                     // at most a quarter of the pool
	holdAsk   = time.Second           // between questions to the kernel
	holdEnd   = 3 * time.Second       // as long as Linux asks: mcast_solicit times retrans_time_ms
	holdSoon  = time.Millisecond      // before it is looked at again, when the FIB has changed
	holdLook  = 10 * time.Millisecond // and when it has not
)

// holds are packets that wait until the kernel knows their neighbors.
type holds struct {
	n, packets, most int
	looked           time.Duration
	generation       uint64 // of the FIB, when it was looked at
	sets             [holdSets][holdWays]hold
}

// hold is those that wait for one neighbor; addr is the zero Addr when there is none.
type hold struct {
	port         uint32
	addr         netip.Addr
	since, asked time.Duration
	n            int
	packets      [holdMost]held
}

// held is one packet: a frame that came in and goes through the stages again, or an IP
// packet of the router's own, which has an EtherType.
type held struct {
	packet    device.Descriptor
	etherType uint16
	tags      uint8 // that were taken off
	tag       [packet.MaxTags]packet.Tag
}

func (h *holds) begin(pool int) { h.most = pool / holdShare }

// find returns the place of a neighbor, a free one if it has none, or nil.
func (h *holds) find(port uint32, addr netip.Addr) (place *hold) {
	b := addr.As16()
	hash := uint32(b[12])<<24 | uint32(b[13])<<16 | uint32(b[14])<<8 | uint32(b[15])
	set := &h.sets[(hash+port)*0x9e3779b1>>26%holdSets]
	for i := range set {
		one := &set[i]
		if one.addr == addr && one.port == port {
			return one
		}
		if !one.addr.IsValid() && place == nil {
			place = one
		}
	}
	return place
}

// unresolved has a packet wait for its neighbor.
func (w *Worker) unresolved(s *state, view *fib.View, i uint8) {
	v := &w.v
	d := v.packets[i]
	frame := w.mem.Packet(d)
	is4 := packet.EtherType(frame) == packet.TypeIPv4
	to, ttl := netip.Addr{}, byte(0)
	if is4 {
		p := packet.IPv4(frame[at4:])
		to, ttl = addr4(p.Destination()), p[8]
	} else {
		p := packet.IPv6(frame[at6:])
		to, ttl = addr6(p.Destination()), p[7]
	}
	switch { // what Linux looks at before it looks for the neighbor
	case v.flags[i]&toGroup != 0:
		w.unanswered(i)
		return
	case ttl <= 1:
		w.expired(s, view, i)
		return
	}
	next := view.Word(v.group[i]).Next()
	port, mtu := next.Port, s.gleanMTU(next)
	if b := view.Block(v.adjacency[i]); v.adjacency[i] != 0 && b != nil {
		port, to, mtu = b.Port, neighborOf(b), int(b.Mtu)
	}
	switch {
	case mtu != 0 && w.refuse(s, view, i, port, mtu):
		return
	case !to.IsValid():
		w.punt(i)
		return
	}
	w.note(FateHeld, i)
	w.hold(port, to, held{packet: d, tags: v.tags[i], tag: v.tag[i]})
}

// hold has a packet wait, and asks for its neighbor. When there is no room it is lost.
func (w *Worker) hold(port uint32, addr netip.Addr, p held) {
	h := &w.holds
	one := h.find(port, addr)
	if one == nil || !one.addr.IsValid() && h.packets >= h.most {
		w.lose(p)
		return
	}
	now := w.now()
	if !one.addr.IsValid() {
		*one = hold{port: port, addr: addr, since: now, asked: now}
		h.n++
		w.ask(one)
	}
	if one.n == holdMost || h.packets >= h.most { // Linux: the oldest makes room
		w.lose(one.packets[0])
		copy(one.packets[:], one.packets[1:one.n])
		one.n--
		h.packets--
	}
	one.packets[one.n] = p
	one.n++
	h.packets++
}

func (w *Worker) lose(p held) {
	w.fates[FateNoRoom].add(1, uint64(p.packet.Length))
	w.pool.Put(p.packet.Address)
}

// ask has the kernel look for a neighbor, unless nobody listens: then later.
func (w *Worker) ask(h *hold) {
	select {
	case w.asks <- Neighbor{h.port, h.addr}:
	default:
	}
}

// lookAfter finds out which neighbors are known now, and which do not answer.
func (w *Worker) lookAfter(s *state) {
	h, now := &w.holds, w.now()
	generation := s.image.Generation()
	if passed := now - h.looked; passed < holdSoon || generation == h.generation && passed < holdLook {
		return
	}
	h.generation, h.looked = generation, now
	view := s.image.View()
	for i := range h.sets {
		for j := range h.sets[i] {
			one := &h.sets[i][j]
			switch {
			case !one.addr.IsValid():
			case w.isKnown(s, &view, one):
				w.release(s, one)
			case now-one.since >= holdEnd:
				w.giveUp(s, one)
			case now-one.asked >= holdAsk:
				one.asked = now
				w.ask(one)
			}
		}
	}
}

// isKnown tells whether what waited longest has a way now that is not the one it waits for.
func (w *Worker) isKnown(s *state, view *fib.View, h *hold) bool {
	r := w.wayOf(s, view, h.packets[0])
	return r.kind != throughIt || r.block != nil || r.port != h.port || r.neighbor != h.addr
}

// wayOf finds the way of a packet that is held.
func (w *Worker) wayOf(s *state, view *fib.View, p held) way {
	b := w.mem.Packet(p.packet)
	is4 := p.etherType == packet.TypeIPv4
	if p.etherType == 0 {
		is4 = packet.EtherType(b) == packet.TypeIPv4
		b = b[packet.EthernetLen:]
	}
	t := s.port(p.packet.Port).table
	if is4 {
		to := packet.IPv4(b).Destination()
		return w.via(s, view, t.Lookup4(to), addr4(to), fib.FlowHash4(0, to, 0, 1, w.seed))
	}
	to := packet.IPv6(b).Destination()
	return w.via(s, view, t.Lookup6(to), addr6(to), fib.FlowHash6(fib.Addr6{}, to, 0, 0, 58, w.seed))
}

// put adds a packet to the vector that was held.
func (v *vector) put(p held) {
	i := uint8(v.n)
	v.packets[i], v.tags[i], v.tag[i] = p.packet, p.tags, p.tag
	v.n++
}

// forget makes a place free, and returns what was held there.
func (h *holds) forget(one *hold) (packets [holdMost]held, n int) {
	packets, n = one.packets, one.n
	h.n--
	h.packets -= n
	one.addr, one.n = netip.Addr{}, 0
	return packets, n
}

// release lets packets go on, through all stages again: they have been counted.
func (w *Worker) release(s *state, one *hold) {
	packets, n := w.holds.forget(one)
	view := s.image.View()
	v := &w.v
	v.begin(0)
	for _, p := range packets[:n] {
		if p.etherType == 0 {
			w.fates[FateReleased].add(1, uint64(p.packet.Length))
			v.put(p)
			continue
		}
		if r := w.wayOf(s, &view, p); r.block != nil {
			w.sendOwn(p.packet, p.etherType, r.block)
		} else {
			w.lose(p)
		}
	}
	w.again = true
	w.process(s, w.stages.start())
	w.again = false
}

// giveUp tells the sources of packets whose neighbor does not answer: RFC 1812 4.3.3.1,
// RFC 4443 3.1.
func (w *Worker) giveUp(s *state, one *hold) {
	packets, n := w.holds.forget(one)
	view := s.image.View()
	v := &w.v
	v.begin(0)
	for _, p := range packets[:n] {
		w.fates[FateUnreachable].add(1, uint64(p.packet.Length))
		if p.etherType != 0 {
			w.pool.Put(p.packet.Address)
			continue
		}
		v.put(p)
	}
	if w.tap != nil {
		w.beginTap(s)
	}
	for i := range v.n {
		i := uint8(i)
		if w.tap != nil {
			w.tap.gaveUp(i)
			v.reason[i] = dataplane.UnresolvedNeigh
		}
		frame := w.mem.Packet(v.packets[i])
		if w.isIPv4(i) { // as Linux, which has been about to send it
			packet.IPv4(frame[at4:]).Forward()
			w.answer4(s, &view, i, packet.Error{Type: packet.Unreachable4, Code: packet.HostUnreachable}, false)
		} else {
			packet.IPv6(frame[at6:]).Forward()
			w.answer6(s, &view, i, packet.Error{Type: packet.Unreachable6, Code: packet.AddressUnreachable})
		}
	}
	if w.tap != nil {
		w.endTap(s)
	}
	w.transmit()
}

// clear forgets all that is held: its frames are the caller's.
func (h *holds) clear() {
	if h.n > 0 {
		*h = holds{most: h.most}
	}
}
