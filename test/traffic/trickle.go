package traffic

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Trickle sends perSecond packets a second, each at its time, until ctx ends: at most some
// 20,000, for they take a system call each. The calling thread is in the interface's
// network namespace.
func (g *Generator) Trickle(ctx context.Context, perSecond int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, err := g.runSocket(ctx, Load{Rate: float64(perSecond)})
	return err
}

// runSocket sends through a packet socket.
func (g *Generator) runSocket(ctx context.Context, l Load) (s Sent, err error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return s, fmt.Errorf("open a packet socket: %w", err)
	}
	defer unix.Close(fd)
	first, err := g.next()
	if err != nil {
		return s, err
	}
	if l.Time > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.Time)
		defer cancel()
	}
	to := &unix.SockaddrLinklayer{Ifindex: g.spec.Ifindex}
	start := time.Now()
	for ctx.Err() == nil && (l.Packets == 0 || s.Packets < l.Packets) {
		if l.Rate > 0 {
			s.Skipped += waitTurn(ctx, start, l.Rate, s.Packets+s.Skipped)
		}
		if ctx.Err() != nil {
			break
		}
		b := g.frame(first+s.Packets, g.stamp(first+s.Packets))
		if err = unix.Sendto(fd, b, 0, to); err != nil {
			err = fmt.Errorf("send a packet to ifindex %d: %w", g.spec.Ifindex, err)
			break
		}
		s.Packets++
		if err = g.sequence.Set(first + s.Packets); err != nil {
			break
		}
		s.Bytes += uint64(len(b))
	}
	if took := time.Since(start).Seconds(); s.Packets > 1 {
		s.Rate = float64(s.Packets) / took
	}
	slot := (first + s.Packets - g.spec.First) % uint64(len(g.spec.Pattern))
	if e := g.coll.Variables["slot"].Set(uint32(slot)); err == nil {
		err = e
	}
	return s, err
}

const (
	longestPause = 50 * time.Millisecond // how long a context that ends may go unseen
	slackTrickle = 100 * time.Millisecond
)

// waitTurn waits for packet n's time. It returns how many packets are too late.
func waitTurn(ctx context.Context, start time.Time, rate float64, n uint64) (late uint64) {
	due := start.Add(time.Duration(float64(n) * 1e9 / rate))
	for ctx.Err() == nil {
		wait := time.Until(due)
		if wait < -slackTrickle {
			return uint64(-wait.Seconds() * rate)
		}
		if wait <= 0 {
			return 0
		}
		pause(min(wait, longestPause))
	}
	return 0
}

// stamp is the time that a packet carries.
func (g *Generator) stamp(sequence uint64) uint64 {
	if g.spec.Stamp == 0 || sequence%uint64(g.spec.Stamp) != 0 {
		return 0
	}
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // that of bpf_ktime_get_ns
	return uint64(t.Nano())
}

// pause sleeps with the kernel's precision, which is better than that of Go's timers.
func pause(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil)
}
