package bgp

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Of what GoBGP logs so much is passed on: a flapping neighbor must not fill disks.
const (
	logBurst = 50
	logEvery = 200 * time.Millisecond
)

// limited passes a bounded number of records on, and says how many it has not.
type limited struct {
	slog.Handler
	share *share
}

type share struct {
	mu      sync.Mutex
	tokens  int
	last    time.Time
	dropped int
}

func newLogger(log *slog.Logger) *slog.Logger {
	return slog.New(&limited{log.Handler(), &share{tokens: logBurst}}).With("of", "bgp")
}

// Enabled leaves out what GoBGP says of each of its steps.
func (l *limited) Enabled(ctx context.Context, level slog.Level) bool {
	return l.Handler.Enabled(ctx, lowered(level))
}

// lowered takes GoBGP's information for what it is to weft: detail.
func lowered(level slog.Level) slog.Level {
	if level < slog.LevelWarn {
		return level - (slog.LevelInfo - slog.LevelDebug)
	}
	return level
}

// harmless is what GoBGP warns of each time a neighbor comes back before it is time.
const harmless = "Closed an accepted connection"

// Handle implements slog.Handler.
func (l *limited) Handle(ctx context.Context, r slog.Record) error {
	if r.Level = lowered(r.Level); r.Message == harmless {
		r.Level = slog.LevelDebug
	}
	if !l.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	ok, dropped := l.share.take(r.Time)
	if !ok {
		return nil
	}
	if dropped > 0 {
		r.AddAttrs(slog.Int("not_logged_before", dropped))
	}
	return l.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (l *limited) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &limited{l.Handler.WithAttrs(attrs), l.share}
}

// WithGroup implements slog.Handler.
func (l *limited) WithGroup(name string) slog.Handler {
	return &limited{l.Handler.WithGroup(name), l.share}
}

func (s *share) take(now time.Time) (ok bool, dropped int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if more := int(now.Sub(s.last) / logEvery); more > 0 {
		s.tokens, s.last = min(s.tokens+more, logBurst), now
	}
	if s.tokens == 0 {
		s.dropped++
		return false, 0
	}
	s.tokens--
	dropped, s.dropped = s.dropped, 0
	return true, dropped
}
