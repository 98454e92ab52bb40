package export

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"weft/control/kernel"
	"weft/control/rib"
)

// Do calls a function in the goroutine that owns the RIB: control.Follower's Do.
type Do func(context.Context, func(*rib.RIB)) error

// Exporter programs routes. Take, Observe, Settle and what it is asked may be called
// from any goroutine; Run is called once.
type Exporter struct {
	log    *slog.Logger
	writer *kernel.Writer
	conn   *kernel.Conn
	wake   chan struct{}

	mu       sync.Mutex
	pending  pending
	problems map[rib.Key]error
	status   Status

	// Of Run's goroutine.
	tables  map[int]uint32 // of VRFs
	groups  map[uint32]*group
	objects objects
	routes  map[rib.Key]*route
	todo    []rib.Key        // routes that are to be looked at
	recheck map[rib.Key]bool // routes that may or may not be there: whether somebody else's is
	failed  map[rib.Key]bool // routes that were refused
	drops   []drop
	left    map[place][]own // what an earlier weft has made and nobody has asked for yet
	settled bool            // all sources are back
	timers  timers
}

// Status says how far an Exporter is.
type Status struct {
	Routes    int    // of weft's own in the kernel
	Waiting   int    // changes that are not made yet, and those that were refused
	Conflicts int    // routes that are not there, for others have one of that metric
	Refused   int    // routes that the kernel refuses for another reason, and those whose next hops it does
	Changes   uint64 // that were sent
}

// pending is what Run does not know yet.
type pending struct {
	groups  map[uint32]rib.ExportGroup
	routes  map[rib.Key]rib.ExportRoute
	gone    []uint32
	lost    []rib.Key
	freed   map[place]struct{}  // prefixes of which a route has gone
	deleted map[uint32]struct{} // objects
	settle  bool
}

func newPending() pending {
	return pending{
		groups: map[uint32]rib.ExportGroup{}, routes: map[rib.Key]rib.ExportRoute{},
		freed: map[place]struct{}{}, deleted: map[uint32]struct{}{},
	}
}

// New makes an Exporter for the network namespace of the calling thread. To run it
// needs CAP_NET_ADMIN there.
func New(log *slog.Logger) (*Exporter, error) {
	writer, err := kernel.OpenWriter()
	if err != nil {
		return nil, err
	}
	conn, err := kernel.Open()
	if err != nil {
		writer.Close()
		return nil, err
	}
	return &Exporter{
		log: log, writer: writer, conn: conn, wake: make(chan struct{}, 1),
		pending: newPending(), problems: map[rib.Key]error{},
		tables: map[int]uint32{}, groups: map[uint32]*group{}, objects: newObjects(), routes: map[rib.Key]*route{},
		recheck: map[rib.Key]bool{}, failed: map[rib.Key]bool{}, left: map[place][]own{},
	}, nil
}

// Close closes the sockets, after Run. Routes stay.
func (e *Exporter) Close() error { return errors.Join(e.writer.Close(), e.conn.Close()) }

// Take takes note of what the RIB wants: it is rib.Options.Export. It does not block.
func (e *Exporter) Take(x *rib.Export) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, g := range x.Groups {
		g.Hops = slices.Clone(g.Hops)
		e.pending.groups[g.ID] = g
	}
	for _, r := range x.Routes {
		e.pending.routes[r.Key] = r
	}
	e.pending.gone = append(e.pending.gone, x.Gone...)
	e.pending.lost = append(e.pending.lost, x.Lost...)
	e.signal()
}

// Observe is told of changes in the kernel. It does not block.
func (e *Exporter) Observe(event kernel.Event) {
	switch event.Type {
	case unixDelRoute:
		e.routeGone(event.Payload)
	case unixDelNextHop:
		var n kernel.NextHop
		if n.Decode(event.Payload) == nil && isOurs(&n) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.pending.deleted[n.ID] = struct{}{}
			e.signal()
		}
	}
}

// routeGone lets a conflict be tried again.
func (e *Exporter) routeGone(payload []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.problems) == 0 {
		return
	}
	var r kernel.Route
	if r.Decode(payload) == nil && r.Protocol != rib.ProtocolWeft {
		e.pending.freed[place{r.Table, r.Prefix}] = struct{}{}
		e.signal()
	}
}

// Settle tells that all sources have offered what they have: what an earlier weft
// has programmed and none of them wants is withdrawn.
func (e *Exporter) Settle() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pending.settle = true
	e.signal()
}

// signal is called with mu held.
func (e *Exporter) signal() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Status returns how far it is.
func (e *Exporter) Status() Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.status
	s.Waiting += len(e.pending.routes) + len(e.pending.groups) + len(e.pending.lost) + len(e.pending.gone) + len(e.pending.deleted) + len(e.pending.freed)
	if e.pending.settle {
		s.Waiting++
	}
	for _, err := range e.problems {
		if errors.Is(err, ErrConflict) {
			s.Conflicts++
		}
	}
	s.Refused = len(e.problems) - s.Conflicts
	return s
}

// Problem returns why the kernel does not have a route, nil if it has it, or is about
// to.
func (e *Exporter) Problem(k rib.Key) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.problems[k]
}

// Run works until ctx ends. Routes stay.
func (e *Exporter) Run(ctx context.Context, do Do) {
	e.adopt(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		case <-timer.C:
		}
		busy := true
		for busy && ctx.Err() == nil {
			busy = e.round(ctx, do)
		}
		timer.Reset(e.timers.next())
	}
}
