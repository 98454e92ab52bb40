package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Sink is what makes a configuration work.
type Sink interface {
	// Replace makes packets follow a configuration instead of the one before it.
	// All or nothing: with an error, the one before it is in force.
	Replace(ctx context.Context, c *Config) error
}

// Caller is who wants a change.
type Caller struct {
	UID  uint32 `json:"uid"`
	PID  int32  `json:"pid"`
	User string `json:"user,omitempty"` // its name, if it has one
}

// Generation is a configuration that was in force.
type Generation struct {
	Number  uint64    `json:"number"`
	Time    time.Time `json:"time"`
	Caller  Caller    `json:"caller"`
	Action  string    `json:"action"`         // "apply", "rollback", "routes add ..."
	File    string    `json:"file,omitempty"` // that it was read from
	Summary string    `json:"summary"`        // of what it changed
}

// keepGenerations is how many are kept, the one in force too.
const keepGenerations = 20

// Errors of a Store.
var (
	ErrNothingPending = errors.New("nothing waits to be confirmed")
	ErrNoGeneration   = errors.New("no such generation")
	ErrChanged        = errors.New("the configuration has changed meanwhile")
	ErrConfirm        = errors.New("confirm time")
	ErrLoading        = errors.New("the daemon is loading its configuration: try again")
	ErrDisk           = errors.New("configuration cannot be kept on disk")
)

// Bounds of the time to confirm.
const (
	MinConfirm = time.Second
	MaxConfirm = 24 * time.Hour
)

// Options are what a Store works with. Dir and Sink are needed.
type Options struct {
	Dir      string       // made if need be
	Identity string       // of the network namespace; state of another one is left aside
	Sink     Sink         //
	Log      *slog.Logger // audit, too; nil: none
	Clock    Clock        // nil: the machine's
}

// Store keeps the configuration that is in force, and those before it. All its
// methods may be called at any time.
type Store struct {
	options Options
	mu      sync.Mutex
	files   files
	state   state
	running *Config
	started bool
	changed chan struct{} // the deadline may be another one
}

// Open reads what there is. A change that was to be confirmed, and was not in time,
// is taken back. Nothing is given to the Sink before Start.
//
// Errors: those of reading; state that is damaged.
func Open(o Options) (*Store, error) {
	if o.Clock == nil {
		o.Clock = machine{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{options: o, files: files{o.Dir}, changed: make(chan struct{}, 1)}
	if err := s.load(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Store) load() (err error) {
	if s.state, err = s.files.read(s.options.Identity); err != nil {
		return err
	}
	if p := s.state.Pending; p != nil && p.left(s.options.Clock) <= 0 {
		s.options.Log.Warn("configuration was not confirmed in time: taking the one before it", "generation", p.Generation, "before", p.Before)
		if err := s.files.write(s.state.restored(p.Before)); err != nil {
			return err
		}
		s.state = s.state.restored(p.Before)
	}
	s.running, err = s.files.config(s.state.Running)
	return err
}

// Start puts the configuration of a file into force, if the file is another one
// than it was at the last start or apply, and else the one that was in force.
// Without a file (nil), it is always the latter. While a change waits to be
// confirmed the file is not looked at. A disk that cannot be written to is no
// reason not to start.
func (s *Store) Start(ctx context.Context, file *Config, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = true
	switch {
	case file == nil || s.state.Pending != nil || s.state.Seen == digest(file):
		if err := s.options.Sink.Replace(ctx, s.running); err != nil {
			return fmt.Errorf("put configuration %d into force: %w", s.state.Running, err)
		}
		s.options.Log.Info("configuration", "generation", s.state.Running, "routes", len(s.running.Routes), "neighbors", len(s.running.Neighbors))
		return nil
	}
	_, err := s.commit(ctx, file, change{action: "start", file: name, seen: true})
	if !errors.Is(err, ErrDisk) {
		return err
	}
	s.options.Log.Warn("configuration is in force, and changes to it cannot be made", "error", err)
	if err := s.options.Sink.Replace(ctx, file); err != nil {
		return err
	}
	s.running = file
	return nil
}

// Running returns the configuration in force, which the caller does not change,
// and its generation: 0 is the empty one.
func (s *Store) Running() (*Config, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running, s.state.Running
}

// Generations returns those that are kept, the latest first, and what waits to be
// confirmed.
func (s *Store) Generations() ([]Generation, *Pending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.state.Generations)
	slices.Reverse(all)
	if s.state.Pending == nil {
		return all, nil
	}
	p := *s.state.Pending
	return all, &p
}

// Generation returns the configuration of one that is kept.
//
// Errors: ErrNoGeneration.
func (s *Store) Generation(number uint64) (*Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.generation(number)
}

func (s *Store) generation(number uint64) (*Config, error) {
	if !s.state.has(number) {
		return nil, fmt.Errorf("generation %d: %w", number, ErrNoGeneration)
	}
	return s.files.config(number)
}

// Left returns how much time is left to confirm, 0 if nothing waits.
func (s *Store) Left() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Pending == nil {
		return 0
	}
	return max(s.state.Pending.left(s.options.Clock), 0)
}

// Request is a change that somebody wants.
type Request struct {
	Caller  Caller
	Action  string
	File    string        // that To was read from; "": none
	Confirm time.Duration // 0: at once for good
	Base    uint64        // generation that it was made for; 0: whichever is in force
}

// Apply puts a configuration into force: on disk and in the Sink, or, with an
// error, in neither.
//
// Errors: ErrChanged, ErrConfirm, ErrLoading before Start; those of the Sink and
// of the disk.
func (s *Store) Apply(ctx context.Context, to *Config, r Request) (*Plan, error) {
	return s.Edit(ctx, r, func(*Config) (*Config, error) { return to, nil })
}

// Edit is Apply of what edit makes of the configuration in force, of which it
// changes nothing.
func (s *Store) Edit(ctx context.Context, r Request, edit func(*Config) (*Config, error)) (*Plan, error) {
	if r.Confirm != 0 && (r.Confirm < MinConfirm || r.Confirm > MaxConfirm) {
		return nil, fmt.Errorf("%w %v: want %v to %v", ErrConfirm, r.Confirm, MinConfirm, MaxConfirm)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		return nil, ErrLoading
	}
	if r.Base != 0 && r.Base != s.state.Running {
		return nil, fmt.Errorf("%w: generation %d is in force, not %d", ErrChanged, s.state.Running, r.Base)
	}
	to, err := edit(s.running)
	if err != nil {
		return nil, err
	}
	return s.commit(ctx, to, change{caller: r.Caller, action: r.Action, file: r.File, confirm: r.Confirm, seen: r.File != ""})
}

// Confirm makes the change that waits for it one for good.
//
// Errors: ErrNothingPending.
func (s *Store) Confirm(by Caller) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.state.Pending
	if p == nil {
		return 0, ErrNothingPending
	}
	if p.left(s.options.Clock) <= 0 { // it is being taken back
		return 0, ErrNothingPending
	}
	next := s.state.clone()
	next.Pending = nil
	if err := s.files.write(next); err != nil {
		return 0, err
	}
	s.state = next
	s.audit("confirm", by, "generation", p.Generation)
	s.wake()
	return p.Generation, nil
}

// Rollback puts the configuration into force that was so n changes ago. What waits
// to be confirmed is taken back by n = 1.
//
// Errors: ErrNoGeneration; those of the Sink and of the disk.
func (s *Store) Rollback(ctx context.Context, n int, by Caller) (*Plan, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		return nil, ErrLoading
	}
	number, err := s.state.ago(n)
	if err != nil {
		return nil, err
	}
	to, err := s.generation(number)
	if err != nil {
		return nil, err
	}
	return s.commit(ctx, to, change{caller: by, action: fmt.Sprintf("rollback to %d", number)})
}

// Run takes back what is not confirmed in time, until ctx ends.
func (s *Store) Run(ctx context.Context) {
	timer := time.NewTimer(lookEvery)
	defer timer.Stop()
	for {
		wait := lookEvery
		if left := s.Left(); left > 0 {
			wait = min(left, lookEvery)
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		case <-timer.C:
		}
		s.Expire(ctx)
	}
}

// lookEvery is how often the deadline is looked at: a timer of the process does
// not count the time that the machine sleeps.
const lookEvery = time.Second

// Expire takes back what was to be confirmed by now and was not.
func (s *Store) Expire(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.state.Pending
	if p == nil || p.left(s.options.Clock) > 0 {
		return
	}
	if err := s.expire(ctx, p); err != nil {
		s.options.Log.Error("configuration was not confirmed in time, and cannot be taken back: trying again", "generation", p.Generation, "error", err)
	}
}

func (s *Store) expire(ctx context.Context, p *Pending) error {
	before, err := s.files.config(p.Before)
	if err != nil {
		return err
	}
	if err := s.options.Sink.Replace(ctx, before); err != nil {
		return err
	}
	s.running = before
	next := s.state.restored(p.Before)
	if err := s.files.write(next); err != nil { // as after a kill: the next start finds the time over, too
		s.options.Log.Error("keep that the configuration was taken back", "error", err)
	}
	s.state = next
	s.files.sweep(next)
	s.audit("not confirmed in time: rolled back", Caller{}, "from", p.Generation, "generation", p.Before)
	return nil
}

func (s *Store) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// audit logs who has changed what.
func (s *Store) audit(action string, by Caller, args ...any) {
	s.options.Log.Info("configuration: "+action, append([]any{"uid", by.UID, "pid", by.PID, "user", by.User}, args...)...)
}
