package soft

import (
	"encoding/binary"

	"weft/dataplane"
	"weft/dataplane/packet"
	"weft/dataplane/soft/device"
	"weft/fib"
)

// rewrite gives packets their new headers and puts them before the queues that they leave
// by. What needs new MACs and a smaller TTL and nothing else, which one load from the
// adjacency tells, is done here; the rest takes its time in resolve.go.
func (w *Worker) rewrite(s *state) {
	view := s.image.View()
	w.rewrite4(s, &view)
	w.rewrite6(s, &view)
}

func (w *Worker) rewrite4(s *state, view *fib.View) {
	v := &w.v
	for k := range v.four.n {
		k %= VectorSize
		i := v.four.index[k]
		d, ttl := &v.packets[i], v.four.ttl[k]
		word := view.Word(v.four.group[k])
		if word.Single() && ttl&0xfe != 0 && v.flags[i] == 0 {
			if b := view.Block(word.Adjacency()); b != nil && d.Length <= b.PlainFrame {
				if l := w.link(b.Port); l != nil {
					h := w.head(d)
					h.rewrite(b)
					binary.LittleEndian.PutUint32(h[at4+8:], packet.DecrementTTL(ttl))
					l.add(*d)
					v.group[i], v.adjacency[i] = v.four.group[k], word.Adjacency()
					continue
				}
			}
		}
		if r := w.resolve4(view, i, v.four.group[k]); r != dataplane.Forwarded {
			v.end(i, r)
		}
	}
}

func (w *Worker) rewrite6(s *state, view *fib.View) {
	v := &w.v
	for k := range v.six.n {
		k %= VectorSize
		i := v.six.index[k]
		d := &v.packets[i]
		h := w.head(d)
		hops := h[at6+7]
		word := view.Word(v.six.group[k])
		if word.Single() && hops > 1 && v.flags[i] == 0 {
			if b := view.Block(word.Adjacency()); b != nil && d.Length <= b.PlainFrame {
				if l := w.link(b.Port); l != nil {
					h.rewrite(b)
					h[at6+7] = hops - 1
					l.add(*d)
					v.group[i], v.adjacency[i] = v.six.group[k], word.Adjacency()
					continue
				}
			}
		}
		if r := w.resolve6(view, i, v.six.group[k]); r != dataplane.Forwarded {
			v.end(i, r)
		}
	}
}

// rewrite gives a frame new MACs. The EtherType stays, as it is the packet's: one
// adjacency serves both families.
func (h *head) rewrite(b *fib.Block) {
	binary.LittleEndian.PutUint64(h[0:], binary.LittleEndian.Uint64(b.Rewrite[0:]))
	binary.LittleEndian.PutUint32(h[8:], binary.LittleEndian.Uint32(b.Rewrite[8:]))
}

// link is a port's queues, and what is to go into them.
type link struct {
	number  uint32
	queue   device.Queue
	kernel  device.Queue // to where the kernel takes packets as come in by the port; nil: nowhere
	n, up   int
	out     [maxOut]device.Descriptor
	punted  [VectorSize]device.Descriptor
	from    [VectorSize]uint8 // where in the vector those are
	lost    counter           // forwarded, and not taken by queue
	refused counter           // punted, and not taken by kernel
}

// maxOut is room for what a vector makes: more when packets are divided.
const maxOut = 2 * VectorSize

// add puts a packet before the port's queue.
func (l *link) add(d device.Descriptor) {
	l.out[uint32(l.n)%maxOut] = d
	l.n++
}
