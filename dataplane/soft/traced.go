package soft

import (
	"slices"
	"time"

	"weft/dataplane"
	"weft/dataplane/trace"
)

const (
	drafts     = 1024 // of a loop: what it may be ahead of who reads
	draftBytes = 4096 // of frames, in one
	draftParts = 8    // fates of a packet, and frames that are made for it
)

// tapped is a Tap, and what is noted of the packets of the vector that somebody looks at. The loop does not
// allocate for it, lest it waits for the garbage collector: it fills drafts, which a goroutine beside takes.
type tapped struct {
	*trace.Tap
	now     time.Time
	some    bool // of the vector
	current uint8
	notes   [VectorSize]*draft // nil: nobody wants the packet

	free, full chan *draft
	done       chan struct{} // closed when all drafts are delivered
}

// draft is a Record in memory of its own.
type draft struct {
	wanted uint64 // by those sessions
	record trace.Record
	loop   trace.Loop
	bytes  []byte
	fates  [draftParts]string
	sent   [draftParts]trace.Sent
}

func newTapped(t *trace.Tap) *tapped {
	if t == nil {
		return nil
	}
	all := &tapped{Tap: t, free: make(chan *draft, drafts), full: make(chan *draft, drafts), done: make(chan struct{})}
	for range drafts {
		all.free <- &draft{bytes: make([]byte, 0, draftBytes)}
	}
	go all.deliver()
	return all
}

// deliver brings drafts to those who want them, until there are no more.
func (t *tapped) deliver() {
	defer close(t.done)
	for d := range t.full {
		r, loop := d.record, d.loop
		r.Frame, r.Packet, r.Loop = slices.Clone(r.Frame), slices.Clone(r.Packet), &loop
		loop.Fates, loop.Sent = slices.Clone(loop.Fates), slices.Clone(loop.Sent)
		for i := range loop.Sent {
			loop.Sent[i].Frame = slices.Clone(loop.Sent[i].Frame)
		}
		wanted := d.wanted
		t.free <- d
		t.Deliver(wanted, &r)
	}
}

// setTap has the Worker tell of packets, or not (nil), and returns what it had: its drafts come yet.
func (w *Worker) setTap(t *tapped) (before *tapped) {
	before, w.tap = w.tap, t
	if before != nil {
		close(before.full)
	}
	return before
}

// keep copies a frame as far as there is room.
func (d *draft) keep(frame []byte, snap int) []byte {
	from := len(d.bytes)
	d.bytes = append(d.bytes, frame[:min(snap, len(frame), draftBytes-from)]...)
	return d.bytes[from:]
}

// beginTap notes which packets of the vector are wanted, as they are before the stages.
func (w *Worker) beginTap(s *state) {
	t, v := w.tap, &w.v
	t.some = false
	clear(t.notes[:])
	if t.Idle() {
		return
	}
	t.now = time.Now()
	for i := range v.n {
		d := v.packets[i]
		frame := w.mem.Packet(d)
		wanted := t.Passes(frame)
		if wanted == 0 {
			continue
		}
		n := t.draft(wanted)
		if n == nil {
			continue
		}
		t.notes[i], t.some = n, true
		n.loop.Again = w.again
		n.record = trace.Record{Time: t.now, Engine: dataplane.Soft, Root: s.port(d.Port).root, Frame: n.keep(frame, t.Snap()), Bytes: len(frame)}
		v.group[i], v.adjacency[i], v.hash[i] = 0, 0, 0
	}
}

// draft returns an empty one; nil: there is none, and the packet is lost for who wants it.
func (t *tapped) draft(wanted uint64) *draft {
	select {
	case n := <-t.free:
		n.wanted, n.bytes = wanted, n.bytes[:0]
		n.loop = trace.Loop{Fates: n.fates[:0], Sent: n.sent[:0]}
		return n
	default:
		t.Miss(wanted)
		return nil
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
		n := t.notes[i]
		if n == nil {
			continue
		}
		r := &n.record
		n.loop.Tags, n.loop.Partial = int(v.tags[i]), v.flags[i]&(hasPartial|fills) != 0
		r.Result = dataplane.Result{
			Reason: v.reason[i], Ingress: v.packets[i].Port, Group: uint32(v.group[i]), Hash: v.hash[i], Adjacency: uint32(v.adjacency[i]),
		}
		r.Packet, r.SentBytes = r.Frame, r.Bytes
		if r.Reason == dataplane.Forwarded {
			sent := w.mem.Packet(v.packets[i])
			r.Packet, r.SentBytes = n.keep(sent, t.Snap()), len(sent)
			if b := view.Block(v.adjacency[i]); b != nil {
				r.Egress = b.Port
			}
		}
		t.full <- n // there is room for all
	}
}

// slow notes that a packet is looked at step by step.
func (t *tapped) slow(i uint8) {
	if n := t.notes[i]; n != nil {
		n.loop.Slow = true
	}
}

// fate notes a Fate.
func (t *tapped) fate(f Fate, i uint8) {
	if n := t.notes[i]; t.some && n != nil && len(n.loop.Fates) < draftParts {
		n.loop.Fates = append(n.loop.Fates, f.String())
	}
}

// gaveUp says that a packet was held, and that its neighbor has not answered.
func (t *tapped) gaveUp(i uint8) {
	t.current = i
	if n := t.notes[i]; n != nil {
		n.loop.Again = true
		t.fate(FateUnreachable, i)
	}
}

// made notes a frame that was made for the packet that is being finished.
func (t *tapped) made(port uint32, frame []byte) {
	if n := t.notes[t.current]; t.some && n != nil && len(n.loop.Sent) < draftParts {
		n.loop.Sent = append(n.loop.Sent, trace.Sent{Port: port, Frame: n.keep(frame, t.Snap()), Bytes: len(frame)})
	}
}
