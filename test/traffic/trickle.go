package traffic

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Trickle sends perSecond packets a second, each at its time, until ctx ends: at most some
// 20,000, for they take a system call each. The calling thread is in the interface's
// network namespace.
func (g *Generator) Trickle(ctx context.Context, perSecond int) error {
	runtime.LockOSThread() // for its timers
	defer runtime.UnlockOSThread()
	g.mu.Lock()
	defer g.mu.Unlock()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a packet socket: %w", err)
	}
	defer unix.Close(fd)
	sequence, err := g.next()
	if err != nil {
		return err
	}
	to := &unix.SockaddrLinklayer{Ifindex: g.spec.Ifindex}
	every := time.Second / time.Duration(perSecond)
	for due := time.Now(); ctx.Err() == nil; due = due.Add(every) {
		if wait := time.Until(due); wait > 0 {
			pause(wait)
		}
		if err := unix.Sendto(fd, g.Frame(sequence), 0, to); err != nil {
			return fmt.Errorf("send a packet to ifindex %d: %w", g.spec.Ifindex, err)
		}
		sequence++
		g.sent.Add(1)
	}
	return g.sequence.Set(sequence)
}

// pause sleeps with the kernel's precision, which is better than that of Go's timers.
func pause(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil)
}
