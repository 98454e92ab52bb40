package export

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
	"weft/control/rib"
)

const (
	unixDelRoute   = unix.RTM_DELROUTE
	unixDelNextHop = unix.RTM_DELNEXTHOP

	firstPause   = 100 * time.Millisecond // before what was refused is tried again: doubled each time
	longPause    = 30 * time.Second
	checkPause   = 50 * time.Millisecond // before the kernel is asked what it has
	checkShare   = 5                     // which takes a fifth of the time at most
	loggedRoutes = 5                     // refusals at a time that are logged
)

// timers say when a round is due that nobody has asked for.
type timers struct {
	pause    time.Duration // before the next try
	retry    time.Time     // zero: nothing to try again
	check    time.Time     // earliest
	checkDue bool
}

// later has what was refused tried again.
func (t *timers) later() {
	if t.retry.IsZero() {
		t.pause = min(max(2*t.pause, firstPause), longPause)
		t.retry = time.Now().Add(t.pause)
	}
}

// next returns how long nothing is to be done.
func (t *timers) next() time.Duration {
	wait := time.Hour
	if !t.retry.IsZero() {
		wait = min(wait, time.Until(t.retry))
	}
	if t.checkDue {
		wait = min(wait, time.Until(t.check))
	}
	return max(wait, 0)
}

// round does what is to be done first, and reports whether there is more.
func (e *Exporter) round(ctx context.Context, do Do) (more bool) {
	e.mu.Lock()
	p := e.pending
	e.pending = newPending()
	e.status.Waiting = 1 // what p holds
	e.mu.Unlock()
	if err := e.knowTables(ctx, do, p.routes); err != nil {
		return false // the end
	}
	e.absorb(&p)
	err := e.work()
	if err != nil {
		e.log.Warn("program routes into the kernel: trying again", "error", err)
		e.timers.later()
	}
	e.schedule()
	e.publish()
	return err == nil && (len(e.todo) > 0 || len(e.drops) > 0 && e.timers.retry.IsZero())
}

// absorb takes over what was told.
func (e *Exporter) absorb(p *pending) {
	for id, x := range p.groups {
		g := e.groups[id]
		if g == nil {
			g = &group{}
			e.groups[id] = g
		}
		other := g.Type != 0 && g.Type != x.Type
		g.ExportGroup, g.dirty = x, x.Type == unix.RTN_UNICAST
		if e.claim(g); other { // routes say what they are themselves
			for k, r := range e.routes {
				if r.group == id {
					e.enqueue(k)
				}
			}
		}
	}
	for _, x := range p.routes {
		e.want(x)
	}
	for _, k := range p.lost {
		if e.routes[k] != nil {
			e.doubt(k)
		}
	}
	for _, id := range p.gone {
		if g := e.groups[id]; g != nil {
			g.gone, g.dirty = true, false
		}
	}
	e.objectsGone(p.deleted)
	e.retryFailed(p.freed)
	if p.settle {
		e.settle()
	}
}

// objectsGone has the groups written again that have lost something.
func (e *Exporter) objectsGone(ids map[uint32]struct{}) {
	if len(ids) == 0 {
		return
	}
	for _, g := range e.groups {
		if g.object == nil || g.gone {
			continue
		}
		_, lost := ids[g.object.id]
		for _, m := range g.object.members {
			_, gone := ids[m.id]
			lost = lost || gone
		}
		g.dirty = g.dirty || lost
	}
}

// retryFailed has refused routes tried again: those to prefixes of which a route has
// gone, or all if it is time.
func (e *Exporter) retryFailed(freed map[place]struct{}) {
	all := !e.timers.retry.IsZero() && !time.Now().Before(e.timers.retry)
	if all {
		e.timers.retry = time.Time{}
	}
	if !all && len(freed) == 0 {
		return
	}
	for k := range e.failed {
		r := e.routes[k]
		if r == nil {
			delete(e.failed, k)
			continue
		}
		if _, is := freed[place{r.table, k.Prefix()}]; is || all {
			delete(e.failed, k)
			e.enqueue(k)
		}
	}
}

// settle withdraws what an earlier weft has made and nobody wants.
func (e *Exporter) settle() {
	e.settled = true
	for at, list := range e.left {
		for _, o := range list {
			e.drops = append(e.drops, drop{rib.Key{}, at, o})
		}
	}
	clear(e.left)
}

// work writes what is known to be wanted.
func (e *Exporter) work() error {
	if e.timers.checkDue && !time.Now().Before(e.timers.check) {
		e.timers.checkDue = false
		began := time.Now()
		if err := e.check(); err != nil {
			return err
		}
		e.timers.check = time.Now().Add(checkShare * time.Since(began))
	}
	var dirty []*group
	for _, g := range e.groups {
		if g.dirty && !g.gone && g.object != nil {
			dirty = append(dirty, g)
		}
	}
	if len(dirty) > 0 {
		if err := e.writeGroups(dirty); err != nil {
			return err
		}
	}
	if err := errors.Join(e.writeRoutes(), e.writeDrops()); err != nil || len(e.todo)+len(e.drops) > 0 {
		return err
	}
	return e.sweepObjects()
}

// schedule sets the timers.
func (e *Exporter) schedule() {
	if len(e.recheck) > 0 && !e.timers.checkDue {
		e.timers.checkDue = true
		if soon := time.Now().Add(checkPause); e.timers.check.Before(soon) {
			e.timers.check = soon
		}
	}
	dirty := false
	for _, g := range e.groups {
		dirty = dirty || g.dirty && !g.gone
	}
	if len(e.failed) > 0 || dirty {
		e.timers.later()
	} else if len(e.drops) == 0 {
		e.timers.pause = 0
	}
}

// batches makes n changes, and counts them.
func (e *Exporter) batches(n int, change func(i int), answered func(i int, err error)) error {
	sent := 0
	err := e.writer.Batches(n, change, func(i int, err error) {
		sent++
		answered(i, err)
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status.Changes += uint64(sent)
	return err
}

// fail takes note that the kernel does not have a route.
func (e *Exporter) fail(k rib.Key, err error) {
	e.failed[k] = true
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.problems[k]
	e.problems[k] = err
	if old == nil && len(e.problems) <= loggedRoutes {
		e.log.Warn("a route of weft's is not in the kernel: packets that Linux forwards do not follow it", "route", k.Prefix(), "error", err)
	}
}

// succeed takes note that the kernel has what is wanted.
func (e *Exporter) succeed(k rib.Key) {
	delete(e.failed, k)
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.problems, k)
}

// publish writes the status.
func (e *Exporter) publish() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status.Routes = len(e.routes) - len(e.problems)
	e.status.Waiting = len(e.todo) + len(e.drops) + len(e.recheck)
	for _, err := range e.problems {
		if !errors.Is(err, ErrConflict) {
			e.status.Waiting++
		}
	}
}

// adopt finds what an earlier weft has made.
func (e *Exporter) adopt(ctx context.Context) {
	for ctx.Err() == nil {
		err := e.readAll()
		if err == nil {
			return
		}
		e.log.Error("read what the kernel has of weft's routes: trying again", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (e *Exporter) readAll() (err error) {
	var groups []kernel.NextHop
	e.objects = newObjects()
	if err := e.conn.Dump(kernel.NextHops, func(payload []byte) {
		var n kernel.NextHop
		switch {
		case n.Decode(payload) != nil:
		case !isOurs(&n):
			e.objects.taken[n.ID] = true
		case n.IsGroup():
			groups = append(groups, n)
		default:
			e.objects.inherit(&n)
		}
	}); ignoreInterrupted(err) != nil {
		return err
	}
	for i := range groups {
		e.objects.inheritGroup(&groups[i])
	}
	if e.left, err = e.readOwn(); err != nil {
		return err
	}
	for _, list := range e.left {
		for _, o := range list {
			e.use(o.nextHop, +1)
		}
	}
	return nil
}

func (o *objects) inherit(n *kernel.NextHop) {
	h := hop{n.Hop.Link, n.Hop.Gateway}
	x := &object{id: n.ID, hop: h, there: true}
	o.byID[n.ID] = x
	if o.hops[h] == nil {
		o.hops[h] = x
	}
}

func (o *objects) inheritGroup(n *kernel.NextHop) {
	x := &object{id: n.ID, there: true}
	for _, m := range n.Members {
		if one := o.byID[m.ID]; one != nil {
			x.members = append(x.members, member{one, m.Weight})
			one.users++
		}
	}
	o.byID[n.ID] = x
	named := name(x.members)
	for o.unused[named] != nil {
		named += "again "
	}
	o.unused[named] = x
}
