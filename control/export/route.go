package export

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
	"weft/control/rib"
)

// ErrConflict: somebody else has a route of the same prefix and metric in the kernel.
var ErrConflict = errors.New("the kernel has a route of another protocol with this metric: give one of them another preference, or remove the other")

// chunk is how many routes are worked off before new wishes are looked at.
const chunk = 4096

// place is where routes of several metrics may be.
type place struct {
	table  uint32
	prefix netip.Prefix
}

// own is a route of weft's as the kernel has it.
type own struct {
	metric  uint32
	nextHop uint32
	mtu     uint32
	kind    uint8
}

// route is a prefix that weft has a route for, or had.
type route struct {
	table   uint32
	group   uint32 // what is wanted; 0: nothing
	metric  uint32
	has     own // what the kernel has, if there
	there   bool
	queued  bool
	checked bool // it was refused, and is not one of weft's
}

// drop is a route that nobody wants, or wanted when it was noted.
type drop struct {
	key rib.Key // the zero Key: not known
	place
	own
}

// enqueue has a route looked at.
func (e *Exporter) enqueue(k rib.Key) {
	if r := e.routes[k]; r != nil && !r.queued {
		r.queued = true
		e.todo = append(e.todo, k)
	}
}

// want takes note of what is wanted of a prefix.
func (e *Exporter) want(x rib.ExportRoute) {
	r := e.routes[x.Key]
	if r == nil {
		if x.Group == 0 {
			return
		}
		r = &route{table: e.tables[x.Key.VRF()]}
		e.routes[x.Key] = r
		e.inherit(x, r)
	}
	r.group, r.metric = x.Group, x.Metric
	e.enqueue(x.Key)
}

// inherit takes over what an earlier weft has made for a prefix: that of the wanted
// metric, or one that goes when the wanted one is there.
func (e *Exporter) inherit(x rib.ExportRoute, r *route) {
	at := place{r.table, x.Key.Prefix()}
	list := e.left[at]
	delete(e.left, at)
	if len(list) == 0 {
		return
	}
	best := max(slices.IndexFunc(list, func(o own) bool { return o.metric == x.Metric }), 0)
	r.has, r.there = list[best], true
	for i, o := range list {
		if i != best {
			e.drops = append(e.drops, drop{x.Key, at, o})
		}
	}
}

// wish returns what the kernel is to have, or why it cannot have it now.
func (e *Exporter) wish(k rib.Key, r *route) (o own, err error) {
	if r.metric == 0 && k.Prefix().Addr().Is6() {
		return own{}, errors.New("preference 0 of an IPv6 route means 1024 to the kernel: give it another one")
	}
	g := e.groups[r.group]
	if g == nil {
		return own{}, fmt.Errorf("group %d is not known", r.group)
	}
	id, ok := g.ready()
	if !ok {
		if g.object != nil && g.object.err != nil {
			return own{}, g.object.err
		}
		return own{}, errors.New("its next hops are not in the kernel yet")
	}
	o = own{metric: r.metric, nextHop: id, kind: g.Type}
	if id != 0 {
		o.mtu = g.MTU
	}
	return o, nil
}

// writeRoutes works off some routes.
func (e *Exporter) writeRoutes() error {
	n := min(len(e.todo), chunk)
	keys := e.todo[:n]
	e.todo = e.todo[n:]
	var list []rib.Key
	var wishes []own
	for _, k := range keys {
		r := e.routes[k]
		r.queued = false
		if r.group == 0 {
			e.abandon(k, r)
			continue
		}
		o, err := e.wish(k, r)
		switch {
		case err != nil:
			e.fail(k, err)
		case r.there && r.has == o:
			e.succeed(k)
		default:
			list, wishes = append(list, k), append(wishes, o)
		}
	}
	answered := 0
	err := e.batches(len(list), func(i int) {
		r, how := e.routes[list[i]], kernel.Create
		if r.there && r.has.metric == wishes[i].metric {
			how = kernel.Upsert
		}
		e.writer.SetRoute(message(place{r.table, list[i].Prefix()}, wishes[i]), how)
	}, func(i int, err error) {
		answered = i + 1
		e.answered(list[i], wishes[i], err)
	})
	if err != nil {
		for _, k := range list[answered:] {
			e.doubt(k)
		}
	}
	return err
}

func message(at place, o own) *kernel.Route {
	return &kernel.Route{
		Prefix: at.prefix, Table: at.table, Type: o.kind, Protocol: rib.ProtocolWeft, Metric: o.metric, MTU: o.mtu, NextHop: o.nextHop,
	}
}

// answered takes the kernel's answer to a route that was set.
func (e *Exporter) answered(k rib.Key, o own, err error) {
	r := e.routes[k]
	switch {
	case err == nil:
		if r.there && r.has.metric != o.metric {
			e.drops = append(e.drops, drop{k, place{r.table, k.Prefix()}, r.has})
		} else if r.there {
			e.use(r.has.nextHop, -1)
		}
		e.use(o.nextHop, +1)
		r.has, r.there, r.checked = o, true, false
		e.succeed(k)
	case errors.Is(err, unix.EEXIST) && r.checked:
		e.fail(k, ErrConflict)
	case errors.Is(err, unix.EEXIST):
		e.recheck[k] = true
	default:
		if g := e.groups[r.group]; o.nextHop != 0 && (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT)) {
			g.dirty = true // the kernel may have dropped the object without a word
		}
		e.fail(k, err)
	}
}

// use counts who names an object.
func (e *Exporter) use(id uint32, n int) {
	if o := e.objects.byID[id]; o != nil {
		o.users += n
	}
}

// abandon gives up a prefix.
func (e *Exporter) abandon(k rib.Key, r *route) {
	if r.there {
		e.drops = append(e.drops, drop{k, place{r.table, k.Prefix()}, r.has})
	}
	delete(e.routes, k)
	delete(e.recheck, k)
	e.succeed(k)
}

// writeDrops deletes routes that nobody wants.
func (e *Exporter) writeDrops() error {
	n := min(len(e.drops), chunk)
	list := slices.DeleteFunc(slices.Clone(e.drops[:n]), e.isWanted)
	var again []drop
	answered := 0
	err := e.batches(len(list), func(i int) { e.writer.DeleteRoute(message(list[i].place, list[i].own)) }, func(i int, err error) {
		answered = i + 1
		if err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENODEV) {
			again = append(again, list[i])
			e.log.Warn("withdraw a route of weft's: trying again", "route", list[i].prefix, "error", err)
			e.timers.later()
			return
		}
		e.use(list[i].nextHop, -1)
	})
	e.drops = append(append(again, list[answered:]...), e.drops[n:]...)
	return err
}

// isWanted reports whether a route is wanted again. The kernel is asked whether it
// still has it.
func (e *Exporter) isWanted(d drop) bool {
	r := e.routes[d.key]
	if r == nil || r.group == 0 || r.metric != d.metric {
		return false
	}
	e.use(d.nextHop, -1) // check counts what it finds
	if r.there && r.has.metric == d.metric {
		e.use(r.has.nextHop, -1)
		r.there = false
	}
	e.doubt(d.key)
	return true
}

// doubt has the kernel asked whether it has a route.
func (e *Exporter) doubt(k rib.Key) {
	if _, is := e.recheck[k]; !is {
		e.recheck[k] = false
	}
}

// check asks the kernel which of the doubtful routes it has.
func (e *Exporter) check() error {
	there, err := e.readOwn()
	if err != nil {
		return err
	}
	for k, refused := range e.recheck {
		delete(e.recheck, k)
		r := e.routes[k]
		if r == nil {
			continue
		}
		list := there[place{r.table, k.Prefix()}]
		i := slices.IndexFunc(list, func(o own) bool { return o.metric == r.metric })
		had := r.there
		if had && i >= 0 && r.has.metric != r.metric {
			e.drops = append(e.drops, drop{k, place{r.table, k.Prefix()}, r.has})
		} else if had {
			e.use(r.has.nextHop, -1)
		}
		if had && i < 0 {
			i = slices.IndexFunc(list, func(o own) bool { return o.metric == r.has.metric })
		}
		if r.there = i >= 0; r.there {
			r.has = list[i]
			e.use(r.has.nextHop, +1)
		}
		r.checked = refused && !r.there
		if g := e.groups[r.group]; g != nil && had && !r.there && g.Type == unix.RTN_UNICAST {
			g.dirty = true // it may have gone with its object
		}
		e.enqueue(k)
	}
	return nil
}

// readOwn asks the kernel for all routes of weft's.
func (e *Exporter) readOwn() (map[place][]own, error) { return readOwn(e.conn) }

func readOwn(conn *kernel.Conn) (map[place][]own, error) {
	const tries = 3
	for try := 1; ; try++ {
		all := map[place][]own{}
		var err error
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			err = errors.Join(err, conn.Dump(kernel.RoutesOf(family, rib.ProtocolWeft), func(payload []byte) {
				var r kernel.Route
				if r.Decode(payload) != nil || r.Protocol != rib.ProtocolWeft || r.Cached || r.Table == unix.RT_TABLE_LOCAL {
					return
				}
				at, o := place{r.Table, r.Prefix}, own{r.Metric, r.NextHop, r.MTU, r.Type}
				if !slices.ContainsFunc(all[at], func(x own) bool { return x.metric == o.metric }) {
					all[at] = append(all[at], o)
				}
			}))
		}
		if err == nil || !errors.Is(err, kernel.ErrInterrupted) || try == tries {
			return all, ignoreInterrupted(err)
		}
	}
}

// ignoreInterrupted: what a dump lacks is found by a refusal later.
func ignoreInterrupted(err error) error {
	if errors.Is(err, kernel.ErrInterrupted) {
		return nil
	}
	return err
}

// knowTables finds the tables of VRFs.
func (e *Exporter) knowTables(ctx context.Context, do Do, routes map[rib.Key]rib.ExportRoute) error {
	unknown := false
	for k := range routes {
		if _, ok := e.tables[k.VRF()]; !ok && k.VRF() == 0 {
			e.tables[0] = unix.RT_TABLE_MAIN
		} else if !ok {
			unknown = true
		}
	}
	if !unknown {
		return nil
	}
	return do(ctx, func(r *rib.RIB) {
		for vrf := range r.VRFs {
			e.tables[vrf] = r.Table(vrf)
		}
	})
}
