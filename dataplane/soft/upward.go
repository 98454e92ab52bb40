package soft

import (
	"slices"
	"sync/atomic"

	"weft/dataplane/soft/device"
	"weft/dataplane/xdp"
)

// upward is the queue by which packets go to the kernel as come in by a port. They are few:
// the program has left to the kernel what it can tell to be the kernel's. What comes here is
//
//   - what is too big for its way, from a source to which only the kernel knows the way:
//     the program does not look at the adjacency of each packet;
//   - what waits for a neighbor that does not answer, from such a source;
//   - what has come to the loop before the FIB or a port has changed.
//
// The way up is slow (xdp.Injector): some 80 packets a second. What finds no room is counted
// for loop_punt_overrun instead of its reason, and dropped. So it copies.
type upward struct {
	mem     *device.Memory
	pool    *device.Pool
	ifindex int
	to      chan<- punted
	taken   atomic.Uint64
}

// punted is a frame on its way to the kernel.
type punted struct {
	frame   []byte
	ifindex int
}

const mostPunted = 256

var _ device.Queue = (*upward)(nil)

// Transmit implements device.Queue.
func (u *upward) Transmit(d []device.Descriptor) int {
	for i, one := range d {
		select {
		case u.to <- punted{slices.Clone(u.mem.Packet(one)), u.ifindex}:
			u.pool.Put(one.Address)
			u.taken.Add(1)
		default:
			return i
		}
	}
	return len(d)
}

// Receive implements device.Queue.
func (u *upward) Receive([]device.Descriptor) int { return 0 }

// Flush implements device.Queue.
func (u *upward) Flush() {}

// Pending implements device.Queue.
func (u *upward) Pending() int { return 0 }

// FD implements device.Queue.
func (u *upward) FD() int { return -1 }

// Arm implements device.Queue.
func (u *upward) Arm() bool { return false }

// Stats implements device.Queue.
func (u *upward) Stats() device.Stats { return device.Stats{Transmitted: u.taken.Load()} }

// Close implements device.Queue.
func (u *upward) Close() error { return nil }

// handUp brings frames to the kernel until there are no more.
func (e *Engine) handUp(i *xdp.Injector, frames <-chan punted) {
	for p := range frames {
		if err := i.Inject(p.frame, p.ifindex); err != nil {
			e.notHandedUp.Add(1) // its interface has gone, or has no program any more
		}
	}
}
