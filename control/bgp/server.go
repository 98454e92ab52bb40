package bgp

import (
	"context"
	"errors"
	"iter"
	"log/slog"

	"weft/control/config"
	"weft/control/rib"
)

// RIB is where routes go: a control.Follower.
type RIB interface {
	Do(ctx context.Context, fn func(*rib.RIB)) error
	Update(ctx context.Context, change func(*rib.RIB), published func(r *rib.RIB, generation uint64)) error
}

// Options are chosen when a Server is made.
type Options struct {
	RIB RIB
	Log *slog.Logger
}

// Server is the BGP router.
type Server struct {
	options Options
}

// Errors of what a Server is asked.
var (
	ErrNoBGP      = errors.New("the configuration has no BGP: add 'bgp: {as: ...}'")
	ErrNoNeighbor = errors.New("no such neighbor: 'weft bgp neighbors' lists them")
)

// New makes a Server, which does nothing until it is given a configuration.
func New(o Options) *Server { return &Server{options: o} }

// Replace implements config.Sink.
func (s *Server) Replace(ctx context.Context, c *config.Config) error { return nil }

// Status returns what the Server does as a whole.
func (s *Server) Status() (Status, error) { return Status{}, ErrNoBGP }

// Neighbors returns all neighbors, by name. With advertised it counts the prefixes that
// are advertised to each (FamilyState.Advertised), for which it asks the policies
// again: with a full table that holds BGP up for seconds.
//
// Errors: ErrNoBGP.
func (s *Server) Neighbors(advertised bool) ([]Neighbor, error) { return nil, ErrNoBGP }

// Paths returns paths, the best of a prefix first. What it yields with an error is
// no path, and the last.
//
// Errors: ErrNoBGP, ErrNoNeighbor.
func (s *Server) Paths(f Filter) iter.Seq2[Path, error] {
	return func(yield func(Path, error) bool) { yield(Path{}, ErrNoBGP) }
}

// Clear ends the session with a neighbor, or applies policies again; "" or "all" are
// all neighbors.
//
// Errors: ErrNoBGP, ErrNoNeighbor.
func (s *Server) Clear(neighbor string, how Reset) error { return ErrNoBGP }
