package rib

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
	"weft/fib"
)

// Source says who offers a route.
type Source uint8

// The sources. What the kernel offers is mirrored: see RIB.SetRoute.
const (
	Kernel Source = iota
	FPM           // a routing daemon, which programs the kernel itself
	Static        // configuration and command line
	BGP           // of weft's own
	sources
)

// String returns the name that people read.
func (s Source) String() string {
	return [...]string{"kernel", "fpm", "static", "bgp", "none"}[min(s, sources)]
}

// ProtocolWeft is rtm_protocol of the routes that weft programs into the kernel.
const ProtocolWeft = 119

// Kind is what becomes of packets.
type Kind uint8

// What becomes of packets: the zero Kind is for those that go to the hops.
const (
	Unicast     Kind = iota
	Blackhole        // discarded silently
	Unreachable      // answered by ICMP
	Prohibit         // likewise
)

// Route is a route of a source other than the kernel.
type Route struct {
	VRF        uint16
	Prefix     netip.Prefix // masked
	Source     Source
	Origin     uint32 // tells routes of one source to one prefix apart: a BGP peer, say
	Protocol   uint8  // RTPROT_*, for people
	Preference uint32 // the kernel's metric: the lowest is best
	Kind       Kind
	Hops       []Hop  // of Unicast; valid until Set returns
	NextHop    uint32 // of Unicast, instead of Hops: see SetNextHopOf
	MTU        uint32 // bytes; 0: that of the link
}

// Hop is one next hop of a Route.
type Hop struct {
	Gateway netip.Addr // invalid: the destination itself is attached. May be IPv6 of an IPv4 route
	Link    int        // 0: found by the routes to the gateway
	Weight  int        // share of the flows; 0 counts as 1
	Encap   bool       // something is put around packets, which weft leaves to the kernel
}

// Errors of Set.
var (
	ErrVRF      = errors.New("no such VRF")
	ErrReserved = errors.New("prefix is never forwarded")
	ErrRoute    = errors.New("route makes no sense")
)

// VRFOf returns the number of the VRF that mirrors a table of the kernel.
func (r *RIB) VRFOf(table uint32) (vrf uint16, ok bool) {
	vrf, ok = r.vrfs[table]
	return vrf, ok && table != tableLocal
}

// Set takes a route of a source, instead of the one with the same VRF, prefix,
// source and origin. Routes of one source to a prefix with the same, best
// preference become one with all their hops (Unicast, not with NextHop).
//
// Errors: ErrVRF, ErrReserved, ErrRoute; the RIB is as it was then.
func (r *RIB) Set(m *Route) error {
	if err := r.check(m); err != nil {
		return fmt.Errorf("route to %s: %w", m.Prefix, err)
	}
	r.watching.quiet = m.Source == BGP
	defer r.watching.loud()
	k := newKey(m.VRF, m.Prefix)
	c := candidate{
		group: r.hold(r.wishOfSource(m)), metric: m.Preference, detail: m.Origin, rank: ranks[m.Source],
		protocol: m.Protocol, kind: m.Kind.number(), generation: r.replays[m.Source],
	}
	best, exists := r.routes.get(k)
	if !exists {
		r.first(k, c)
		r.changedBy(k, &c)
		return nil
	}
	list := r.appendOthers(append(r.scratch.list[:0], best), k)
	before, gone := censusOf(list), make([]candidate, 0, 2)
	if i := slices.IndexFunc(list, c.sameOrigin); i >= 0 && list[i].metric == c.metric {
		gone = append(gone, list[i])
		list[i] = c
	} else {
		list = slices.DeleteFunc(list, func(o candidate) bool {
			old := c.sameOrigin(o) || o.isCopy() && c.isOwn()
			if old {
				gone = append(gone, o)
			}
			return old
		})
		at, _ := slices.BinarySearchFunc(list, c, func(o, c candidate) int { return o.order(&c) })
		list = slices.Insert(list, at, c)
	}
	if len(gone) == 1 && gone[0].equals(&c) {
		r.replaceOne(k, c) // as it was
	} else {
		r.replace(k, before, list)
		r.install(k)
		r.changedBy(k, &c)
	}
	for _, o := range gone {
		r.drop(o.group)
	}
	r.scratch.list = list
	return nil
}

// changedBy takes note that a candidate is new, another one or gone, if it is of those
// that are exported.
func (r *RIB) changedBy(k key, c *candidate) {
	if c.isOwn() {
		r.reexport(k)
	}
}

// sameOrigin reports whether two candidates stand for the same route of a source.
func (c candidate) sameOrigin(o candidate) bool { return c.rank == o.rank && c.detail == o.detail }

// replaceOne writes over a candidate that differs in nothing that matters.
func (r *RIB) replaceOne(k key, c candidate) {
	if best, _ := r.routes.get(k); best.sameOrigin(c) {
		r.routes.set(k, c)
	}
	for o := range r.others.at(k) {
		if o.sameOrigin(c) {
			*o = c
		}
	}
}

// check says what is wrong with a route.
func (r *RIB) check(m *Route) error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrRoute}, args...)...)
	}
	if _, err := r.image.Table(int(m.VRF)); err != nil || !r.hasVRF(int(m.VRF)) {
		return fmt.Errorf("%w: %d", ErrVRF, m.VRF)
	}
	switch {
	case m.Source == Kernel || m.Source >= sources:
		return wrong("source %d", m.Source)
	case !m.Prefix.IsValid() || m.Prefix != m.Prefix.Masked() || m.Prefix.Addr().Is4In6():
		return wrong("want a prefix with no bits behind its length")
	case isReserved(newKey(m.VRF, m.Prefix)):
		return ErrReserved
	case m.Kind > Prohibit:
		return wrong("kind %d", m.Kind)
	case m.Kind == Unicast && m.NextHop == 0 && len(m.Hops) == 0:
		return wrong("it has no next hop")
	case len(m.Hops) > fib.MaxMembers:
		return wrong("%d next hops, want at most %d", len(m.Hops), fib.MaxMembers)
	}
	for _, h := range m.Hops {
		gw := h.Gateway
		switch {
		case !gw.IsValid() && h.Link == 0:
			return wrong("a next hop has neither gateway nor interface")
		case gw.IsLinkLocalUnicast() && h.Link == 0:
			return wrong("gateway %s is found on an interface only: name it", gw)
		case gw.Is4In6() || gw.IsUnspecified() || gw.IsMulticast() || gw.Zone() != "":
			return wrong("gateway %s is no address of a router", gw)
		case gw.Is4() && m.Prefix.Addr().Is6():
			return wrong("IPv4 gateway %s of an IPv6 route", gw)
		case h.Weight < 0 || h.Weight > fib.MaxWeight || h.Link < 0:
			return wrong("weight %d, interface %d", h.Weight, h.Link)
		case h.Encap && m.Source != FPM:
			return wrong("weft puts nothing around packets")
		}
	}
	return nil
}

// number returns RTN_*.
func (k Kind) number() uint8 {
	return [...]uint8{unix.RTN_UNICAST, unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT}[k]
}

// wishOfSource translates a route. Its hops are valid until the next call.
func (r *RIB) wishOfSource(m *Route) wish {
	w := r.wishOf(&kernel.Route{Prefix: m.Prefix, Type: m.Kind.number(), MTU: m.MTU, NextHop: m.NextHop})
	w.by = m.Source
	if m.Kind != Unicast {
		return w
	}
	w.hops = w.hops[:0]
	if m.NextHop != 0 {
		w.vrf = m.VRF
		return w
	}
	for _, h := range m.Hops {
		w.hops = append(w.hops, hop{h.Link, h.Gateway, max(h.Weight, 1), h.Encap})
		if h.Link == 0 {
			w.vrf = m.VRF
		}
	}
	r.scratch.hops = w.hops
	return w
}

// Unset drops a route, named by VRF, prefix, source and origin. It reports
// whether there was one.
func (r *RIB) Unset(m *Route) bool {
	k := newKey(m.VRF, m.Prefix)
	list := r.candidates(k)
	i := slices.IndexFunc(list, candidate{rank: ranks[m.Source], detail: m.Origin}.sameOrigin)
	if i < 0 || m.Source == Kernel {
		return false
	}
	r.watching.quiet = m.Source == BGP
	defer r.watching.loud()
	gone := list[i]
	r.put(k, slices.Delete(list, i, i+1))
	r.install(k)
	r.changedBy(k, &gone)
	r.drop(gone.group)
	return true
}

// BeginReplay starts a replay of a source: all that it has is now given again, and
// what is not is removed by EndReplay. Until then it stays.
func (r *RIB) BeginReplay(s Source) { r.replays[s]++ }

// EndReplay ends a replay, and returns how many routes it has removed. The source's
// next-hop objects that were not given again are removed with them.
func (r *RIB) EndReplay(s Source) (removed int) {
	now := r.replays[s]
	removed = r.removeIf(func(c *candidate) bool {
		return !c.isKernels() && c.rank == ranks[s] && c.generation != now
	})
	for id, n := range r.objects[s] {
		if n.generation != now && s != Kernel {
			r.DeleteNextHopOf(s, id)
		}
	}
	return removed
}

// SetNextHopOf takes a next-hop object of a source's own: numbers are per source.
// Routes that have named it before are resolved now. The groups that use it are
// written again, not the routes.
func (r *RIB) SetNextHopOf(s Source, n kernel.NextHop) {
	objects := r.objects[s]
	if old := objects[n.ID]; old != nil && reflect.DeepEqual(old.NextHop, n) {
		old.generation = r.replays[s]
		return
	}
	objects[n.ID] = &nextHop{n, r.replays[s]}
	r.nextHopChanged(s, n.ID)
}

// DeleteNextHopOf takes note that an object of a source has gone. Routes that
// name it stay, unresolved.
func (r *RIB) DeleteNextHopOf(s Source, id uint32) {
	if r.objects[s][id] != nil {
		delete(r.objects[s], id)
		r.nextHopChanged(s, id)
	}
}

// State says what has become of a route.
type State uint8

// States of a route.
const (
	Absent       State = iota
	Unresolved         // no hop leads anywhere: the next best route is taken
	NotBest            // another one is better
	NotInstalled       // it is the best, and the image has no room for it: packets go to the kernel
	Installed          // the image has it, alone or with others of its preference
)

// State returns what has become of a route, named by VRF, prefix, source and
// origin. After a publication it is what packets find.
func (r *RIB) State(vrf uint16, p netip.Prefix, s Source, origin uint32) State {
	k := newKey(vrf, p)
	if best, ok := r.routes.get(k); ok && best.rank == ranks[s] && best.detail == origin && s != Kernel && r.eligible(&best) && r.complete() {
		return Installed
	}
	c, ok := r.best(k, func(c *candidate) bool {
		return c.rank == ranks[s] && c.detail == origin && !c.isKernels()
	})
	switch {
	case !ok:
		return Absent
	case !r.eligible(&c):
		return Unresolved
	case !r.isTaken(k, &c):
		return NotBest
	case !r.isInstalled(k):
		return NotInstalled
	}
	return Installed
}

// complete reports whether packets find all that is best.
func (r *RIB) complete() bool {
	m := &r.missing
	return !r.loading() && len(m.prefixes)+len(m.shields)+len(m.unwritten) == 0
}

// isTaken reports whether a candidate is the best, or one route with it.
func (r *RIB) isTaken(k key, c *candidate) bool {
	best, ok := r.best(k, r.eligible)
	return ok && (best == *c || best.class(c) && !c.isKernels() && r.canMerge(&best, c))
}

// isInstalled reports whether packets find what is best for a prefix.
func (r *RIB) isInstalled(k key) bool {
	at, ok := r.answer(k)
	_, missing := r.missing.prefixes[k]
	_, shield := r.missing.shields[k]
	if !ok || missing || shield || r.loading() {
		return false
	}
	_, unwritten := r.missing.unwritten[r.groups[at]]
	return !unwritten
}
