package api

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"weft/control/kernel"
	"weft/control/rib"
)

// Kinds of events.
const (
	EventLink     = "link"
	EventAddress  = "address"
	EventNeighbor = "neighbor"
	EventRoute    = "route"
	EventNextHop  = "nexthop"
	EventPort     = "port"
	EventSync     = "sync"
	EventConfig   = "config" // the configuration has changed
)

var eventKinds = []string{EventLink, EventAddress, EventNeighbor, EventRoute, EventNextHop, EventPort, EventSync, EventConfig}

// backlog is how many events wait for a client; it is told of those beyond.
const backlog = 4096

// watchers are the clients of Monitor.
type watchers struct {
	count  atomic.Int32
	mu     sync.Mutex
	all    map[*watcher]bool
	closed bool
}

type watcher struct {
	kinds  []string // none: all
	events chan *Event
	lost   uint64
}

func (ws *watchers) add(w *watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.closed {
		close(w.events)
		return
	}
	if ws.all == nil {
		ws.all = map[*watcher]bool{}
	}
	ws.all[w] = true
	ws.count.Add(1)
}

func (ws *watchers) remove(w *watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.all[w] {
		delete(ws.all, w)
		ws.count.Add(-1)
	}
}

// close ends all streams.
func (ws *watchers) close() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.closed = true
	for w := range ws.all {
		close(w.events)
	}
	ws.all = nil
	ws.count.Store(0)
}

func (ws *watchers) send(e *Event) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.all {
		if len(w.kinds) > 0 && !slices.Contains(w.kinds, e.Kind) {
			continue
		}
		if len(w.events) == cap(w.events) {
			w.lost++
			continue
		}
		one := e
		if w.lost > 0 {
			one = proto.Clone(e).(*Event)
			one.Lost, w.lost = w.lost, 0
		}
		w.events <- one // there is room: only who has the lock fills
	}
}

// takeLost returns how many events a client was not told of when it has been told
// of all others: there may be no further one to say it with.
func (ws *watchers) takeLost(w *watcher) (lost uint64) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if len(w.events) == 0 {
		lost, w.lost = w.lost, 0
	}
	return lost
}

// Monitor implements RouterServer.
func (s *Server) Monitor(q *MonitorRequest, stream grpc.ServerStreamingServer[Event]) error {
	for _, kind := range q.Kinds {
		if !slices.Contains(eventKinds, kind) {
			return invalid("kind %q: want one of %v", kind, eventKinds)
		}
	}
	w := &watcher{kinds: q.Kinds, events: make(chan *Event, backlog)}
	s.watchers.add(w)
	defer s.watchers.remove(w)
	if err := stream.SendHeader(nil); err != nil { // the client is told from now on
		return err
	}
	for {
		if lost := s.watchers.takeLost(w); lost > 0 {
			if err := stream.Send(&Event{Time: time.Now().UnixNano(), Lost: lost}); err != nil {
				return err
			}
		}
		select {
		case e, ok := <-w.events:
			if !ok {
				return nil
			}
			if err := stream.Send(e); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return nil
		}
	}
}

// Note tells clients of something that the daemon did.
func (s *Server) Note(kind, note string) {
	if s.watchers.count.Load() > 0 {
		s.watchers.send(&Event{Time: time.Now().UnixNano(), Kind: kind, Note: validUTF8(note)})
	}
}

// Observe tells clients of a change of the kernel: for control.Config.Observe.
// While nobody listens it costs a load.
func (s *Server) Observe(r *rib.RIB, e kernel.Event) {
	if s.watchers.count.Load() == 0 {
		return
	}
	out := &Event{Time: time.Now().UnixNano()}
	if showEvent(out, r, e) {
		s.watchers.send(out)
	}
}

// showEvent reports whether the event is about routing.
func showEvent(out *Event, r *rib.RIB, e kernel.Event) bool {
	dev := func(index int) string { l, _ := r.Link(index); return validUTF8(l.Name) }
	switch e.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		var l kernel.Link
		if l.Decode(e.Payload) != nil {
			return false
		}
		out.Kind, out.Deleted = EventLink, e.Type == unix.RTM_DELLINK
		out.Link = &Link{
			Ifindex: uint32(l.Index), Dev: validUTF8(l.Name), Kind: l.Kind, Mtu: l.MTU, Up: l.IsUp() && l.HasCarrier(), Master: dev(l.Master),
		}
		if l.HasMAC {
			out.Link.Mac = l.MAC.String()
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		var a kernel.Addr
		if a.Decode(e.Payload) != nil {
			return false
		}
		out.Kind, out.Deleted = EventAddress, e.Type == unix.RTM_DELADDR
		out.Note = a.Prefix.String() + " dev " + dev(a.Link)
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		var n kernel.Neighbor
		if n.Decode(e.Payload) != nil {
			return false
		}
		out.Kind, out.Deleted = EventNeighbor, e.Type == unix.RTM_DELNEIGH
		out.Neighbor = &Neighbor{Dst: n.Addr.String(), Dev: dev(n.Link), Lladdr: macOf(&n), State: stateNames(n.State)}
	case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		var n kernel.NextHop
		if n.Decode(e.Payload) != nil {
			return false
		}
		out.Kind, out.Deleted = EventNextHop, e.Type == unix.RTM_DELNEXTHOP
		out.Note = describeNextHop(&n, dev)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		var route kernel.Route
		if route.Decode(e.Payload) != nil || route.Cached {
			return false
		}
		out.Kind, out.Deleted = EventRoute, e.Type == unix.RTM_DELROUTE
		out.Route = showKernelRoute(&route, dev)
	default:
		return false
	}
	return true
}
