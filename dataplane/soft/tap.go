package soft

import (
	"weft/dataplane"
	"weft/dataplane/packet"
	"weft/fib"
)

// leaveToKernel ends packets that came in by AF_PACKET and that the program behind it has left to the kernel, which has
// them, too: uncounted here. inputEnded is how many the input stage has ended. Twin of bpf/include/weft/steer.h.
func (w *Worker) leaveToKernel(s *state, inputEnded int) {
	v := &w.v
	view := s.image.View()
	n := 0
	for k, i := range v.exceptions[:v.ended] {
		if s.isTap(v.packets[i].Port) && (k < inputEnded || w.isKernels(s, &view, i)) {
			v.flags[i] |= uncounted
			w.free(i)
			continue
		}
		v.exceptions[uint8(n)] = i
		n++
	}
	v.ended = n
}

func (s *state) isTap(port uint32) bool { return s.port(s.port(port).root).flags&isTap != 0 }

// isKernels tells whether a packet that was looked up is for the kernel alone.
func (w *Worker) isKernels(s *state, view *fib.View, i uint8) bool {
	if w.v.flags[i]&toGroup != 0 {
		return true
	}
	word := view.Word(w.v.group[i])
	if word.Single() || word.Spread() {
		return w.v.reason[i] == dataplane.TTLValueIsTooSmall && w.isBackKernels(s, view, i)
	}
	switch word.Next().Kind {
	case fib.Local, fib.Punt:
		return true
	case fib.Glean:
		return w.expires(i) && w.isBackKernels(s, view, i)
	}
	switch w.v.reason[i] {
	case dataplane.IPv4LPMMiss, dataplane.IPv6LPMMiss, dataplane.RejectRoute:
		return w.isBackKernels(s, view, i)
	}
	return false
}

func (w *Worker) expires(i uint8) bool {
	ip := w.mem.Packet(w.v.packets[i])[packet.EthernetLen:]
	if w.isIPv4(i) {
		return ip[8] <= 1
	}
	return ip[7] <= 1
}

// isBackKernels tells whether only the kernel knows the way to a packet's source.
func (w *Worker) isBackKernels(s *state, view *fib.View, i uint8) bool {
	ip, t := w.mem.Packet(w.v.packets[i])[packet.EthernetLen:], s.port(w.v.packets[i].Port).table
	var back fib.GroupID
	if w.isIPv4(i) {
		back = t.Lookup4(packet.IPv4(ip).Source())
	} else {
		back = t.Lookup6(packet.IPv6(ip).Source())
	}
	word := view.Word(back)
	return !word.Single() && !word.Spread() && word.Next().Kind == fib.Punt
}
