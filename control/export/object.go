package export

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
	"weft/control/rib"
)

// Identifiers of weft's next-hop objects: 119 << 24 and those behind it.
const (
	FirstID = rib.ProtocolWeft << 24
	LastID  = FirstID + 1<<24 - 1
)

// isOurs reports whether an object is of weft's making.
func isOurs(n *kernel.NextHop) bool {
	return n.Protocol == rib.ProtocolWeft && n.ID >= FirstID && n.ID <= LastID
}

// objects are the next-hop objects that weft has in the kernel, and those that it is
// about to make.
type objects struct {
	byID   map[uint32]*object
	hops   map[hop]*object    // those of one hop
	unused map[string]*object // groups of an earlier weft, by what they lead to
	taken  map[uint32]bool    // identifiers that others have
	last   uint32
}

// hop is what an object stands for.
type hop struct {
	link    int
	gateway netip.Addr
}

// object is a next-hop object: of one hop, or a group of such.
type object struct {
	id      uint32
	hop     hop
	members []member // of a group
	there   bool     // the kernel has had it
	users   int      // groups with it as a member, or routes
	owner   *group
	err     error // the kernel's, the last time
}

type member struct {
	*object
	weight int
}

func newObjects() objects {
	return objects{map[uint32]*object{}, map[hop]*object{}, map[string]*object{}, map[uint32]bool{}, FirstID - 1}
}

// add makes an object with an identifier that is free, as far as it is known.
func (o *objects) add() *object {
	n := &object{id: o.free()}
	o.byID[n.id] = n
	return n
}

func (o *objects) free() uint32 {
	for {
		if o.last++; o.last > LastID {
			o.last = FirstID
		}
		if o.byID[o.last] == nil && !o.taken[o.last] {
			return o.last
		}
	}
}

// rename gives an object another identifier, for somebody else has this one.
func (o *objects) rename(n *object) {
	delete(o.byID, n.id)
	o.taken[n.id] = true
	n.id = o.free()
	o.byID[n.id] = n
}

func (o *objects) of(h hop) *object {
	n := o.hops[h]
	if n == nil {
		n = o.add()
		n.hop = h
		o.hops[h] = n
	}
	return n
}

func (o *objects) forget(n *object) {
	delete(o.byID, n.id)
	if o.hops[n.hop] == n {
		delete(o.hops, n.hop)
	}
}

// group is what the RIB names with a number.
type group struct {
	rib.ExportGroup
	object *object // of a group that leads to hops
	dirty  bool    // the kernel is to be told
	gone   bool
}

// ready returns the identifier that routes name; ok is false if there is none yet.
func (g *group) ready() (id uint32, ok bool) {
	if g.Type != unix.RTN_UNICAST {
		return 0, true
	}
	if g.object == nil || !g.object.there {
		return 0, false
	}
	return g.object.id, true
}

// name says what a group leads to, in words that do not depend on the order.
func name(members []member) string {
	sorted := slices.SortedFunc(slices.Values(members), func(a, b member) int { return cmp.Compare(a.id, b.id) })
	var b strings.Builder
	for _, m := range sorted {
		fmt.Fprintf(&b, "%d*%d ", m.id, m.weight)
	}
	return b.String()
}

// wantedMembers are the members that a group is to have: each hop once.
func (e *Exporter) wantedMembers(g *group) (members []member) {
	for _, h := range g.Hops {
		o := e.objects.of(hop{h.Link, h.Gateway})
		if i := slices.IndexFunc(members, func(m member) bool { return m.object == o }); i >= 0 {
			members[i].weight += h.Weight
		} else {
			members = append(members, member{o, h.Weight})
		}
	}
	return members
}

// claim gives a new group the object that an earlier weft has made for it, if there
// is one.
func (e *Exporter) claim(g *group) {
	if g.object != nil || g.Type != unix.RTN_UNICAST {
		return
	}
	n := name(e.wantedMembers(g))
	if o := e.objects.unused[n]; o != nil {
		delete(e.objects.unused, n)
		g.object, o.owner, g.dirty = o, g, false
		return
	}
	g.object = e.objects.add()
	g.object.owner = g
}

// writeGroups writes the groups that are new or lead elsewhere: their members
// first, of which the kernel may have dropped some without a word.
func (e *Exporter) writeGroups(groups []*group) error {
	wanted := map[*group][]member{}
	var hops, all []*object
	seen := map[*object]bool{}
	for _, g := range groups {
		wanted[g] = e.wantedMembers(g)
		all = append(all, g.object)
		for _, m := range wanted[g] {
			if !seen[m.object] {
				seen[m.object] = true
				hops = append(hops, m.object)
			}
		}
	}
	err := e.writeObjects(hops, func(o *object) *kernel.NextHop {
		return &kernel.NextHop{Hop: kernel.Hop{Link: o.hop.link, Gateway: o.hop.gateway}}
	})
	all = slices.DeleteFunc(all, func(o *object) bool {
		o.err = usable(wanted[o.owner])
		return o.err != nil
	})
	err = errors.Join(err, e.writeObjects(all, func(o *object) *kernel.NextHop {
		n := &kernel.NextHop{}
		for _, m := range wanted[o.owner] {
			if m.err == nil { // with one of two it is better than with none
				n.Members = append(n.Members, kernel.NextHopMember{ID: m.id, Weight: m.weight})
			}
		}
		return n
	}))
	if err != nil {
		return err
	}
	for _, g := range groups {
		if g.object.err != nil {
			continue
		}
		for _, m := range wanted[g] {
			m.users++
		}
		for _, m := range g.object.members {
			m.users--
		}
		g.object.members = wanted[g]
		g.dirty = slices.ContainsFunc(wanted[g], func(m member) bool { return m.err != nil })
	}
	return nil
}

// usable returns an error if the kernel takes none of the members.
func usable(members []member) (err error) {
	for _, m := range members {
		if m.err == nil {
			return nil
		}
		err = fmt.Errorf("next hop %s: %w", m.hop, m.err)
	}
	return err
}

func (h hop) String() string {
	if !h.gateway.IsValid() {
		return fmt.Sprintf("on interface %d", h.link)
	}
	return fmt.Sprintf("via %s on interface %d", h.gateway, h.link)
}

// writeObjects writes objects, under other identifiers if somebody else has theirs.
func (e *Exporter) writeObjects(list []*object, content func(*object) *kernel.NextHop) error {
	for len(list) > 0 {
		var again []*object
		err := e.batches(len(list), func(i int) {
			n, how := content(list[i]), kernel.Create
			if n.ID, n.Protocol = list[i].id, rib.ProtocolWeft; list[i].there {
				how = kernel.Upsert
			}
			e.writer.SetNextHop(n, how)
		}, func(i int, err error) {
			o := list[i]
			if errors.Is(err, unix.EEXIST) {
				e.objects.rename(o)
				again = append(again, o)
				return
			}
			o.err, o.there = err, o.there || err == nil
		})
		if err != nil {
			return err
		}
		list = again
	}
	return nil
}

// sweepObjects deletes objects that nothing names any more: groups, then members.
func (e *Exporter) sweepObjects() error {
	var groups, hops []*object
	for id, g := range e.groups {
		if !g.gone || g.object != nil && g.object.users > 0 {
			continue
		}
		if g.object != nil {
			groups = append(groups, g.object)
		}
		delete(e.groups, id)
	}
	for n, o := range e.objects.unused {
		if e.settled && o.users == 0 {
			groups = append(groups, o)
			delete(e.objects.unused, n)
		}
	}
	for _, o := range groups {
		for _, m := range o.members {
			m.users--
		}
	}
	for _, o := range e.objects.hops {
		if e.settled && o.users == 0 {
			hops = append(hops, o)
		}
	}
	return errors.Join(e.deleteObjects(groups), e.deleteObjects(hops))
}

func (e *Exporter) deleteObjects(list []*object) error {
	for _, o := range list {
		e.objects.forget(o)
	}
	return e.batches(len(list), func(i int) { e.writer.DeleteNextHop(list[i].id) }, func(i int, err error) {
		if err != nil && !errors.Is(err, unix.ENOENT) { // a later daemon finds it
			e.log.Warn("delete a next-hop object of weft's", "id", list[i].id, "error", err)
		}
	})
}
