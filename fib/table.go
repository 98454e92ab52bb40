package fib

import (
	"cmp"
	"fmt"
	"iter"
	"net/netip"
	"slices"
)

// GroupID numbers a next-hop group of an image. 0 is none: no route.
type GroupID uint32

// Table is the routes of one VRF. It is a handle: copy it freely.
type Table struct {
	im  *Image
	vrf uint32
}

// Table returns the table of a VRF: 0 is the default one. All exist, empty,
// from the start: one that holds nothing costs 8 bytes.
//
// Errors: ErrNoVRF for a number that the image has no room for: CopyTo makes
// one that has more (Options.VRFs).
func (im *Image) Table(vrf int) (Table, error) {
	if vrf < 0 || vrf >= int(im.vrfs) {
		return Table{}, fmt.Errorf("%w: %d, the image has room for 0 to %d", ErrNoVRF, vrf, im.vrfs-1)
	}
	return Table{im, uint32(vrf)}, nil
}

// Route is one route as given.
type Route struct {
	Prefix netip.Prefix
	Group  GroupID
}

func (t Table) trie(f family) *trie  { return &t.im.tries[2*t.vrf+uint32(f)] }
func (t Table) root(f family) uint32 { return rootOff(t.vrf, f) }

// Len returns how many routes of each family are installed.
func (t Table) Len() (v4, v6 int) { return t.trie(ipv4).routes, t.trie(ipv6).routes }

func (t Table) route(p netip.Prefix, g GroupID) (route, error) {
	k, f, err := prefixKey(p)
	return route{k, p.Bits(), uint32(g), uint16(t.vrf), f}, err
}

// paint gives r's addresses an answer; when memory does not suffice some of them have
// it, and unpaint is to follow.
func (t Table) paint(r, answer *route) error {
	im := t.im
	p := paint{
		im: im, b: im.builder(t.trie(r.family).routes),
		key: r.key, len: r.len, value: answer.group, owner: uint8(answer.len),
	}
	return p.slot(t.root(r.family), 0, false)
}

// unpaint gives r's addresses their old answer again.
func (t Table) unpaint(r, old *route) {
	if err := t.paint(r, old); err != nil {
		panic(err) // it needs no memory
	}
}

// Insert installs a route, or gives an installed one another group. A reader
// sees, for each address, the answer of before or the new one.
//
// Errors: ErrPrefix, ErrNoGroup, ErrFull; nothing has changed then.
func (t Table) Insert(p netip.Prefix, g GroupID) error {
	r, err := t.route(p, g)
	if err != nil {
		return fmt.Errorf("insert %s: %w", p, err)
	}
	if !t.im.hasGroup(g) {
		return fmt.Errorf("insert %s: %w: %d", p, ErrNoGroup, g)
	}
	if err := t.insert(&r); err != nil {
		return fmt.Errorf("insert %s: %w", p, err)
	}
	return nil
}

func (t Table) insert(r *route) error {
	im := t.im
	record, _, replace := im.routes.find(r)
	var old route
	if replace {
		if old, _ = im.routes.read(record); old.group == r.group {
			return nil
		}
	} else {
		if !im.hasRoomForRoute() {
			return ErrFull
		}
		if err := im.routes.reserve(); err != nil {
			return err
		}
	}
	if err := t.paint(r, r); err != nil {
		if !replace {
			old = im.routes.parent(r, t.lengths(r.family))
		}
		t.unpaint(r, &old)
		return err
	}
	// gofail: var fibInsertPainted struct{}
	if replace {
		im.routes.setGroup(record, r)
		im.groupUse[old.group]--
	} else {
		im.routes.add(r)
		t.lengths(r.family)[r.len]++
		t.trie(r.family).routes++
		t.shape(r.family)
	}
	// gofail: var fibInsertRecorded struct{}
	im.groupUse[r.group]++
	return nil
}

// Delete removes a route: its addresses go to the next shorter one.
//
// Errors: ErrPrefix, ErrNoRoute; ErrFull when several routes share a leaf that
// has to be split and there is no memory for it. Nothing has changed then.
func (t Table) Delete(p netip.Prefix) error {
	r, err := t.route(p, 0)
	if err == nil {
		err = t.delete(&r)
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", p, err)
	}
	return nil
}

func (t Table) delete(r *route) error {
	im := t.im
	record, at, ok := im.routes.find(r)
	if !ok {
		return ErrNoRoute
	}
	old, _ := im.routes.read(record)
	answer := im.routes.parent(r, t.lengths(r.family))
	if err := t.paint(r, &answer); err != nil {
		t.unpaint(r, &old)
		return err
	}
	// gofail: var fibDeletePainted struct{}
	im.routes.remove(record, at)
	// gofail: var fibDeleteRecorded struct{}
	im.groupUse[old.group]--
	t.lengths(r.family)[r.len]--
	t.trie(r.family).routes--
	t.shape(r.family)
	return nil
}

func (t Table) lengths(f family) []uint32 {
	tr := t.trie(f)
	if tr.lengths == nil {
		tr.lengths = make([]uint32, f.width()+1)
	}
	return tr.lengths
}

// shapeLeast is the number of routes below which a trie is left as it grew.
const shapeLeast = 64

// shape builds a trie anew when it has doubled or shrunk to a quarter since
// the last time, so that strides fit what is in it. Without memory for that
// the trie stays as it is, which is as right.
func (t Table) shape(f family) {
	tr := t.trie(f)
	switch {
	case tr.routes == 0:
		tr.shaped = 0
		t.im.swing(t.root(f), 0, 0) // an empty table takes nothing
	case tr.routes >= max(2*tr.shaped, shapeLeast) || tr.routes < tr.shaped/4:
		t.reshape(f)
	}
}

func (t Table) reshape(f family) {
	im, tr := t.im, t.trie(f)
	tr.shaped = tr.routes
	ivs := im.collect(make([]interval, 0, tr.routes+tr.routes/4), noLimit, t.root(f), key{}, 0, false)
	b := im.builder(tr.routes)
	// gofail: var fibReshape struct{}
	tr.cramped = b.replace(t.root(f), ivs, 0, false) != nil // the trie stays as it is then
}

// Change is one step of a batch: a route to insert or replace, or to delete.
type Change struct {
	Route
	Delete bool // Group does not matter then
}

// Apply makes the changes in order and publishes them as one generation. It
// stops at the first that fails and returns how many it made; those stay.
//
// Errors: as Insert and Delete.
func (t Table) Apply(changes []Change) (made int, err error) {
	defer t.im.Publish()
	for _, c := range changes {
		if c.Delete {
			err = t.Delete(c.Prefix)
		} else {
			err = t.Insert(c.Prefix, c.Group)
		}
		if err != nil {
			return made, err
		}
		made++
	}
	return made, nil
}

// Get returns the group of exactly this prefix.
//
// Errors: ErrPrefix, ErrNoRoute.
func (t Table) Get(p netip.Prefix) (GroupID, error) {
	r, err := t.route(p, 0)
	if err != nil {
		return 0, fmt.Errorf("get %s: %w", p, err)
	}
	record, _, ok := t.im.routes.find(&r)
	if !ok {
		return 0, fmt.Errorf("get %s: %w", p, ErrNoRoute)
	}
	r, _ = t.im.routes.read(record)
	return GroupID(r.group), nil
}

// All returns the table's routes in no particular order. The table must not
// change meanwhile. It visits all routes of the image.
func (t Table) All() iter.Seq2[netip.Prefix, GroupID] {
	return func(yield func(netip.Prefix, GroupID) bool) {
		t.im.routes.all(func(_ uint32, r route) bool {
			return uint32(r.vrf) != t.vrf || yield(netip.PrefixFrom(r.key.addr(r.family), r.len), GroupID(r.group))
		})
	}
}

// Difference counts what Replace did.
type Difference struct {
	Added, Changed, Removed, Same int
}

// Replace makes the table hold exactly the given routes, writing only what
// differs; of a prefix that stands twice the last counts. Each address goes from
// its old answer to its new one and meets no other meanwhile: new routes come
// in before old ones go, the longest first, and of those that go the longest
// is the last. An empty table is filled in one publication.
//
// Errors: ErrPrefix, ErrNoGroup: nothing has changed then. ErrFull: routes that
// did fit are installed and none is removed.
func (t Table) Replace(routes []Route) (Difference, error) {
	var d Difference
	all := make([]route, len(routes))
	for i := range routes {
		r, err := t.route(routes[i].Prefix, routes[i].Group)
		if err == nil && !t.im.hasGroup(routes[i].Group) {
			err = fmt.Errorf("%w: %d", ErrNoGroup, routes[i].Group)
		}
		if err != nil {
			return d, fmt.Errorf("replace table %d: route %s: %w", t.vrf, routes[i].Prefix, err)
		}
		all[i] = r
	}
	all = sortRoutes(all)
	if v4, v6 := t.Len(); v4+v6 == 0 {
		if err := t.load(all); err != nil {
			return d, fmt.Errorf("load table %d: %w", t.vrf, err)
		}
		deleted, err := t.trim(all)
		if d.Added = len(all) - deleted; err == nil && deleted > 0 {
			err = ErrFull
		}
		if err != nil {
			return d, fmt.Errorf("load table %d: %w", t.vrf, err)
		}
		return d, nil
	}
	// gofail: var fibReplaceBegun struct{}
	var come []route
	for i := range all {
		if record, _, ok := t.im.routes.find(&all[i]); ok {
			if r, _ := t.im.routes.read(record); r.group == all[i].group {
				d.Same++
				continue
			}
		}
		come = append(come, all[i])
	}
	slices.SortStableFunc(come, func(a, b route) int { return cmp.Compare(b.len, a.len) })
	for i := range come {
		_, _, ok := t.im.routes.find(&come[i])
		if err := t.insert(&come[i]); err != nil {
			return d, fmt.Errorf("replace table %d: insert %s: %w", t.vrf, &come[i], err)
		}
		if ok {
			d.Changed++
		} else {
			d.Added++
		}
	}
	// gofail: var fibReplaceCame struct{}
	var gone []route
	t.im.routes.all(func(_ uint32, r route) bool {
		if uint32(r.vrf) == t.vrf {
			if _, ok := slices.BinarySearchFunc(all, r, compareRoutes); !ok {
				gone = append(gone, r)
			}
		}
		return true
	})
	slices.SortStableFunc(gone, func(a, b route) int { return cmp.Compare(a.len, b.len) })
	for i := range gone {
		if err := t.delete(&gone[i]); err != nil {
			return d, fmt.Errorf("replace table %d: delete %s: %w", t.vrf, &gone[i], err)
		}
		d.Removed++
	}
	return d, nil
}

// compareRoutes orders routes of one VRF by family and address, covering ones
// first.
func compareRoutes(a, b route) int {
	if c := cmp.Compare(a.family, b.family); c != 0 {
		return c
	}
	if c := cmp.Compare(a.key.hi, b.key.hi); c != 0 {
		return c
	}
	if c := cmp.Compare(a.key.lo, b.key.lo); c != 0 {
		return c
	}
	return cmp.Compare(a.len, b.len)
}

// sortRoutes sorts, and drops all but the last of equal prefixes.
func sortRoutes(all []route) []route {
	if !slices.IsSortedFunc(all, compareRoutes) {
		slices.SortStableFunc(all, compareRoutes)
	}
	out := all[:0]
	for i := range all {
		if i+1 < len(all) && compareRoutes(all[i], all[i+1]) == 0 {
			continue
		}
		out = append(out, all[i])
	}
	return out
}

// load fills an empty table with sorted routes: each family is built beside
// and published by one store. The records come first, so that a writer that
// dies on the way leaves what the next one needs.
func (t Table) load(all []route) error {
	im := t.im
	split, _ := slices.BinarySearchFunc(all, ipv6, func(r route, f family) int { return cmp.Compare(r.family, f) })
	added := 0
	im.routes.expect(len(all))
	for i := range all {
		if err := im.routes.reserve(); err != nil {
			t.unload(all[:added])
			return err
		}
		im.routes.add(&all[i])
		added++
	}
	// gofail: var fibLoadRecorded struct{}
	for f, routes := range [...][]route{all[:split], all[split:]} {
		f := family(f)
		b := im.builder(len(routes))
		if err := b.replace(t.root(f), sweep(routes), 0, false); err != nil {
			if f == ipv6 {
				im.swing(t.root(ipv4), 0, 0)
			}
			t.unload(all)
			return err
		}
	}
	// gofail: var fibLoadBuilt struct{}
	for i := range all {
		im.countRoute(&all[i])
	}
	for f := range family(2) {
		t.trie(f).shaped = t.trie(f).routes
	}
	return nil
}

// unload takes records back that load wrote.
func (t Table) unload(all []route) {
	for i := range all {
		record, at, _ := t.im.routes.find(&all[i])
		t.im.routes.remove(record, at)
	}
}

// sweep turns sorted routes of one family into intervals that cover all
// addresses.
func sweep(routes []route) []interval {
	ivs := make([]interval, 1, len(routes)+len(routes)/4+16)
	emit := func(iv interval) {
		if n := len(ivs); ivs[n-1].start == iv.start {
			ivs = ivs[:n-1]
		}
		ivs = appendInterval(ivs, iv)
	}
	open := make([]*route, 1, 130) // routes around the present address, the longest last
	open[0] = &route{}
	// leave ends the routes that end before k.
	leave := func(k key, all bool) {
		for len(open) > 1 {
			end := open[len(open)-1].key.last(open[len(open)-1].len)
			if !all && !end.less(k) {
				return
			}
			open = open[:len(open)-1]
			if after, ok := end.next(); ok {
				r := open[len(open)-1]
				emit(interval{after, r.group, uint8(r.len)})
			}
		}
	}
	for i := range routes {
		r := &routes[i]
		leave(r.key, false)
		open = append(open, r)
		emit(interval{r.key, r.group, uint8(r.len)})
	}
	leave(key{}, true)
	return ivs
}
