package soft

import "weft/dataplane/packet"

// features are the input features of ports, in a vector with packets of ports that have
// any. There is one yet: checksums that hosts have left to hardware are found here, and
// filled in when it is known that the packet goes on.
func (w *Worker) features(s *state) {
	v := &w.v
	for k := range v.four.n {
		i := v.four.index[k%VectorSize]
		if d := &v.packets[i]; s.port(d.Port).flags&isPartial != 0 && packet.IsPartial4(w.mem.Packet(*d)) {
			v.flags[i] |= hasPartial
		}
	}
	for k := range v.six.n {
		i := v.six.index[k%VectorSize]
		if d := &v.packets[i]; s.port(d.Port).flags&isPartial != 0 && packet.IsPartial6(w.mem.Packet(*d)) {
			v.flags[i] |= hasPartial
		}
	}
}
