package soft

import (
	"weft/dataplane"
)

// account is what the engine knows of the packets of a port that the program has given to
// the loop. All are sums since the port has its number.
type account struct {
	moved dataplane.Counters // that the loop has finished, and the base counts by their reasons
	left  dataplane.Counter  // of LoopOverrun, at the last look
	still int                // looks in a row at which left was as before, and nothing was finished
	lost  dataplane.Counter  // of left, what the loop does not have any more
	gone  uint64             // lost by sockets that have been closed
}

// stillMost is how often nothing moves until what is left is not on its way any more.
const stillMost = 2

// settle counts what the loop has finished of a port's packets, by what became of them. What
// the kernel could not give to the loop (overrun) is lost, and so is what is left when
// nothing moves any more: of a loop before this one, say.
func (a *account) settle(base base, number uint32, loop *dataplane.Counters, overrun uint64, look bool) {
	done := loop.Since(&a.moved)
	moved := done.Received().Packets > 0
	if moved {
		base.Finished(number, &done)
		a.moved = *loop
	}
	all := base.Counters(number)
	left := all[dataplane.LoopOverrun]
	if look {
		if a.still++; moved || left != a.left {
			a.still = 0
		}
		a.left = left
	}
	if a.lost.Packets > left.Packets { // it was only late
		a.lost = left
	}
	known := min(a.gone+overrun, left.Packets)
	switch {
	case left.Packets == 0:
	case a.still >= stillMost:
		a.lost = left
	case known > a.lost.Packets:
		a.lost = dataplane.Counter{Packets: known, Bytes: max(a.lost.Bytes, left.Bytes/left.Packets*known)}
	}
}

// base is what the engine needs of the one that has the ports' programs: package xdp's.
type base interface {
	Counters(number uint32) dataplane.Counters
	Finished(number uint32, c *dataplane.Counters)
}
