package rib

import (
	"encoding/binary"
	"errors"
	"math"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
	"weft/fib"
)

// kind is what a route wants.
type kind uint8

const (
	toHops kind = iota + 1
	toThisMachine
	toNowhere // discarded silently
	toSender  // an ICMP error
	toKernel
)

// wish is what routes say of next hops. Routes that say the same share a group.
type wish struct {
	kind    kind
	family  uint8      // of the packets, 4 or 6; of toHops
	code    uint8      // of toSender
	reason  uint16     // of toKernel
	mtu     uint32     // of toHops; 0: that of the link
	nextHop uint32     // of toHops: identifier of a next-hop object; 0: hops
	hops    []hop      // of others: the links that the kernel tells routes of one prefix apart by
	by      Source     // who says so, and whose next-hop objects are meant
	vrf     uint16     // of toHops, when gateways are to be found in it
	source  netip.Addr // of packets of the kernel's own: forwarding does not depend on it
}

type hop struct {
	link    int
	gateway netip.Addr // invalid: the destination itself
	weight  int
	encap   bool
}

// Codes of ICMP destination unreachable with which Linux answers: ip_error in
// net/ipv4/route.c (RFC 1812 5.2.7.1), ip6_pkt_discard and ip6_pkt_prohibit in
// net/ipv6/route.c (RFC 4443 3.1).
const (
	codeUnreachable4 = 1  // host unreachable
	codeProhibited4  = 13 // communication administratively prohibited
	codeUnreachable6 = 0  // no route to destination
	codeProhibited6  = 1  // communication administratively prohibited
)

// wishOf translates a route. Its hops are valid until the next call.
func (r *RIB) wishOf(m *kernel.Route) wish {
	reasons := &r.options.Reasons
	four := m.Prefix.Addr().Is4()
	pick := func(v4, v6 uint8) uint8 {
		if four {
			return v4
		}
		return v6
	}
	switch m.Type {
	case unix.RTN_UNICAST:
		return wish{kind: toHops, family: pick(4, 6), mtu: m.MTU, nextHop: m.NextHop, hops: r.hopsOf(m.Hops), source: m.Source}
	case unix.RTN_LOCAL, unix.RTN_ANYCAST:
		return wish{kind: toThisMachine, hops: r.linksOf(m.Hops)}
	case unix.RTN_BLACKHOLE:
		return wish{kind: toNowhere}
	case unix.RTN_UNREACHABLE:
		return wish{kind: toSender, family: pick(4, 6), code: pick(codeUnreachable4, codeUnreachable6)}
	case unix.RTN_PROHIBIT:
		return wish{kind: toSender, family: pick(4, 6), code: pick(codeProhibited4, codeProhibited6)}
	case unix.RTN_BROADCAST:
		return wish{kind: toKernel, reason: reasons.Broadcast, hops: r.linksOf(m.Hops), source: m.Source}
	case unix.RTN_MULTICAST:
		return wish{kind: toKernel, reason: reasons.Multicast, hops: r.linksOf(m.Hops)}
	case unix.RTN_THROW:
		return wish{kind: toKernel, reason: reasons.Throw}
	}
	return wish{kind: toKernel, reason: reasons.Policy}
}

func (r *RIB) hopsOf(from []kernel.Hop) []hop {
	hops := r.scratch.hops[:0]
	for _, h := range from {
		hops = append(hops, hop{h.Link, h.Gateway, h.Weight, h.Encap})
	}
	r.scratch.hops = hops
	return hops
}

// linksOf is what of hops a route says that leads nowhere. Two interfaces may bring
// one address, the first of two subnets, say; and two addresses of one interface the
// last of theirs, which differ in the source.
func (r *RIB) linksOf(from []kernel.Hop) []hop {
	hops := r.scratch.hops[:0]
	for _, h := range from {
		hops = append(hops, hop{link: h.Link})
	}
	r.scratch.hops = hops
	return hops
}

// name encodes a wish, so that equal ones are found. It is valid until the next
// call.
func (r *RIB) name(w *wish) []byte {
	b := append(r.scratch.name[:0], byte(w.kind), w.family, w.code, byte(w.reason), byte(w.reason>>8), byte(w.by), byte(w.vrf), byte(w.vrf>>8))
	b = binary.NativeEndian.AppendUint32(b, w.mtu)
	b = binary.NativeEndian.AppendUint32(b, w.nextHop)
	for _, h := range w.hops {
		b = binary.NativeEndian.AppendUint32(b, uint32(h.link))
		b = binary.NativeEndian.AppendUint32(b, uint32(h.weight))
		encap := byte(0)
		if h.encap {
			encap = 1
		}
		b = append(b, encap, byte(h.gateway.BitLen()))
		if h.gateway.Is4() {
			a := h.gateway.As4()
			b = append(b, a[:]...)
		} else if h.gateway.IsValid() {
			a := h.gateway.As16()
			b = append(b, a[:]...)
		}
	}
	b = w.source.AppendTo(b)
	r.scratch.name = b
	return b
}

// group is a wish, and what it has come to.
type group struct {
	wish
	name    string
	refs    int // candidates, host routes, merged and exported routes
	merged  int // of them: those that are no candidates
	id      fib.GroupID
	now     fib.Group    // in the image
	uses    []*adjacency // of now
	onLink  int          // of Glean: the link
	created bool
	doomed  bool // its object has gone, and so will its routes

	// Of sources other than the kernel:
	flat   expansion
	dead   bool   // it leads nowhere: candidates with it are not eligible
	export uint32 // its number in Export, 0: none
	told   int    // routes that have been told to be with it
}

// hold returns the group of a wish, and counts the caller in.
func (r *RIB) hold(w wish) uint32 {
	name := r.name(&w)
	if at, ok := r.byName[string(name)]; ok {
		r.groups[at].refs++
		return at
	}
	w.hops = slices.Clone(w.hops)
	g := &group{wish: w, name: string(name), refs: 1}
	at := uint32(len(r.groups))
	if n := len(r.free); n > 0 {
		at, r.free = r.free[n-1], r.free[:n-1]
		r.groups[at] = g
	} else {
		r.groups = append(r.groups, g)
	}
	r.byName[g.name] = at
	r.update(g)
	return at
}

// drop counts a holder of a group out.
func (r *RIB) drop(at uint32) {
	g := r.groups[at]
	if g.refs--; g.refs > 0 {
		return
	}
	if r.byName[g.name] == at {
		delete(r.byName, g.name)
	}
	r.forgetGroup(g)
	r.groups[at] = nil
	r.free = append(r.free, at)
	if g.created {
		r.deleteGroup(g.id)
	}
	for _, a := range g.uses {
		r.leave(a)
	}
}

// deleteGroup removes a group from the image, later if a route that could not
// be changed still names it.
func (r *RIB) deleteGroup(id fib.GroupID) {
	switch err := r.image.DeleteGroup(id); {
	case errors.Is(err, fib.ErrInUse):
		r.unusedGroups = append(r.unusedGroups, id)
	case err != nil:
		r.note("delete group", netip.Prefix{}, err)
	default:
		r.changed = true
	}
}

// update makes a group be what its wish comes to now.
func (r *RIB) update(g *group) {
	if g.by != Kernel {
		r.expandAgain(g)
	}
	onLink := g.onLink
	want, members := r.resolve(g)
	if g.onLink != onLink && g.created && (g.by != Kernel || g.nextHop != 0) {
		r.tracking.turned[g] = struct{}{} // attached hosts in its prefixes have routes of their own, or no longer
	}
	uses := make([]*adjacency, 0, len(members))
	err := error(nil)
	for _, m := range members {
		a, acquireErr := r.acquire(m.adjacencyKey)
		if acquireErr != nil {
			err = acquireErr
			break
		}
		uses = append(uses, a)
		want.Members = append(want.Members, fib.Member{Adjacency: a.id, Weight: m.weight})
	}
	if err == nil {
		err = r.write(g, want)
	}
	if err != nil {
		// The old members stay; without any, the routes are missing.
		if _, known := r.missing.unwritten[g]; !known {
			r.note("write group", netip.Prefix{}, err)
		}
		r.missing.unwritten[g] = struct{}{}
		for _, a := range uses {
			r.leave(a)
		}
		return
	}
	delete(r.missing.unwritten, g)
	uses, g.uses = g.uses, uses
	for _, a := range uses {
		r.leave(a)
	}
}

func (r *RIB) write(g *group, want fib.Group) error {
	if g.created && equalGroups(&g.now, &want) {
		return nil
	}
	err := r.try(func() (err error) {
		if g.created {
			return r.image.SetGroup(g.id, want)
		}
		g.id, err = r.found.group(r.image, want)
		return err
	})
	if err == nil {
		g.now, g.created, r.changed = want, true, true
	}
	return err
}

func equalGroups(a, b *fib.Group) bool {
	return a.Kind == b.Kind && a.Mode == b.Mode && a.Port == b.Port && a.MTU == b.MTU && a.Code == b.Code && a.Reason == b.Reason &&
		slices.Equal(a.Members, b.Members)
}

// member is a hop that packets can be sent to.
type member struct {
	adjacencyKey
	weight int
}

// resolve says what a wish comes to now. The members are to be made adjacencies.
func (r *RIB) resolve(g *group) (fib.Group, []member) {
	g.onLink = 0
	switch g.kind {
	case toThisMachine:
		return fib.Group{Kind: fib.Local}, nil
	case toNowhere:
		return fib.Group{Kind: fib.Blackhole}, nil
	case toSender:
		return fib.Group{Kind: fib.Reject, Code: g.code}, nil
	case toKernel:
		return fib.Group{Kind: fib.Punt, Reason: g.reason}, nil
	}
	reasons := &r.options.Reasons
	if g.by != Kernel {
		return r.resolveFlat(g)
	}
	hops, mode, blackhole := g.hops, fib.HashThreshold, false
	switch {
	case g.doomed: // it may be another object by now
		hops = nil
	case g.nextHop != 0:
		hops, mode, blackhole = r.objectHops(g.nextHop)
	}
	if blackhole {
		return fib.Group{Kind: fib.Blackhole}, nil
	}
	if len(hops) == 0 {
		return fib.Group{Kind: fib.Punt, Reason: reasons.Unresolved}, nil
	}
	return r.lead(g, hops, mode)
}

// lead says what a group with these hops is.
func (r *RIB) lead(g *group, hops []hop, mode fib.Mode) (fib.Group, []member) {
	reasons := &r.options.Reasons
	punt := func(reason uint16) (fib.Group, []member) { return fib.Group{Kind: fib.Punt, Reason: reason}, nil }
	members := make([]member, 0, len(hops))
	places := make(map[adjacencyKey]int, len(hops)) // in members
	for _, h := range hops {
		if !r.isUp(h.link) {
			continue
		}
		port, owned := r.options.Ports.Number(h.link)
		switch {
		case !owned || !r.links[h.link].HasMAC:
			return punt(reasons.NoPort)
		case h.encap:
			return punt(reasons.Encap)
		case !h.gateway.IsValid() && len(hops) > 1, h.gateway.Is4In6():
			return punt(reasons.Policy)
		case !h.gateway.IsValid():
			g.onLink = h.link
			return fib.Group{Kind: fib.Glean, Port: port, MTU: uint16(min(g.mtu, math.MaxUint16))}, nil
		}
		k := adjacencyKey{peerKey{h.link, h.gateway}, g.family, g.mtu}
		if i, ok := places[k]; ok {
			members[i].weight += h.weight
		} else {
			places[k] = len(members)
			members = append(members, member{k, h.weight})
		}
	}
	switch {
	case len(members) == 0:
		return punt(reasons.LinkDown)
	case len(members) > fib.MaxMembers || slices.ContainsFunc(members, func(m member) bool { return m.weight > fib.MaxWeight }):
		return punt(reasons.Policy)
	}
	return fib.Group{Kind: fib.Forward, Mode: mode}, members
}

// isUp reports whether packets can leave by a link.
func (r *RIB) isUp(index int) bool {
	l := r.links[index]
	return l != nil && l.IsUp() && l.HasCarrier()
}

// affected writes the groups again that satisfy a condition.
func (r *RIB) affected(is func(*group) bool) {
	for _, g := range r.groups {
		if g != nil && g.kind == toHops && is(g) {
			r.update(g)
		}
	}
}
