package bgp

import (
	"context"
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"weft/control/config"
)

const (
	syncLook = 100 * time.Millisecond
	// A neighbor that does not speak graceful restart does not say when it has sent
	// all it has. It is taken to have when it is up so long.
	syncQuiet = 5 * time.Second
)

// syncing finds out when what neighbors had sent before a restart is back.
type syncing struct {
	done chan struct{}
	over sync.Once

	mu       sync.Mutex
	begun    bool
	speaker  *speaker
	deadline time.Time
}

func newSyncing() *syncing { return &syncing{done: make(chan struct{})} }

func (y *syncing) end() { y.over.Do(func() { close(y.done) }) }

// none takes note that there is no BGP: nothing is to be waited for.
func (y *syncing) none() { y.end() }

// begin tells whether neighbors are to be told of a restart: in the first life of
// GoBGP only, if the daemon has started with it.
func (y *syncing) begin(restarted bool) bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	first := !y.begun && !y.isOver()
	y.begun = true
	return first && restarted
}

func (y *syncing) isOver() bool {
	select {
	case <-y.done:
		return true
	default:
		return false
	}
}

// expect waits for the neighbors of a configuration.
func (y *syncing) expect(sp *speaker, c *Config) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.speaker = sp
	if y.deadline.IsZero() {
		y.deadline = time.Now().Add(deferral(c))
	}
}

// deferral is the longest of all neighbors' (RFC 4724 4.1, Selection_Deferral_Timer).
func deferral(c *Config) time.Duration {
	longest := config.DefaultDeferral
	if len(c.Neighbors) == 0 {
		return 0
	}
	for _, n := range c.Neighbors {
		gr := c.GracefulRestart
		if n.GracefulRestart != nil {
			gr = *n.GracefulRestart
		}
		longest = max(longest, gr.Deferral)
	}
	return longest
}

// run waits until all is back, or the time is over, and the RIB has it.
func (y *syncing) run(ctx context.Context, settled func() bool) {
	look := time.NewTicker(syncLook)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-y.done:
			return
		case now := <-look.C:
			if y.isBack(now) && settled() {
				y.end()
			}
		}
	}
}

func (y *syncing) isBack(now time.Time) bool {
	y.mu.Lock()
	sp, deadline := y.speaker, y.deadline
	y.mu.Unlock()
	return sp != nil && (now.After(deadline) || sp.allBack(now))
}

// allBack reports whether each neighbor has sent all that it has.
func (sp *speaker) allBack(now time.Time) bool {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	for _, s := range sp.sessions {
		if !s.neighbor.Shutdown && s.refused == "" && !s.isBack(now) {
			return false
		}
	}
	return true
}

func (s *session) isBack(now time.Time) bool {
	switch {
	case s.state != bgp.BGP_FSM_ESTABLISHED:
		return false
	case len(s.restarts) == 0: // it need not say
		return len(s.ended) == len(s.neighbor.Families) || now.Sub(s.since) > syncQuiet
	}
	for f := range s.restarts {
		if !s.ended[f] {
			return false
		}
	}
	return true
}
