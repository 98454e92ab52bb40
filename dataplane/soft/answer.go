package soft

import (
	"encoding/binary"
	"net/netip"

	"weft/dataplane/packet"
	"weft/dataplane/soft/device"
	"weft/fib"
)

// way is where a packet of the router's own goes.
type way struct {
	port     uint32
	neighbor netip.Addr
	block    *fib.Block // nil: the neighbor is not known
	mtu      int
	kind     wayKind
}

type wayKind uint8

const (
	noWay     wayKind = iota // there is none, or it leads here
	throughIt                // through port to neighbor
	kernelWay                // only the kernel knows
)

// via finds the way that a route leads.
func (w *Worker) via(s *state, view *fib.View, g fib.GroupID, to netip.Addr, hash uint32) way {
	word := view.Word(g)
	id := word.Adjacency()
	switch {
	case word.Single():
	case word.Spread():
		id = view.Member(word, hash)
	default:
		return gleaned(s, word.Next(), to)
	}
	b := view.Block(id)
	if b == nil {
		return way{kind: kernelWay}
	}
	r := way{port: b.Port, mtu: int(b.Mtu), kind: throughIt, neighbor: neighborOf(b)}
	if fib.FormOf(b).IsComplete() {
		r.block = b
	}
	return r
}

func gleaned(s *state, next fib.Next, to netip.Addr) way {
	switch next.Kind {
	case fib.Glean:
		mtu := s.gleanMTU(next)
		if mtu == 0 {
			mtu = packet.LeastMTU6
		}
		return way{port: next.Port, neighbor: to, mtu: mtu, kind: throughIt}
	case fib.Punt:
		return way{kind: kernelWay}
	}
	return way{}
}

// gleanMTU is that of packets to an attached subnet: 0 if it is not known.
func (s *state) gleanMTU(next fib.Next) int {
	mtu := s.port(next.Port).itself.MTU
	if next.MTU != 0 && (mtu == 0 || int(next.MTU) < mtu) {
		mtu = int(next.MTU)
	}
	return mtu
}

func neighborOf(b *fib.Block) netip.Addr {
	switch b.Family {
	case 4:
		return netip.AddrFrom4([4]byte(b.Neighbor[:4]))
	case 6:
		return netip.AddrFrom16(b.Neighbor)
	}
	return netip.Addr{}
}

func addr4(a uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
}

func addr6(a fib.Addr6) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.Hi)
	binary.BigEndian.PutUint64(b[8:], a.Lo)
	return netip.AddrFrom16(b)
}

// answer4 sends an ICMP error about a packet, if there may be one, and ends the packet.
// about is for errors about routes, which Linux limits twice.
func (w *Worker) answer4(s *state, view *fib.View, i uint8, e packet.Error, route bool) {
	d := w.v.packets[i]
	p := packet.IPv4(w.mem.Packet(d)[at4:])
	p = p[:p.Len()]
	if w.v.flags[i]&toGroup != 0 || !packet.MayAnswer4(p) {
		w.unanswered(i)
		return
	}
	to := p.Source()
	g := s.port(d.Port).table.Lookup4(to)
	back := w.via(s, view, g, addr4(to), fib.FlowHash4(0, to, 0, 1, w.seed))
	switch {
	case back.kind == kernelWay:
		w.punt(i)
		return
	case back.kind == noWay:
		w.unanswered(i)
		return
	case !w.limiter.Allow4(w.now(), to, e, route):
		w.note(FateLimited, i)
		w.free(i)
		return
	}
	own, ok := w.frame(packet.MaxError4)
	if !ok {
		w.noRoom(i)
		return
	}
	w.identify++
	own.Port = d.Port
	own.Length = uint32(e.Write4(w.mem.Packet(own), p, s.source4(&back, addr4(to)), back.mtu, w.identify))
	w.answered(i, own, packet.TypeIPv4, &back)
}

// answer6 is answer4 for IPv6: RFC 4443 2.4.
func (w *Worker) answer6(s *state, view *fib.View, i uint8, e packet.Error) {
	d := w.v.packets[i]
	p := packet.IPv6(w.mem.Packet(d)[at6:])
	p = p[:p.Len()]
	if w.v.flags[i]&toGroup != 0 && e.Type != packet.TooBig6 || !packet.MayAnswer6(p) { // (e.3)
		w.unanswered(i)
		return
	}
	in, to := s.port(d.Port), p.Source()
	back := w.via(s, view, in.table.Lookup6(to), addr6(to), fib.FlowHash6(fib.Addr6{}, to, 0, 0, 58, w.seed))
	switch {
	case back.kind == kernelWay:
		w.punt(i)
		return
	case back.kind == noWay:
		w.unanswered(i)
		return
	case !w.limiter.Allow6(w.now(), to, e):
		w.note(FateLimited, i)
		w.free(i)
		return
	}
	own, ok := w.frame(packet.MaxError6)
	if !ok {
		w.noRoom(i)
		return
	}
	own.Port = d.Port
	own.Length = uint32(e.Write6(w.mem.Packet(own), p, s.source6(in.itself, addr6(to))))
	w.answered(i, own, packet.TypeIPv6, &back)
}

// answered sends an error, or has it wait for its neighbor, and ends what it is about.
func (w *Worker) answered(i uint8, own device.Descriptor, etherType uint16, back *way) {
	w.note(FateAnswered, i)
	w.free(i)
	if back.block == nil {
		if w.tap != nil {
			w.tap.fate(FateHeld, i)
		}
		w.hold(back.port, back.neighbor, held{packet: own, etherType: etherType})
		return
	}
	w.sendOwn(own, etherType, back.block)
}

func (w *Worker) unanswered(i uint8) {
	w.note(FateUnanswered, i)
	w.free(i)
}

func (w *Worker) noRoom(i uint8) {
	w.note(FateNoRoom, i)
	w.free(i)
}
