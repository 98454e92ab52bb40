package fpm

import (
	"context"
	"maps"
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
func (s *Server) drainWith(ctx context.Context, old []told) error {
	nextHops, taken := s.inbox.take()
	var batches [2]Batch
	if len(nextHops) > 0 {
		old = append(s.setNextHops(&batches[0], nextHops), old...)
	}
	pages := append(pagesOf(except(old, taken)), taken...)
	if len(pages) == 0 && len(batches[0].NextHops) > 0 {
		pages = []page{nil}
	}
	var last *handed
	for i, p := range pages {
		b := &batches[i%2]
		s.fill(b, p)
		if err := last.wait(); err != nil {
			return err
		}
		this := s.hand(ctx, b, p)
		s.finish(last)
		last = this
	}
	if err := last.wait(); err != nil {
		return err
	}
	s.finish(last)
	if err := s.forget(ctx, nextHops); err != nil {
		return err
	}
	s.inbox.done(taken)
	return nil
}

// pagesOf cuts routes into pages.
func pagesOf(routes []told) []page {
	return slices.Collect(func(yield func(page) bool) {
		for part := range slices.Chunk(routes, chunk) {
			if !yield(part) {
				return
			}
		}
	})
}

// except returns those of some routes whose prefixes are not in pages.
func except(some []told, pages []page) []told {
	if len(some) == 0 {
		return nil
	}
	among := map[uint32]bool{}
	for _, p := range pages {
		for i := range p {
			among[p[i].number] = true
		}
	}
	return slices.DeleteFunc(some, func(r told) bool {
		was := among[r.number]
		among[r.number] = true // once is enough
		return was
	})
}

// setNextHops puts new objects into a batch, and returns the routes that have
// waited for them.
func (s *Server) setNextHops(b *Batch, nextHops []item[objectKey, nextHop]) []told {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting, _ := s.table.parked()
	for _, n := range nextHops {
		if !n.value.gone {
			b.NextHops = append(b.NextHops, s.table.setNextHop(n.key, n.value.NextHop))
		}
	}
	routes := s.table.users(slices.DeleteFunc(waiting, func(k objectKey) bool { return !s.table.isUsable(k) }))
	s.inbox.name(routes)
	return routes
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
func (s *Server) fill(b *Batch, routes page) {
	b.Routes = b.Routes[:0]
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range routes {
		r := &routes[i]
		b.Routes = append(b.Routes, Change{Gone: r.gone, Route: r.route.route(&r.key, r.hops)})
		if r.gone {
			s.table.delete(r.number)
			continue
		}
		handle, refreshed := s.table.set(r.number, r.said)
		if refreshed {
			s.refreshed++
		}
		b.Routes[i].Route.NextHop = handle
	}
}

// handed is a batch that the Sink is at work on.
type handed struct {
	batch  *Batch
	routes page
	ended  chan error
}

// hand gives the Sink a batch of some routes.
func (s *Server) hand(ctx context.Context, b *Batch, routes page) *handed {
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
func (s *Server) keepHomeless(b *Batch, routes page) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range b.Routes {
		if !b.Routes[i].Gone && b.Routes[i].Became == Parked {
			s.table.homeless[routes[i].number] = routes[i]
		}
	}
	if len(s.table.homeless) > 0 && s.retry == nil {
		s.retry = time.After(retryEvery)
	}
}

// homeless returns the routes in unknown tables.
func (s *Server) homeless() []told { return slices.Collect(maps.Values(s.table.homeless)) }

// sweep removes what is stale, and says why.
func (s *Server) sweep(ctx context.Context, why string) error {
	var routes []told
	s.mu.Lock()
	for n, r := range s.table.routes {
		if r.kind != 0 && r.generation != s.table.generation {
			routes = append(routes, told{number: uint32(n), route: route{gone: true}})
		}
	}
	s.inbox.name(routes)
	s.mu.Unlock()
	var b Batch
	for p := range slices.Chunk(routes, chunk) {
		s.fill(&b, p)
		if err := s.config.Sink.Apply(ctx, &b); err != nil {
			return err
		}
	}
	s.inbox.forget(routes)
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
