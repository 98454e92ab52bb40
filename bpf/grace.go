package bpf

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const membarrierGlobal = 1 // MEMBARRIER_CMD_GLOBAL, Linux 4.3

// Grace knows when BPF programs have left memory of an image that was unlinked:
// it is a fib.Grace. A grace period is one of the kernel's RCU, under which
// programs run, and takes some 10 ms; it passes in a goroutine.
type Grace struct {
	begun atomic.Uint64
	over  atomic.Uint64
	wake  chan struct{}
	done  sync.WaitGroup
}

// NewGrace starts the goroutine; Close ends it.
func NewGrace() *Grace {
	g := &Grace{wake: make(chan struct{}, 1)}
	g.done.Go(g.run)
	return g
}

// Begin implements fib.Grace.
func (g *Grace) Begin() uint64 {
	n := g.begun.Add(1)
	select {
	case g.wake <- struct{}{}:
	default: // it will see the number when it is back
	}
	return n
}

// Over implements fib.Grace.
func (g *Grace) Over(period uint64) bool { return g.over.Load() >= period }

func (g *Grace) run() {
	for range g.wake {
		n := g.begun.Load()
		synchronizeRCU()
		g.over.Store(n)
	}
}

// synchronizeRCU returns when every program that runs now has ended. The call
// fails on kernels booted with nohz_full; a program cannot run for a second.
func synchronizeRCU() {
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, membarrierGlobal, 0, 0); errno != 0 {
		time.Sleep(time.Second)
	}
}

// Close ends the goroutine after the grace periods that have begun.
func (g *Grace) Close() {
	close(g.wake)
	g.done.Wait()
}
