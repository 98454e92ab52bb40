package control

import (
	"context"
	"time"

	"weft/control/rib"
)

// Counts are what a Follower has seen.
type Counts struct {
	Changes     uint64        // messages of the kernel, dumps aside
	Overruns    uint64        // of the receive buffer
	Interrupted uint64        // dumps
	Syncs       uint64        // complete ones
	Failed      uint64        // incomplete ones
	Undecodable uint64        // messages
	LastSync    time.Duration // how long it took
	Rereading   Rereading
}

// Rereading is a synchronization but the first, which is under way or waits for its time.
type Rereading struct {
	Why     string // it is necessary; "": it is not
	Since   time.Time
	Running bool // Since it began; else since it is known to be necessary
}

// Counts returns the counters as they are now.
func (f *Follower) Counts(ctx context.Context) (c Counts, err error) {
	err = f.Do(ctx, func(*rib.RIB) {
		c = f.counts
		if c.Rereading = f.running; c.Rereading.Why == "" && f.waiting {
			c.Rereading = f.next
		}
	})
	return c, err
}
