package trace

import (
	"slices"

	weftbpf "weft/bpf"
	"weft/dataplane"
)

// Tap is what loops have of Sessions. Any goroutine. It is not changed; when Sessions come or go there is another one.
type Tap struct {
	capture  *weftbpf.Capture
	sessions [weftbpf.Selections]*Session // nil: not for a loop
	snap     int                          // the most that any keeps
}

// Tap is that of the Sessions that a loop has a part in; nil: there are none.
func (s *Sessions) Tap() *Tap {
	if s.capture == nil {
		return nil
	}
	t := &Tap{capture: s.capture}
	for i, one := range s.slots {
		if one != nil && one.selection.wants(dataplane.Soft) {
			t.sessions[i] = one
			t.snap = max(t.snap, one.selection.Snap)
		}
	}
	if t.snap == 0 {
		return nil
	}
	return t
}

// Snap is how many bytes of a frame are worth keeping.
func (t *Tap) Snap() int { return t.snap }

// Idle tells that no Session wants anything any more.
func (t *Tap) Idle() bool { return t.capture.Armed() == 0 }

// Passes tells which Sessions' filters a whole frame passes, a bit for each.
func (t *Tap) Passes(frame []byte) (wanted uint64) {
	armed := t.capture.Armed()
	for i, one := range t.sessions {
		if one != nil && armed&(1<<i) != 0 && one.selection.Filter.Match(frame) {
			wanted |= 1 << i
		}
	}
	return wanted
}

// Miss counts a packet as lost for some Sessions: there is no room to write it down.
func (t *Tap) Miss(wanted uint64) {
	for i, one := range t.sessions {
		if one != nil && wanted&(1<<i) != 0 {
			t.capture.Miss(i)
		}
	}
}

// Deliver gives a Record to those of some Sessions that want it, now that it is known what became of the packet.
func (t *Tap) Deliver(wanted uint64, r *Record) {
	for i, one := range t.sessions {
		if one == nil || wanted&(1<<i) == 0 || !one.selection.isFor(r) || !t.capture.Take(i) {
			continue
		}
		one.deliver(r)
	}
}

func (sel *Selection) isFor(r *Record) bool {
	return (len(sel.Reasons) == 0 || slices.Contains(sel.Reasons, r.Reason)) && (sel.Port == 0 || sel.Port == r.Ingress || sel.Port == r.Root)
}
