package static

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"

	"weft/control"
	"weft/control/config"
	"weft/control/kernel"
	"weft/control/rib"
)

// Source gives the RIB the static routes of the configuration in force.
type Source struct {
	follower *control.Follower
	log      *slog.Logger

	mu      sync.Mutex // held while the RIB is changed
	config  *config.Config
	names   map[string]place // of the links that the configuration names, as they were when it was given
	changed chan struct{}

	waiting atomic.Pointer[[]Waiting]
}

// Waiting is what cannot be in force yet.
type Waiting struct {
	Thing string     // "route 10.0.0.0/8"
	For   string     // "interface eth7"
	Route *rib.Route // of a route whose VRF is there: as far as it can be. The caller must not change it
}

// place is which link has a name.
type place struct {
	link  int
	table uint32 // of a VRF
}

// New makes a Source. Neighbors are written in the network namespace of the threads
// that call it: of the process. Needs CAP_NET_ADMIN there.
func New(f *control.Follower, log *slog.Logger) *Source {
	return &Source{follower: f, log: log, config: config.Default(), changed: make(chan struct{}, 1)}
}

// Replace implements config.Sink. Packets find the routes when it returns.
func (s *Source) Replace(ctx context.Context, c *config.Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.give(ctx, c); err != nil {
		return errors.Join(err, s.give(context.WithoutCancel(ctx), s.config))
	}
	s.config = c
	return nil
}

// give makes a configuration work, or some of it and returns an error.
func (s *Source) give(ctx context.Context, c *config.Config) error {
	var names map[string]place
	var routes, neighbors []Waiting
	var wanted []kernel.Neighbor
	var refused error
	if err := s.follower.Update(ctx, func(r *rib.RIB) {
		names = placesOf(r, c)
		routes, refused = offer(r, c, s.config, names)
		wanted, neighbors = resolveNeighbors(c, names)
	}, nil); err != nil {
		return err
	}
	if refused != nil {
		return refused
	}
	if err := replaceNeighbors(wanted); err != nil {
		return err
	}
	s.names = names
	waiting := append(routes, neighbors...)
	s.waiting.Store(&waiting)
	for _, w := range waiting {
		s.log.Info("configuration waits", "thing", w.Thing, "for", w.For)
	}
	return nil
}

// Withdraw removes the neighbors from the kernel: nobody will look after them.
func (s *Source) Withdraw() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return replaceNeighbors(nil)
}

// Remove removes the neighbors that a daemon left which was killed.
func Remove() error { return replaceNeighbors(nil) }

// Waiting returns what waits for links. The caller must not change it. It does not
// block.
func (s *Source) Waiting() []Waiting {
	if all := s.waiting.Load(); all != nil {
		return *all
	}
	return nil
}

// InterfaceChanged takes note that links have changed. It does not block.
func (s *Source) InterfaceChanged() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Run gives routes and neighbors again whose links have come or changed, until
// ctx ends.
func (s *Source) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		}
		if err := s.again(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("give static routes again after links have changed", "error", err)
		}
	}
}

// again does something only if a link that is named is another one.
func (s *Source) again(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names map[string]place
	if err := s.follower.Do(ctx, func(r *rib.RIB) { names = placesOf(r, s.config) }); err != nil {
		return err
	}
	if maps.Equal(names, s.names) {
		return nil
	}
	return s.give(ctx, s.config)
}

// placesOf finds the links that a configuration names, VRFs by their table, too.
func placesOf(r *rib.RIB, c *config.Config) map[string]place {
	named, tables := map[string]bool{}, map[uint32]bool{}
	hops := func(all []config.Hop) {
		for _, h := range all {
			named[h.Dev] = true
		}
	}
	for _, group := range c.Groups {
		hops(group)
	}
	for i := range c.Routes {
		named[c.Routes[i].VRF], tables[c.Routes[i].Table] = true, true
		hops(c.Routes[i].Hops)
	}
	for _, n := range c.Neighbors {
		named[n.Dev] = true
	}
	places := map[string]place{}
	for l := range r.Links {
		if named[l.Name] || l.VRFTable != 0 && tables[l.VRFTable] {
			places[l.Name] = place{l.Index, l.VRFTable}
		}
	}
	return places
}

// offer gives the RIB the routes of a configuration instead of those before: all,
// or none and an error.
func offer(r *rib.RIB, c, before *config.Config, names map[string]place) ([]Waiting, error) {
	waiting, err := replay(r, c, names)
	if err != nil {
		_, back := replay(r, before, placesOf(r, before))
		return nil, errors.Join(err, back)
	}
	return waiting, nil
}

func replay(r *rib.RIB, c *config.Config, names map[string]place) (waiting []Waiting, err error) {
	r.BeginReplay(rib.Static)
	for _, route := range c.Static() {
		m, lacks := translate(r, &route, names)
		if lacks != "" {
			waiting = append(waiting, Waiting{"route " + route.Text(), lacks, m})
		}
		if m == nil || m.Kind == rib.Unicast && len(m.Hops) == 0 {
			continue
		}
		if err := r.Set(m); err != nil {
			return nil, err
		}
	}
	r.EndReplay(rib.Static)
	return waiting, nil
}

var kinds = map[config.Kind]rib.Kind{
	config.Unicast: rib.Unicast, config.Blackhole: rib.Blackhole, config.Unreachable: rib.Unreachable, config.Prohibit: rib.Prohibit,
}

// translate returns a route for the RIB with the next hops that there are, nil if its
// VRF is not there yet, and what it lacks.
func translate(r *rib.RIB, route *config.Route, names map[string]place) (m *rib.Route, lacks string) {
	m = &rib.Route{
		Prefix: route.Prefix, Source: rib.Static, Origin: route.Preference, Protocol: rib.ProtocolWeft, Preference: route.Preference,
		Kind: kinds[route.Kind],
	}
	table := route.Table
	if route.VRF != "" {
		if table = names[route.VRF].table; table == 0 {
			return nil, "VRF " + route.VRF
		}
	}
	if table != 0 {
		vrf, ok := r.VRFOf(table)
		if !ok {
			return nil, fmt.Sprintf("a VRF of table %d", table)
		}
		m.VRF = vrf
	}
	for _, h := range route.Hops {
		link := names[h.Dev].link
		if h.Dev != "" && link == 0 {
			lacks = "interface " + h.Dev
			continue
		}
		m.Hops = append(m.Hops, rib.Hop{Gateway: h.Via, Link: link, Weight: int(h.Weight)})
	}
	return m, lacks
}
