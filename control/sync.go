package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
	"weft/control/rib"
)

// firstTries is how often an interrupted first synchronization is begun again
// before what there is must do, until the next one.
const firstTries = 5

// first fills the image.
func (f *Follower) first(ctx context.Context) error {
	for try := 1; ; try++ {
		err := f.sync(try == firstTries)
		if !errors.Is(err, kernel.ErrInterrupted) || ctx.Err() != nil {
			return err
		}
	}
}

// again reads all again.
func (f *Follower) again() {
	f.running = Rereading{f.next.Why, time.Now(), true}
	err := f.sync(false)
	f.running = Rereading{}
	if err != nil {
		f.counts.Failed++
		f.config.Log.Error("read all again", "error", err)
		f.request("the last try failed: " + err.Error())
	}
}

// sync dumps everything and works off the changes that have come meanwhile. The
// order is that in which things refer to each other. With anyway the end is
// reached with interrupted dumps too.
func (f *Follower) sync(anyway bool) error {
	start := time.Now()
	f.rib.TakeStale()
	f.rib.BeginSync()
	f.retakes, f.dumped, f.inOrder = map[rib.Key]*retake{}, false, f.counts.Syncs == 0 // the first fills an image that nobody waits for
	f.gaps = false
	// gofail: var syncBegun struct{}
	interrupted := error(nil)
	for _, part := range []struct {
		name string
		dump func() error
	}{
		{"links", func() error { return f.dump(kernel.Links, f.hold, func(b []byte) { f.takeLink(b, true) }) }},
		{"ipv4 settings", func() error { return f.dumpOptional(kernel.NetconfsIPv4, func(b []byte) { f.takeNetconf(b, true) }) }},
		{"ipv6 settings", func() error { return f.dumpOptional(kernel.NetconfsIPv6, func(b []byte) { f.takeNetconf(b, true) }) }},
		{"ipv4 rules", func() error { return f.dumpRules(unix.AF_INET) }},
		{"ipv6 rules", func() error { return f.dumpRules(unix.AF_INET6) }},
		{"", f.afterLinks},
		{"addresses", func() error { return f.dump(kernel.Addrs, f.hold, func(b []byte) { f.takeAddr(b, true) }) }},
		{"ipv4 neighbors", func() error { return f.dump(kernel.NeighborsIPv4, f.hold, func(b []byte) { f.takeNeighbor(b, true) }) }},
		{"ipv6 neighbors", func() error { return f.dump(kernel.NeighborsIPv6, f.hold, func(b []byte) { f.takeNeighbor(b, true) }) }},
		{"next hops", func() error { return f.dumpOptional(kernel.NextHops, func(b []byte) { f.takeNextHop(b, true) }) }},
		{"", f.releaseOthers},
		{"ipv4 routes", func() error { return f.dump(kernel.RoutesIPv4, f.holdRoutes, f.takeDumpedRoute) }},
		{"ipv6 routes", f.dumpRoutesIPv6},
	} {
		switch err := part.dump(); {
		case errors.Is(err, kernel.ErrInterrupted):
			interrupted = fmt.Errorf("dump %s: %w", part.name, err)
		case err != nil:
			f.release()
			return fmt.Errorf("dump %s: %w", part.name, err)
		}
	}
	if interrupted != nil && !anyway {
		f.release()
		return interrupted
	}
	// gofail: var syncDumped struct{}
	f.dumped = true
	f.retake()
	f.rib.EndSyncBetween(f.holdRoutes)
	// gofail: var syncEnded struct{}
	f.tellInterfaces() // links may have gone
	f.counts.Syncs++
	f.release()
	f.lastSync, f.lastTook = time.Now(), time.Since(start)
	f.counts.LastSync = f.lastTook
	if f.config.Synced != nil {
		f.config.Synced(f.lastTook)
	}
	if interrupted != nil {
		f.request(interrupted.Error())
	}
	if f.gaps {
		f.request("IPv6 routes went while they were dumped: Linux may have left out others")
	}
	return nil
}

// dumpRoutesIPv6 is dump for the IPv6 routes. When their tree changes Linux goes on from its root, past
// as many prefixes as it has told of (fib6_dump_table): when some of those have gone it leaves out others.
// So they are dumped again until none has gone, or another synchronization has to look.
func (f *Follower) dumpRoutesIPv6() error {
	for try := 1; ; try++ {
		before := f.gone
		if err := f.dump(kernel.RoutesIPv6, f.holdRoutes, f.takeDumpedRoute); err != nil {
			return err
		}
		f.gaps = !f.heardAll() || f.gone != before
		switch {
		case !f.gaps:
			return nil
		case try == dumpTries:
			f.rib.ExpectGaps()
			return nil
		}
	}
}

// heardAll takes what has arrived, and reports whether nothing more waits.
func (f *Follower) heardAll() bool {
	for range dumpTries {
		f.holdRoutes()
		if !f.watcher.Pending() && len(f.arrived) == 0 {
			return true
		}
	}
	return false
}

// dump asks for a table, again if it changed meanwhile. What has changed is in
// the meantime given to hold.
func (f *Follower) dump(what kernel.Table, hold func(), each func([]byte)) error {
	for try := 1; ; try++ {
		f.round++
		n := 0
		err := f.conn.Dump(what, func(payload []byte) {
			if n++; n%pollEvery == 0 {
				hold()
			}
			each(payload)
		})
		if !errors.Is(err, kernel.ErrInterrupted) {
			return err
		}
		f.counts.Interrupted++
		if try == dumpTries {
			return err
		}
	}
}

// afterLinks makes ports before what depends on them comes.
func (f *Follower) afterLinks() error {
	f.rib.NumberVRFs(f.config.VRF)
	// gofail: var syncLinks struct{}
	f.tellInterfaces()
	return nil
}

// dumpOptional is for what a kernel may not have: next-hop objects came with
// Linux 5.3, a family may be left out.
func (f *Follower) dumpOptional(what kernel.Table, each func([]byte)) error {
	err := f.dump(what, f.hold, each)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}

func (f *Follower) takeDumpedRoute(payload []byte) {
	if !f.decoded(f.route.Decode(payload)) {
		return
	}
	if t := f.retakeOf(&f.route); t != nil {
		if t.round != f.round { // what an earlier dump has shown counts no longer
			t.round, t.shown, t.dumped = f.round, false, nil
		}
		t.dumped = append(t.dumped, slices.Clone(payload))
		return
	}
	f.rib.SetRoute(&f.route, rib.Dumped)
}

// retake is what is known of a prefix whose routes have changed while they are dumped.
type retake struct {
	round   int            // of dumps, which has shown it
	shown   bool           // before the first change, so that the RIB has it
	dumped  [][]byte       // since then, maybe older than some of the changes
	changes []kernel.Event // which were taken when they came
}

// retakeOf returns what is known of the prefix of a route that is dumped, nil if it
// has not changed meanwhile.
func (f *Follower) retakeOf(m *kernel.Route) *retake {
	if len(f.retakes) == 0 {
		return nil
	}
	k, _ := f.rib.RouteKey(m)
	return f.retakes[k]
}

// takeTwice takes a change of a route at once, and keeps it for the end of the
// dump: what is dumped of its prefix from now on is not known to be newer.
func (f *Follower) takeTwice(e kernel.Event) {
	defer f.take(e)
	if f.route.Decode(e.Payload) != nil {
		return
	}
	k, ok := f.rib.RouteKey(&f.route)
	if !ok {
		return
	}
	t := f.retakes[k]
	if t == nil && f.dumped { // no dump is behind it
		return
	}
	if t == nil {
		t = &retake{round: f.round, shown: f.rib.IsSeen(k)}
		f.retakes[k] = t
	}
	t.changes = append(t.changes, e)
}

// retake puts together what a dump shows of prefixes and how they have changed
// meanwhile. That may be a million of them: what comes is followed in between.
func (f *Follower) retake() {
	n := 0
	for k, t := range f.retakes {
		if n++; n%pollEvery == 0 {
			f.holdRoutes()
		}
		delete(f.retakes, k) // what is told of it from now on is newer
		if len(t.dumped) == 0 && (t.shown || f.gaps && !k.Is4()) {
			continue // the RIB has what the dump has shown, or had to show, and the changes since
		}
		f.rib.Retake(k, t.shown, func() {
			for _, payload := range t.dumped {
				if f.decoded(f.route.Decode(payload)) {
					f.rib.SetRoute(&f.route, rib.Dumped)
				}
			}
		}, func() {
			for _, e := range t.changes {
				f.takeRoute(e)
			}
		})
	}
	f.retakes = nil
}

// hold keeps the changes that have arrived: a dump may show what was before
// them.
func (f *Follower) hold() {
	f.poll(func(e kernel.Event) { f.held = append(f.held, e) })
}

// holdRoutes is hold while routes are dumped, which takes long: what can be followed
// without waiting is.
func (f *Follower) holdRoutes() {
	before := f.counts.Changes
	f.poll(f.takeOrHold)
	if f.counts.Changes != before || f.rib.IsBehind() {
		f.publishSynced()
	}
}

// publishSynced publishes unless the image is not filled yet.
func (f *Follower) publishSynced() {
	if f.counts.Syncs > 0 {
		f.publish()
	}
}

// releaseOthers works off what was held of links, addresses and neighbors, so
// that what comes now is taken behind it.
func (f *Follower) releaseOthers() error {
	held := f.held
	f.held = nil
	for _, e := range held {
		f.takeOrHold(e)
	}
	return nil
}

// takeOrHold takes links and neighbors, which have been dumped before, next-hop objects
// and routes. When an object goes the kernel drops its routes without a word, maybe
// after they were dumped: from then on objects and routes wait for the end.
func (f *Follower) takeOrHold(e kernel.Event) {
	if e.Type == unix.RTM_DELROUTE && len(e.Payload) > 0 && e.Payload[0] == unix.AF_INET6 {
		f.gone++
	}
	switch e.Type {
	case unix.RTM_DELNEXTHOP:
		f.inOrder = true
		f.held = append(f.held, e)
	case unix.RTM_NEWRULE, unix.RTM_DELRULE: // rules are asked for by the connection that dumps
		f.held = append(f.held, e)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE, unix.RTM_NEWNEXTHOP:
		switch {
		case f.inOrder:
			f.held = append(f.held, e)
		case e.Type == unix.RTM_NEWNEXTHOP:
			f.take(e)
		default:
			f.takeTwice(e)
		}
	default:
		f.take(e)
	}
}

// poll works off what has arrived, but leaves the dump its turn.
func (f *Follower) poll(each func(kernel.Event)) {
	for n, since := 0, 0; n < pollMost; {
		select {
		case a := <-f.arrived:
			f.accept(a, each)
			n += len(a.events)
			if n-since >= batch {
				since = n
				f.publishSynced()
			}
		case call := <-f.calls: // who asks how things are does not wait for the end
			call()
			f.publishSynced() // nor does a source
		default:
			return
		}
	}
}

// release works off what was held.
func (f *Follower) release() {
	f.retakes = nil
	held := f.held
	f.held = nil
	for i, e := range held {
		f.take(e)
		if (i+1)%batch == 0 {
			f.publish()
			f.answer()
		}
	}
	// gofail: var syncRelease struct{}
	f.publish()
}

// answer serves those who ask, while changes wait for their turn.
func (f *Follower) answer() {
	select {
	case call := <-f.calls:
		f.serve(call)
	default:
	}
}
