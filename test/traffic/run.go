package traffic

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Load says how many packets go out, and how fast.
type Load struct {
	Rate    float64 // packets a second; 0: as fast as they go
	Packets uint64  // end after so many; 0: when the context ends

	// Time ends it, too, some ms after it is over. It begins with the first packet, which comes 12 ms or more after the
	// call. 0: it has no end.
	Time time.Duration
}

// Sent is what a Generator has made in a Run.
type Sent struct {
	Packets, Bytes uint64
	Skipped        uint64  // packets of Load.Rate whose time had passed before the CPU came to them: never made
	Rate           float64 // packets a second, from the first to the last; 0: too few to tell
}

// MaxRate is more than any machine makes.
const MaxRate = 1e9

// SleepRate is up to which rate a Generator sleeps between packets, which go through a socket then. Above, it has a CPU
// of its own.
const SleepRate = 5000

// ErrRate is a Load that is none.
var ErrRate = errors.New("impossible rate")

func (l Load) check() error {
	if l.Rate != 0 && !(l.Rate >= 0.001 && l.Rate <= MaxRate) {
		return fmt.Errorf("%w: %g packets a second, want 0.001 to %g, or 0 for as many as go", ErrRate, l.Rate, MaxRate)
	}
	return nil
}

// Run sends on the calling thread's CPU until the Load is over or ctx ends, which is no error. The thread is in the
// interface's network namespace. Sequence numbers go on from call to call.
//
// Packets have their times: one each 1/Rate, in groups of not more than some 2 us. The program asks for the clock, so
// that a call is one system call however long it is; but each takes some 25 ms besides. When others have the CPU, what should
// have gone meanwhile is skipped, and counted: no burst follows.
//
// Errors: ErrRate.
func (g *Generator) Run(ctx context.Context, l Load) (s Sent, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err = l.check(); err == nil {
		runtime.LockOSThread() // for its timers, and for who interrupts it
		defer runtime.UnlockOSThread()
		if g.spec.longest() > MaxLive || l.Rate > 0 && l.Rate <= SleepRate {
			s, err = g.runSocket(ctx, l)
		} else {
			s, err = g.runLive(ctx, l)
		}
	}
	if err != nil {
		err = fmt.Errorf("send packets: %w", err)
	}
	return s, err
}

// slack is how many packets, and how many ns, may be late.
const (
	slackPackets = 32
	slackTime    = 10_000
)

// pace writes the program's variables.
func (g *Generator) pace(l Load, end uint64) error {
	var period uint64
	if l.Rate > 0 {
		period = max(1, uint64(math.Round(1e9*(1<<16)/l.Rate)))
	}
	return g.set(map[string]uint64{
		"end": end, "period": period, "slack": max(slackPackets*period, slackTime<<16),
		"start": 0, "next": 0, "now": 0, "skipped": 0, "since": 0, "until": 0, "since_sequence": 0, "until_sequence": 0,
	})
}

func (g *Generator) set(values map[string]uint64) error {
	for name, v := range values {
		if err := g.coll.Variables[name].Set(v); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

func (g *Generator) get(name string) (v uint64, err error) {
	if err = g.coll.Variables[name].Get(&v); err != nil {
		err = fmt.Errorf("read %s: %w", name, err)
	}
	return v, err
}

func (g *Generator) runLive(ctx context.Context, l Load) (s Sent, err error) {
	first, err := g.next()
	if err != nil {
		return s, err
	}
	end := uint64(math.MaxUint64)
	if l.Packets > 0 {
		end = first + l.Packets
	}
	if err := g.pace(l, end); err != nil {
		return s, err
	}
	interrupt := g.interrupter(ctx, l, first, end)
	for at := first; at < end && err == nil && ctx.Err() == nil && !interrupt.over.Load(); {
		err = g.testRun(l, end-at)
		if errors.Is(err, unix.EINTR) {
			err = nil
		}
		var e error
		if at, e = g.next(); err == nil {
			err = e
		}
	}
	interrupt.end()
	return g.tell(first, err)
}

// tell returns what has been sent from a sequence number on.
func (g *Generator) tell(first uint64, failed error) (s Sent, err error) {
	next, err := g.next()
	if err != nil {
		return s, errors.Join(failed, err)
	}
	s = Sent{Packets: next - first, Bytes: g.spec.bytes(first, next-first)}
	var times [4]uint64
	for i, name := range []string{"since", "until", "since_sequence", "until_sequence"} {
		if times[i], err = g.get(name); err != nil {
			return s, errors.Join(failed, err)
		}
	}
	if times[1] > times[0] {
		s.Rate = float64(times[3]-times[2]) / time.Duration(times[1]-times[0]).Seconds()
	}
	s.Skipped, err = g.get("skipped")
	return s, errors.Join(failed, err)
}

// testRunAttr is that of BPF_PROG_TEST_RUN in linux/bpf.h.
type testRunAttr struct {
	progFD, retval, dataSizeIn, dataSizeOut uint32
	dataIn, dataOut                         uint64
	repeat, duration, ctxSizeIn, ctxSizeOut uint32
	ctxIn, ctxOut                           uint64
	flags, cpu, batchSize                   uint32
	_                                       uint32
}

const progTestRun = 10

// testRun has the program run until packets have gone out, or a signal comes (EINTR).
func (g *Generator) testRun(l Load, packets uint64) error {
	data := g.template
	var pinned runtime.Pinner
	pinned.Pin(&data[0])
	defer pinned.Unpin()
	attr := testRunAttr{
		progFD:     uint32(g.coll.Programs["generate"].FD()),
		dataSizeIn: uint32(len(data)), dataIn: uint64(uintptr(unsafe.Pointer(&data[0]))),
		repeat: uint32(min(packets, math.MaxInt32)), flags: unix.BPF_F_TEST_XDP_LIVE_FRAMES, batchSize: l.batch(),
	}
	if l.Rate > 0 || l.Time > 0 {
		attr.repeat = math.MaxInt32 // most runs make no packet
	}
	if _, _, errno := unix.Syscall(unix.SYS_BPF, progTestRun, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr)); errno != 0 {
		return errno
	}
	return nil
}

// batch is how many times the program runs before what it has sent leaves: 30 ns each. 0: as the kernel likes.
func (l Load) batch() uint32 {
	switch {
	case l.Rate == 0 || l.Rate > 2e6:
		return 0
	case l.Rate > 500e3:
		return 16
	default:
		return 8
	}
}

// interrupter ends a run of a program that is not over by itself.
type interrupter struct {
	stop, done chan struct{}
	over       atomic.Bool // the load's time is
}

const interruptEvery = time.Millisecond

// interrupter watches over a run on the calling thread.
func (g *Generator) interrupter(ctx context.Context, l Load, first, end uint64) *interrupter {
	i := &interrupter{stop: make(chan struct{}), done: make(chan struct{})}
	pid, tid := unix.Getpid(), unix.Gettid()
	go func() {
		defer close(i.done)
		tick := time.NewTicker(interruptEvery)
		defer tick.Stop()
		var begin time.Time // of the packets
		for {
			select {
			case <-i.stop:
				return
			case <-tick.C:
			}
			at, err := g.next()
			if begin.IsZero() && at > first {
				begin = time.Now()
			}
			if l.Time > 0 && !begin.IsZero() && time.Since(begin) >= l.Time {
				i.over.Store(true)
			}
			if err != nil || at >= end || ctx.Err() != nil || i.over.Load() {
				_ = g.coll.Variables["end"].Set(uint64(0))
				_ = unix.Tgkill(pid, tid, unix.SIGURG) // Go has a handler for it, which does nothing here
			}
		}
	}()
	return i
}

func (i *interrupter) end() {
	close(i.stop)
	<-i.done
}
