package config

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// change is what a commit does, and for whom.
type change struct {
	caller  Caller
	action  string
	file    string
	seen    bool          // it is the file's content
	confirm time.Duration // 0: for good at once
}

// commit puts a configuration into force, in this order: it is written, beside
// what there is; the Sink takes it; a rename makes it the one in force. Killed at
// any point, the next start has all of the old one or all of the new.
func (s *Store) commit(ctx context.Context, to *Config, c change) (*Plan, error) {
	plan := Diff(s.running, to)
	next := s.state.next(Generation{
		Time: s.options.Clock.Now().UTC(), Caller: c.caller, Action: c.action, File: c.file, Summary: plan.Summary(),
	})
	if c.seen {
		next.Seen = digest(to)
	}
	next.Pending = nil
	if c.confirm > 0 {
		next.Pending = newPending(next.Running, s.before(), c.confirm, s.options.Clock)
	}
	next.trim()
	if len(plan.Changes) == 0 && c.confirm == 0 && s.state.Pending == nil && s.state.Running != 0 {
		return plan, s.keepSeen(next.Seen)
	}
	if err := s.files.prepare(next, to); err != nil {
		return nil, err
	}
	if err := s.options.Sink.Replace(ctx, to); err != nil {
		s.files.discard(next.Running)
		return nil, fmt.Errorf("configuration is not taken, nothing has changed: %w", err)
	}
	if err := s.files.write(next); err != nil {
		// The change is in force and would not outlive the daemon: back.
		err = errors.Join(err, s.files.restore(s.state))
		s.files.discard(next.Running)
		return nil, errors.Join(err, s.options.Sink.Replace(context.WithoutCancel(ctx), s.running))
	}
	s.state, s.running = next, to
	s.files.sweep(next)
	s.audit(c.action, c.caller, "generation", next.Running, "changes", plan.Summary(), "file", c.file, "confirm", c.confirm)
	s.wake()
	return plan, nil
}

// keepSeen keeps which file was read last, when it changes nothing.
func (s *Store) keepSeen(seen string) error {
	if s.state.Seen == seen {
		return nil
	}
	next := s.state.clone()
	next.Seen = seen
	if err := s.files.write(next); err != nil {
		return err
	}
	s.state = next
	return nil
}

// before is the generation that comes back when the next change is not confirmed:
// never one that itself has not been.
func (s *Store) before() uint64 {
	if s.state.Pending != nil {
		return s.state.Pending.Before
	}
	return s.state.Running
}
