package fpm

import (
	"slices"

	"weft/control/kernel"
)

// objectKey names a next-hop object. A zebra that has been started again gives its
// numbers out anew, while stale routes still name the old ones: so each connection
// has numbers of its own.
type objectKey struct{ generation, id uint32 }

// object is a next-hop object that the peer has told of, or that something names.
type object struct {
	kernel.NextHop // as the peer numbers it and its members
	known          bool
	handle         uint32 // its number for the Sink
	routes, groups int    // that name it
}

// table is what the Sink has been told, and what of it is stale.
type table struct {
	routes     []said          // by number of the prefix; of no kind: there is none
	count      int             // of routes
	homeless   map[uint32]told // those of them in unknown tables
	objects    map[objectKey]*object
	handles    uint32 // the last one given out
	stale      int    // routes of earlier connections
	known      int    // objects
	generation uint32 // of the present connection, or of the next one
}

func newTable() table {
	return table{homeless: map[uint32]told{}, objects: map[objectKey]*object{}}
}

// age makes all routes stale.
func (t *table) age() {
	t.generation++
	t.stale = t.count
}

// set takes the route to a prefix. It returns the number by which the Sink knows its
// object, and whether it was stale and no longer is.
func (t *table) set(number uint32, s said) (handle uint32, refreshed bool) {
	if s.nextHop != 0 {
		o := t.object(objectKey{s.generation, s.nextHop})
		o.routes++ // before the old one goes, which may be the same
		handle = o.handle
	}
	wasStale := t.delete(number)
	if missing := int(number) + 1 - len(t.routes); missing > 0 {
		t.routes = append(t.routes, make([]said, missing)...)
	}
	t.routes[number] = s
	t.count++
	if s.generation != t.generation {
		t.stale++
	}
	return handle, wasStale && s.generation == t.generation
}

// delete reports whether the route was stale.
func (t *table) delete(number uint32) (wasStale bool) {
	if int(number) >= len(t.routes) || t.routes[number].kind == 0 {
		return false
	}
	old := t.routes[number]
	t.routes[number] = said{}
	t.count--
	delete(t.homeless, number)
	if old.nextHop != 0 {
		o := objectKey{old.generation, old.nextHop}
		t.objects[o].routes--
		t.release(o)
	}
	if wasStale = old.generation != t.generation; wasStale {
		t.stale--
	}
	return wasStale
}

// object returns what is kept of an object, known or only named.
func (t *table) object(k objectKey) *object {
	o := t.objects[k]
	if o == nil {
		t.handles++
		o = &object{handle: t.handles}
		t.objects[k] = o
	}
	return o
}

// release forgets an object that is not known and that nothing names.
func (t *table) release(k objectKey) {
	if o := t.objects[k]; !o.known && o.routes == 0 && o.groups == 0 {
		delete(t.objects, k)
	}
}

// setNextHop takes an object, and returns it with the numbers that the Sink knows.
func (t *table) setNextHop(k objectKey, n kernel.NextHop) kernel.NextHop {
	o := t.object(k)
	if !o.known {
		o.known = true
		t.known++
	}
	old := o.Members
	o.NextHop = n
	n.ID = o.handle
	if n.Members != nil {
		n.Members = make([]kernel.NextHopMember, len(o.Members))
	}
	for i, m := range o.Members {
		member := t.object(objectKey{k.generation, m.ID})
		member.groups++
		n.Members[i] = kernel.NextHopMember{ID: member.handle, Weight: m.Weight}
	}
	t.releaseMembers(k, old)
	return n
}

// deleteNextHop returns the number by which the Sink knows the object, if it does.
func (t *table) deleteNextHop(k objectKey) (handle uint32, ok bool) {
	o := t.objects[k]
	if o == nil || !o.known {
		return 0, false
	}
	t.known--
	members := o.Members
	o.known, o.NextHop = false, kernel.NextHop{}
	t.releaseMembers(k, members)
	if t.objects[k] != nil { // not a member of itself
		t.release(k)
	}
	return o.handle, true
}

func (t *table) releaseMembers(k objectKey, members []kernel.NextHopMember) {
	for _, m := range members {
		member := objectKey{k.generation, m.ID}
		t.objects[member].groups--
		t.release(member)
	}
}

// isUsable reports whether something is known of where an object leads. Groups in
// groups do not count, as in the kernel: so there are no cycles.
func (t *table) isUsable(k objectKey) bool {
	o := t.objects[k]
	if o == nil || !o.known || !o.IsGroup() {
		return o != nil && o.known
	}
	for _, m := range o.Members {
		if one := t.objects[objectKey{k.generation, m.ID}]; one.known && !one.IsGroup() {
			return true
		}
	}
	return false
}

// parked returns the objects that routes wait for, and how many routes wait for
// something.
func (t *table) parked() (objects []objectKey, routes int) {
	for _, r := range t.homeless {
		if r.nextHop == 0 || t.isUsable(objectKey{r.generation, r.nextHop}) {
			routes++
		}
	}
	for k, o := range t.objects {
		if o.routes > 0 && !t.isUsable(k) {
			objects, routes = append(objects, k), routes+o.routes
		}
	}
	return objects, routes
}

// users returns the routes that name one of some objects, without their keys.
func (t *table) users(objects []objectKey) (routes []told) {
	if len(objects) == 0 {
		return nil
	}
	for n, r := range t.routes {
		if r.nextHop != 0 && slices.Contains(objects, objectKey{r.generation, r.nextHop}) {
			routes = append(routes, told{number: uint32(n), route: route{said: r}})
		}
	}
	return routes
}
