package config

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Clock tells the time: by a clock that people may set, and by one that only
// counts, from the machine's start, asleep or not.
type Clock interface {
	Now() time.Time
	SinceBoot() time.Duration
	Boot() string // names the start of the machine
}

// machine is the machine's clock.
type machine struct{}

func (machine) Now() time.Time { return time.Now() }

func (machine) SinceBoot() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic(err) // every Linux since 2.6.39 has it
	}
	return time.Duration(t.Nano())
}

func (machine) Boot() string {
	text, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text))
}

// Pending is a change that waits to be confirmed.
type Pending struct {
	Generation uint64        `json:"generation"`
	Before     uint64        `json:"before"` // in force again if it is not
	Confirm    time.Duration `json:"confirm"`
	Deadline   time.Time     `json:"deadline"` // by the clock that may be set: for people, and after a restart of the machine
	Boot       string        `json:"boot"`
	SinceBoot  time.Duration `json:"since_boot"` // the deadline by the other clock
}

func newPending(generation, before uint64, confirm time.Duration, c Clock) *Pending {
	return &Pending{
		Generation: generation, Before: before, Confirm: confirm, Deadline: c.Now().Add(confirm).UTC(),
		Boot: c.Boot(), SinceBoot: c.SinceBoot() + confirm,
	}
}

// left returns how much time is left. A clock that somebody sets changes nothing
// about it. When the machine has been started anew there is only that clock: it may
// end the time, and not prolong it.
func (p *Pending) left(c Clock) time.Duration {
	if p.Boot == c.Boot() {
		return p.SinceBoot - c.SinceBoot()
	}
	return min(p.Deadline.Sub(c.Now()), p.Confirm-c.SinceBoot())
}
