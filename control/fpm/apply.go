package fpm

import (
	"context"
	"slices"
	"time"
)

const (
	// chunk is how many routes are handed to the Sink at once: others wait for it.
	chunk = 4096

	// holdParts is the part of the hold time that goes on while stale routes are
	// still told again.
	holdParts = 8

	retryEvery = time.Second
)

// apply hands what the peer says to the Sink, until ctx ends.
func (s *Server) apply(ctx context.Context) error {
	for {
		var err error
		select {
		case <-s.inbox.filled:
			err = s.drain(ctx)
		case <-s.aged:
			hold := s.holdTime()
			s.ending, s.timer = false, s.after(hold-hold/holdParts)
		case <-s.timer:
			err = s.holdEnds(ctx)
		case <-s.unused:
			if err = s.drain(ctx); err == nil {
				err = s.sweep(ctx, "FRR is not served any more")
			}
		case <-s.retry:
			s.retry = nil
			err = s.drainWith(ctx, s.homeless())
		case <-ctx.Done():
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// holdEnds removes stale routes, when the time is over and none is told again any
// more.
func (s *Server) holdEnds(ctx context.Context) error {
	if err := s.drain(ctx); err != nil {
		return err
	}
	if s.ending && s.refreshed == 0 {
		s.timer = nil
		return s.sweep(ctx, "FRR has not told them again")
	}
	s.ending, s.refreshed = true, 0
	s.timer = s.after(s.holdTime() / holdParts)
	return nil
}

func (s *Server) holdTime() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hold
}

// drain works off the inbox.
func (s *Server) drain(ctx context.Context) error { return s.drainWith(ctx, nil) }

// drainWith works off the inbox, and before it routes that are not new. While the Sink
// is at work on some, the next ones are made ready.
func (s *Server) drainWith(ctx context.Context, old []item[key, route]) error {
	nextHops, routes := s.inbox.take()
	defer s.inbox.done()
	var batches [2]Batch
	if len(nextHops) > 0 {
		old = append(s.setNextHops(&batches[0], nextHops), old...)
	}
	routes = append(except(old, routes), routes...)
	var last *handed
	for i := 0; len(routes) > 0 || i == 0 && len(batches[0].NextHops) > 0; i++ {
		n, b := min(len(routes), chunk), &batches[i%2]
		s.fill(b, routes[:n])
		if err := last.wait(); err != nil {
			return err
		}
		this := s.hand(ctx, b, routes[:n])
		s.finish(last)
		last, routes = this, routes[n:]
	}
	if err := last.wait(); err != nil {
		return err
	}
	s.finish(last)
	return s.forget(ctx, nextHops)
}

// except returns those of some routes that are not among others.
func except(some, others []item[key, route]) []item[key, route] {
	if len(some) == 0 {
		return nil
	}
	among := map[key]bool{}
	for i := range others {
		among[others[i].key] = true
	}
	return slices.DeleteFunc(some, func(r item[key, route]) bool {
		was := among[r.key]
		among[r.key] = true // once is enough
		return was
	})
}

// setNextHops puts new objects into a batch, and returns the routes that have
// waited for them.
func (s *Server) setNextHops(b *Batch, nextHops []item[objectKey, nextHop]) []item[key, route] {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting, _ := s.table.parked()
	for _, n := range nextHops {
		if !n.value.gone {
			b.NextHops = append(b.NextHops, s.table.setNextHop(n.key, n.value.NextHop))
		}
	}
	return s.table.users(slices.DeleteFunc(waiting, func(k objectKey) bool { return !s.table.isUsable(k) }))
}

// forget tells the Sink which objects have gone.
func (s *Server) forget(ctx context.Context, nextHops []item[objectKey, nextHop]) error {
	var b Batch
	s.mu.Lock()
	for _, n := range nextHops {
		if !n.value.gone {
			continue
		}
		if handle, ok := s.table.deleteNextHop(n.key); ok {
			b.Gone = append(b.Gone, handle)
		}
	}
	s.mu.Unlock()
	if len(b.Gone) == 0 {
		return nil
	}
	return s.config.Sink.Apply(ctx, &b)
}

// fill makes a batch of routes, and takes note of them.
func (s *Server) fill(b *Batch, routes []item[key, route]) {
	b.Routes = b.Routes[:0]
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range routes {
		k, r := &routes[i].key, &routes[i].value
		change := Change{Gone: r.gone, Route: r.route(k, r.hops)}
		if r.gone {
			s.table.delete(*k)
		} else {
			if s.table.set(*k, r.said) {
				s.refreshed++
			}
			if r.nextHop != 0 {
				change.Route.NextHop = s.table.objects[objectKey{r.generation, r.nextHop}].handle
			}
		}
		b.Routes = append(b.Routes, change)
	}
}

// handed is a batch that the Sink is at work on.
type handed struct {
	batch  *Batch
	routes []item[key, route]
	ended  chan error
}

// hand gives the Sink a batch of some routes.
func (s *Server) hand(ctx context.Context, b *Batch, routes []item[key, route]) *handed {
	h := &handed{b, routes, make(chan error, 1)}
	go func() { h.ended <- s.config.Sink.Apply(ctx, b) }()
	return h
}

// wait returns when the Sink is through. There may be nothing to wait for.
func (h *handed) wait() error {
	if h == nil {
		return nil
	}
	return <-h.ended
}

// finish acknowledges routes that the Sink is through with, or keeps them. Their batch
// is empty then.
func (s *Server) finish(h *handed) {
	if h == nil {
		return
	}
	s.keepHomeless(h.batch, h.routes)
	if s.config.Acknowledge {
		s.acknowledge(h.batch, h.routes)
	}
	*h.batch = Batch{Routes: h.batch.Routes[:0]}
}

// keepHomeless keeps what is to be told again.
func (s *Server) keepHomeless(b *Batch, routes []item[key, route]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range b.Routes {
		if !b.Routes[i].Gone && b.Routes[i].Became == Parked {
			s.table.homeless[routes[i].key] = routes[i].value
		}
	}
	if len(s.table.homeless) > 0 && s.retry == nil {
		s.retry = time.After(retryEvery)
	}
}

// homeless returns the routes in unknown tables.
func (s *Server) homeless() (routes []item[key, route]) {
	for k, r := range s.table.homeless {
		routes = append(routes, item[key, route]{k, r})
	}
	return routes
}

// sweep removes what is stale, and says why.
func (s *Server) sweep(ctx context.Context, why string) error {
	var routes []item[key, route]
	s.mu.Lock()
	for k, r := range s.table.routes {
		if r.generation != s.table.generation {
			routes = append(routes, item[key, route]{k, route{gone: true}})
		}
	}
	s.mu.Unlock()
	var b Batch
	for rest := routes; len(rest) > 0; {
		n := min(len(rest), chunk)
		s.fill(&b, rest[:n])
		if err := s.config.Sink.Apply(ctx, &b); err != nil {
			return err
		}
		rest = rest[n:]
	}
	b.Routes = nil
	s.mu.Lock()
	for k := range s.table.objects {
		if k.generation == s.table.generation {
			continue
		}
		if handle, ok := s.table.deleteNextHop(k); ok {
			b.Gone = append(b.Gone, handle)
		}
	}
	s.counts.Sweeps++
	s.counts.Swept += uint64(len(routes))
	s.mu.Unlock()
	if len(routes) > 0 {
		s.config.Log.Warn("stale routes removed: "+why, "routes", len(routes))
	}
	return s.config.Sink.Apply(ctx, &b)
}

// after is time.After unless a test says when.
func (s *Server) after(d time.Duration) <-chan time.Time {
	if s.clock != nil {
		return s.clock(d)
	}
	return time.After(d)
}
