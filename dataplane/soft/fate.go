package soft

import "weft/dataplane"

// Fate is what became of a packet that did not just leave, after it was counted for its
// reason: what XDP leaves to the kernel is finished here.
type Fate uint8

// Fates.
const (
	FatePunted      Fate = iota // to the kernel, as come in
	FateAnswered                // an ICMP error was sent about it
	FateUnanswered              // one may not be sent: RFC 1812 4.3.2.7, RFC 4443 2.4 (e); or there is no way back
	FateLimited                 // one was to be sent, and the limits do not allow more
	FateDivided                 // into fragments
	FateFilled                  // its checksum was to be filled in, which was done if it left
	FateHeld                    // until its neighbor is known
	FateReleased                // the neighbor is known: it went on
	FateUnreachable             // the neighbor did not answer
	FateNoRoom                  // there was no frame, or no room among those that are held
	numFates
)

var fateNames = [numFates]string{
	"punted", "answered", "unanswered", "limited", "divided", "filled", "held", "released", "unreachable", "no_room",
}

// String returns the fate's name.
func (f Fate) String() string { return fateNames[f] }

type fates [numFates]counter

// Fates reads how many packets had each Fate, by it. A packet that was held has two. Any
// goroutine.
func (w *Worker) Fates() (all [numFates]dataplane.Counter) {
	for f := range w.fates {
		all[f] = w.fates[f].read()
	}
	return all
}

// note counts a packet of the vector.
func (w *Worker) note(f Fate, i uint8) {
	w.fates[f].add(1, uint64(w.v.packets[i].Length))
	if w.tap != nil {
		w.tap.fate(f, i)
	}
}

// free ends a packet of the vector.
func (w *Worker) free(i uint8) { w.pool.Put(w.v.packets[i].Address) }
