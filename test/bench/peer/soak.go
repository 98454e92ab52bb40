package peer

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Soaker takes what others leave of a CPU. What it gets less of is what they take, to the last interrupt: the kernel's own
// figures are of 10 ms, and know softirqs by samples only.
type Soaker struct {
	turns atomic.Uint64
	stop  atomic.Bool
	ended chan error
}

// leastPriority still has its turns: Go waits for all threads now and then, which SCHED_IDLE would keep waiting.
const leastPriority = 19

// NewSoaker starts one.
func NewSoaker(cpu int) (*Soaker, error) {
	s := &Soaker{ended: make(chan error, 1)}
	ready := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // not unlocked: the thread ends
		err := pin(0, cpu)
		if err == nil {
			err = unix.Setpriority(unix.PRIO_PROCESS, 0, leastPriority)
		}
		ready <- err
		for err == nil && !s.stop.Load() {
			s.turns.Add(1)
		}
		s.ended <- err
	}()
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("soak up CPU %d: %w", cpu, err)
	}
	return s, nil
}

// Rate returns how many turns a second it has had while f ran.
func (s *Soaker) Rate(f func() error) (float64, error) {
	before, start := s.turns.Load(), time.Now()
	err := f()
	return float64(s.turns.Load()-before) / time.Since(start).Seconds(), err
}

// Close ends it.
func (s *Soaker) Close() error {
	s.stop.Store(true)
	return <-s.ended
}
