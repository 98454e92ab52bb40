package soft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"weft/dataplane/soft/device"
	"weft/fib"
)

const (
	loopFrames    = 32 << 10 // 64 MiB
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
	mem    *device.Memory
	reader *fib.Reader
	event  int // eventfd: there are tasks
	tasks  chan func()
	told   atomic.Bool
	ended  chan struct{}
	end    bool
	polled []unix.PollFd // the event's, and those of sockets that packets come in by

	sleeps atomic.Uint64
}

// newLoop makes one and starts it.
func newLoop(readers *fib.Readers) (_ *loop, err error) {
	l := &loop{tasks: make(chan func()), ended: make(chan struct{})}
	if l.mem, err = device.NewMemory(loopFrames, loopFrameSize); err != nil {
		return nil, err
	}
	pool, err := l.mem.NewPool(l.mem.Frames())
	if err != nil {
		return nil, errors.Join(err, l.mem.Close())
	}
	if l.event, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, errors.Join(fmt.Errorf("make an eventfd: %w", err), l.mem.Close())
	}
	l.reader = readers.Join()
	l.Worker = NewWorker(Options{Memory: l.mem, Pool: pool, Reader: l.reader})
	l.setPolled(nil)
	go l.run()
	return l, nil
}

func (l *loop) setPolled(sockets []device.Queue) {
	l.polled = append(l.polled[:0], unix.PollFd{Fd: int32(l.event), Events: unix.POLLIN})
	for _, s := range sockets {
		l.polled = append(l.polled, unix.PollFd{Fd: int32(s.FD()), Events: unix.POLLIN})
	}
}

// run is the goroutine of the loop.
func (l *loop) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(l.ended)
	defer l.reader.Leave()
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
// configured before is not used any more then.
func (l *loop) do(f func()) {
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
	return errors.Join(unix.Close(l.event), l.mem.Close())
}
