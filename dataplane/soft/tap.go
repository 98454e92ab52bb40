package soft

import "weft/fib"

// leaveToKernel ends packets that came in by AF_PACKET and that the program behind it has left to the kernel, which has
// them, too: uncounted here. inputEnded is how many the input stage has ended. Twin of bpf/include/weft/steer.h.
func (w *Worker) leaveToKernel(s *state, inputEnded int) {
	v := &w.v
	view := s.image.View()
	n := 0
	for k, i := range v.exceptions[:v.ended] {
		if s.isTap(v.packets[i].Port) && (k < inputEnded || w.isKernels(&view, i)) {
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
func (w *Worker) isKernels(view *fib.View, i uint8) bool {
	if w.v.flags[i]&toGroup != 0 {
		return true
	}
	word := view.Word(w.v.group[i])
	if word.Single() || word.Spread() {
		return false
	}
	kind := word.Next().Kind
	return kind == fib.Local || kind == fib.Punt
}
