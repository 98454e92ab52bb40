package soft

import (
	"slices"
	"time"

	"weft/dataplane"
	"weft/dataplane/trace"
)

// tapped is a Tap, and what is noted of the packets of the vector that somebody looks at.
type tapped struct {
	*trace.Tap
	now     time.Time
	some    bool // of the vector
	current uint8
	notes   [VectorSize]note
}

// note is of one packet.
type note struct {
	wanted uint64 // by those sessions; 0: by nobody
	root   uint32
	frame  []byte // as received
	loop   trace.Loop
}

// setTap lets the Worker tell of packets; nil ends that.
func (w *Worker) setTap(t *trace.Tap) {
	w.tap = nil
	if t != nil {
		w.tap = &tapped{Tap: t}
	}
}

// beginTap notes which packets of the vector are wanted, as they are before the stages.
func (w *Worker) beginTap(s *state) {
	t, v := w.tap, &w.v
	t.now, t.some = time.Now(), false
	if t.Idle() {
		return
	}
	for i := range v.n {
		d := v.packets[i]
		frame := w.mem.Packet(d)
		wanted := t.Passes(frame)
		if wanted == 0 {
			t.notes[i].wanted = 0
			continue
		}
		t.some = true
		t.notes[i] = note{
			wanted: wanted, root: s.port(d.Port).root, frame: slices.Clone(frame[:min(t.Snap(), len(frame))]),
			loop: trace.Loop{Again: w.again},
		}
		v.bytes[i], v.group[i], v.adjacency[i], v.hash[i] = d.Length, 0, 0, 0
	}
}

// endTap tells what has become of them, before the frames that leave are gone.
func (w *Worker) endTap(s *state) {
	t, v := w.tap, &w.v
	if !t.some {
		return
	}
	t.some = false
	view := s.image.View()
	for i := range v.n {
		n := &t.notes[i]
		if n.wanted == 0 {
			continue
		}
		n.loop.Tags, n.loop.Partial = int(v.tags[i]), v.flags[i]&(hasPartial|fills) != 0
		loop := n.loop
		r := &trace.Record{
			Time: t.now, Engine: dataplane.Soft, Root: n.root, Frame: n.frame, Bytes: int(v.bytes[i]), Loop: &loop,
			Result: dataplane.Result{
				Reason: v.reason[i], Ingress: v.packets[i].Port, Group: uint32(v.group[i]), Hash: v.hash[i], Adjacency: uint32(v.adjacency[i]),
			},
		}
		r.Packet, r.SentBytes = r.Frame, r.Bytes
		if r.Reason == dataplane.Forwarded {
			sent := w.mem.Packet(v.packets[i])
			r.Packet, r.SentBytes = slices.Clone(sent[:min(t.Snap(), len(sent))]), len(sent)
			if b := view.Block(v.adjacency[i]); b != nil {
				r.Egress = b.Port
			}
		}
		t.Deliver(n.wanted, r)
		*n = note{}
	}
}

// fate notes a Fate.
func (t *tapped) fate(f Fate, i uint8) {
	if n := &t.notes[i]; t.some && n.wanted != 0 {
		n.loop.Fates = append(n.loop.Fates, f.String())
	}
}

// gaveUp says that a packet was held, and that its neighbor has not answered.
func (t *tapped) gaveUp(i uint8) {
	t.current = i
	t.notes[i].loop.Again = true
	t.fate(FateUnreachable, i)
}

// made notes a frame that was made for the packet that is being finished.
func (t *tapped) made(port uint32, frame []byte) {
	if n := &t.notes[t.current]; t.some && n.wanted != 0 {
		n.loop.Sent = append(n.loop.Sent, trace.Sent{Port: port, Frame: slices.Clone(frame[:min(t.Snap(), len(frame))]), Bytes: len(frame)})
	}
}
