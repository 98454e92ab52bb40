package soft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"weft/dataplane/soft/device"
	"weft/fib"
)

const (
	loopFrameSize = device.MinFrameSize

	// patience is how many rounds in a row may find nothing before the loop sleeps: some µs. A core that has
	// other things to do is given back soon, and a burst is not cut in pieces.
	patience = 64

	// While packets wait for neighbors, or for the kernel to send them, the loop does not sleep longer, ms.
	holdSleep = 1
	sendSleep = 10
)

// loop is a Worker and the thread that it runs on.
type loop struct {
	*Worker
	cpu      int        // that its thread is pinned to; -1: none
	receives int        // queues that packets come to it by
	event    int        // eventfd: there is a task
	doing    sync.Mutex // one task at a time
	tasks    chan func()
	told     atomic.Bool
	ended    chan struct{}
	end      bool
	polled   []unix.PollFd // the event's, and those of sockets that packets come in by

	sleeps atomic.Uint64
}

// newLoop makes one and starts it.
func newLoop(readers *fib.Readers, m *device.Memory, pool *device.Pool, asks chan Neighbor, cpu int) (_ *loop, err error) {
	l := &loop{cpu: cpu, tasks: make(chan func()), ended: make(chan struct{})}
	if l.event, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("make an eventfd: %w", err)
	}
	l.Worker = NewWorker(Options{Memory: m, Pool: pool, Reader: readers.Join(), Asks: asks})
	l.setPolled()
	pinned := make(chan error)
	go l.run(pinned)
	if err := <-pinned; err != nil {
		<-l.ended
		return nil, errors.Join(err, unix.Close(l.event))
	}
	return l, nil
}

// setPolled finds out what wakes it.
func (l *loop) setPolled() {
	l.polled = append(l.polled[:0], unix.PollFd{Fd: int32(l.event), Events: unix.POLLIN})
	for _, link := range l.queues {
		all := []device.Queue{link.queue}
		if q, several := link.queue.(*socketQueue); several {
			all = q.in
		}
		for _, q := range all {
			if q.FD() >= 0 {
				l.polled = append(l.polled, unix.PollFd{Fd: int32(q.FD()), Events: unix.POLLIN})
			}
		}
	}
}

// run is the goroutine of the loop. Its thread is not used for anything else, and ends with it if it was pinned.
func (l *loop) run(pinned chan<- error) {
	runtime.LockOSThread()
	defer close(l.ended)
	defer l.reader.Leave()
	err := l.pin()
	if pinned <- err; err != nil {
		return
	}
	if l.cpu < 0 {
		defer runtime.UnlockOSThread()
	}
	for idle := 0; !l.end; {
		if l.told.Load() {
			l.doTask()
		}
		if l.Round() > 0 {
			idle = 0
			continue
		}
		if idle++; idle >= patience {
			l.sleep()
			idle = 0
		}
	}
}

func (l *loop) pin() error {
	if l.cpu < 0 {
		return nil
	}
	var set unix.CPUSet
	set.Set(l.cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin a loop to CPU %d: %w", l.cpu, err)
	}
	return nil
}

// sleep waits until there is something to do. What comes in after a queue was armed makes
// its descriptor readable: nothing is slept over.
func (l *loop) sleep() {
	if l.told.Load() { // and the eventfd has been read
		return
	}
	timeout := -1
	for _, link := range l.queues {
		if link.queue.Arm() {
			return
		}
		if link.queue.Pending() > 0 {
			timeout = sendSleep
		}
	}
	if l.holds.n > 0 {
		timeout = holdSleep
	}
	l.sleeps.Add(1)
	l.reader.Offline() // writers need not wait for it
	_, err := unix.Poll(l.polled, timeout)
	l.reader.Quiesce()
	if err != nil && !errors.Is(err, unix.EINTR) {
		l.told.Store(true) // it cannot be: look at what there is instead of sleeping
	}
}

// do has the loop's goroutine call f between two rounds, and waits for that. What was
// configured before is not used any more then. Any goroutine but the loop's.
func (l *loop) do(f func()) {
	l.doing.Lock()
	defer l.doing.Unlock()
	done := make(chan struct{})
	l.told.Store(true)
	l.wake()
	l.tasks <- func() { defer close(done); f() }
	<-done
}

func (l *loop) wake() {
	one := binary.NativeEndian.AppendUint64(nil, 1)
	_, _ = unix.Write(l.event, one) // one that is full wakes, too
}

func (l *loop) doTask() {
	var counted [8]byte
	l.told.Store(false)
	_, _ = unix.Read(l.event, counted[:])
	select {
	case f := <-l.tasks:
		f()
	default: // it is on its way here
		l.told.Store(true)
		runtime.Gosched()
	}
}

// drain lets the loop finish what it has.
func (l *loop) drain() {
	const empty = 4 // rounds in a row
	l.do(func() {
		for n := 0; n < empty; n++ {
			if l.Round() > 0 {
				n = 0
			}
		}
	})
}

// close ends the loop. All sockets have been closed.
func (l *loop) close() error {
	l.do(func() { l.end = true })
	<-l.ended
	return unix.Close(l.event)
}
