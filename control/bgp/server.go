package bgp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

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
	// Restarted tells that a daemon before this one has forwarded packets: neighbors
	// that speak graceful restart are told that they can have gone on.
	Restarted bool
	Log       *slog.Logger
}

// Server is the BGP router. Its methods may be called by several goroutines.
type Server struct {
	options Options
	log     *slog.Logger
	feed    *feed
	sync    *syncing

	mu      sync.Mutex
	config  *Config // nil: there is no BGP
	prefer  config.Preferences
	speaker *speaker // nil: none, or it waits for an identifier
	waits   bool     // and that was logged
	changed chan struct{}
}

// Errors of what a Server is asked, and of a configuration.
var (
	ErrNoBGP      = errors.New("the configuration has no BGP: add 'bgp: {as: ...}'")
	ErrNoNeighbor = errors.New("no such neighbor: 'weft bgp neighbors' lists them")
	ErrConfig     = errors.New("bgp cannot be as the configuration says")
)

// New makes a Server, which does nothing until it is given a configuration. It works
// in the network namespace of the process.
func New(o Options) *Server {
	s := &Server{options: o, log: o.Log, changed: make(chan struct{}, 1), prefer: config.Default().Preferences}
	s.feed = newFeed(o.RIB, o.Log)
	s.sync = newSyncing()
	return s
}

// Replace implements config.Sink. Sessions whose neighbors have not changed go on.
func (s *Server) Replace(ctx context.Context, c *config.Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, preferred := s.config, s.prefer
	if err := s.apply(ctx, c.BGP, c.Preferences); err != nil {
		return errors.Join(err, s.apply(context.WithoutCancel(ctx), old, preferred))
	}
	return nil
}

// apply makes a configuration work, or some of it and returns an error.
func (s *Server) apply(ctx context.Context, c *Config, p config.Preferences) error {
	if err := s.check(ctx, c); err != nil {
		return err
	}
	refeed := s.feed.prefer(p) && s.speaker != nil
	s.prefer = p
	if s.speaker != nil && (c == nil || s.speaker.isOther(c)) {
		if err := s.end(ctx); err != nil {
			return err
		}
		refeed = false
	}
	s.config = c
	if c == nil {
		s.sync.none()
		return nil
	}
	if s.speaker == nil {
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	if s.speaker == nil {
		return nil
	}
	if err := s.speaker.configure(ctx, c); err != nil {
		return err
	}
	if refeed {
		return s.speaker.refeed()
	}
	return nil
}

// start begins a life of GoBGP, when the router has an identifier.
func (s *Server) start(ctx context.Context) error {
	id := s.config.RouterID
	if !id.IsValid() {
		var err error
		if id, err = s.findRouterID(ctx); err != nil {
			return err
		}
	}
	if !id.IsValid() {
		if !s.waits {
			s.log.Warn("BGP waits for an IPv4 address, to be its router identifier: add one, or bgp.router_id")
		}
		s.waits = true
		return nil
	}
	width := int(s.config.MaximumPaths)
	if err := s.options.RIB.Do(ctx, func(r *rib.RIB) { r.SetWidth(rib.BGP, width) }); err != nil {
		return err
	}
	sp, err := newSpeaker(s, id)
	if err != nil {
		return err
	}
	s.speaker, s.waits = sp, false
	return nil
}

// end ends a life of GoBGP: sessions, and what came by them.
func (s *Server) end(ctx context.Context) error {
	s.speaker.stop()
	s.speaker = nil
	if err := s.options.RIB.Do(ctx, func(r *rib.RIB) { r.Watch(false, nil) }); err != nil {
		return err
	}
	return s.feed.clear(ctx)
}

// Close ends all sessions, and tells neighbors so. A daemon that is to be followed by
// another does not call it: its end is what neighbors take for a restart.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.speaker != nil {
		s.speaker.stop()
		s.speaker = nil
	}
	s.config = nil
}

// Run keeps the Server right while links and addresses change, until ctx ends. The
// sessions stay.
func (s *Server) Run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { s.feed.run(ctx) })
	all.Go(func() { s.sync.run(ctx, s.Settled) })
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		case <-look.C:
			s.followHops(ctx)
			if !s.searches() {
				continue
			}
		}
		if err := s.follow(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("bring BGP up to date after links have changed", "error", err)
		}
	}
}

// lookEvery is how often a neighbor is looked for that was not found, and whether next hops
// lead anywhere.
const lookEvery = time.Second

func (s *Server) followHops(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.speaker == nil {
		return
	}
	if err := s.speaker.followHops(ctx); err != nil && ctx.Err() == nil {
		s.log.Warn("tell BGP which next hops lead nowhere", "error", err)
	}
}

func (s *Server) searches() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config != nil && (s.speaker == nil || s.speaker.finder.searches())
}

// InterfaceChanged takes note that links or addresses have changed. It does not block.
func (s *Server) InterfaceChanged() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// follow does what changes of links and addresses make necessary.
func (s *Server) follow(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.config == nil:
		return nil
	case s.speaker == nil:
		return s.apply(ctx, s.config, s.prefer)
	}
	return s.speaker.followLinks(ctx)
}

// Synced is closed when the routes that neighbors had sent before a restart are in
// the RIB again, as far as they come: what is left of those before may go then.
func (s *Server) Synced() <-chan struct{} { return s.sync.done }

// Settled reports whether the RIB has been given all that GoBGP has chosen.
func (s *Server) Settled() bool { return s.feed.waiting() == 0 }

// findRouterID returns the highest IPv4 address, of loopback interfaces if there is
// one; invalid: there is none.
func (s *Server) findRouterID(ctx context.Context) (id netip.Addr, err error) {
	best := -1
	err = s.options.RIB.Do(ctx, func(r *rib.RIB) {
		for a := range r.Addrs {
			addr := a.Prefix.Addr()
			if !addr.Is4() || addr.IsLoopback() || addr.IsLinkLocalUnicast() {
				continue
			}
			rank := 0
			if l, _ := r.Link(a.Link); l.Name == "lo" {
				rank = 1
			}
			if rank > best || rank == best && id.Less(addr) {
				best, id = rank, addr
			}
		}
	})
	return id, err
}

// check finds what is wrong with a configuration before anything is changed.
func (s *Server) check(ctx context.Context, c *Config) error {
	if c == nil {
		return nil
	}
	p, err := compile(c, nil, nil, nil)
	if err == nil {
		err = checkPolicies(ctx, p)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	own := map[netip.Addr]bool{}
	if err := s.options.RIB.Do(ctx, func(r *rib.RIB) {
		for a := range r.Addrs {
			own[a.Prefix.Addr()] = true
		}
	}); err != nil {
		return err
	}
	for _, n := range c.Neighbors {
		if own[n.Address] {
			return fmt.Errorf("%w: neighbor %s is this machine: give the address of the other one", ErrConfig, n.Address)
		}
	}
	return nil
}

// isOther reports whether a configuration takes another life of GoBGP.
func (sp *speaker) isOther(c *Config) bool {
	o := &sp.config
	return c.AS != o.AS || c.RouterID != o.RouterID || c.ListenPort != o.ListenPort || c.MaximumPaths != o.MaximumPaths ||
		!slices.Equal(c.ListenAddresses, o.ListenAddresses)
}
