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

// drainWith works off the inbox, and before it routes that are not new.
func (s *Server) drainWith(ctx context.Context, routes []item[key, route]) error {
	nextHops, news := s.inbox.take()
	defer s.inbox.done()
	routes = append(routes, news...)
	var b Batch
	if len(nextHops) > 0 {
		routes = append(s.setNextHops(&b, nextHops), routes...)
	}
	for len(b.NextHops)+len(routes) > 0 {
		n := min(len(routes), chunk)
		if err := s.hand(ctx, &b, routes[:n]); err != nil {
			return err
		}
		b.NextHops, routes = nil, routes[n:]
	}
	s.deleteNextHops(&b, nextHops)
	if len(b.Gone) == 0 {
		return nil
	}
	return s.hand(ctx, &b, nil)
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

func (s *Server) deleteNextHops(b *Batch, nextHops []item[objectKey, nextHop]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range nextHops {
		if !n.value.gone {
			continue
		}
		if handle, ok := s.table.deleteNextHop(n.key); ok {
			b.Gone = append(b.Gone, handle)
		}
	}
}

// hand gives the Sink a batch with some routes, and acknowledges them.
func (s *Server) hand(ctx context.Context, b *Batch, routes []item[key, route]) error {
	b.Routes = b.Routes[:0]
	s.mu.Lock()
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
	s.mu.Unlock()
	if err := s.config.Sink.Apply(ctx, b); err != nil {
		return err
	}
	s.keepHomeless(b, routes)
	if s.config.Acknowledge {
		s.acknowledge(b, routes)
	}
	return nil
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
		if err := s.hand(ctx, &b, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
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
	return s.hand(ctx, &b, nil)
}

// after is time.After unless a test says when.
func (s *Server) after(d time.Duration) <-chan time.Time {
	if s.clock != nil {
		return s.clock(d)
	}
	return time.After(d)
}
