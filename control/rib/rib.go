package rib

import (
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sort"

	"weft/fib"
)

// Tables of the kernel that make up VRF 0.
const (
	tableMain  = 254
	tableLocal = 255
)

// RIB is the routing state of one network namespace, and its image. One
// goroutine at a time may call its methods.
type RIB struct {
	options Options
	image   *fib.Image

	links    map[int]*link
	addrs    map[addrKey]*addr
	peers    map[peerKey]*peer
	nextHops map[uint32]*nextHop          // of the kernel
	objects  [sources]map[uint32]*nextHop // of each source, the kernel's among them
	vrfs     map[uint32]uint16            // by table
	numbered []bool                       // by VRF: there is a table

	routes  byPrefix[candidate] // the first of each prefix
	others  others              // the further ones
	merged  byPrefix[uint32]    // groups of routes that are several candidates
	several int                 // prefixes to which a source other than the kernel has several
	lengths lengths
	tally   tally          // of prefixes, by source
	hosts   []host         // usable neighbors, sorted
	derived map[key]uint32 // host routes that follow from them

	groups      []*group // by index; nil: free
	free        []uint32 // indexes
	byName      map[string]uint32
	policy      uint32 // group
	adjacencies map[adjacencyKey]*adjacency

	tracking tracking
	copies   copies
	exports  exports
	watching watching
	width    [sources]int   // hops of a route that is several candidates, at most; 0: fib.MaxMembers
	replays  [sources]uint8 // number of the present one

	found             *found            // what the image held before the first synchronization; nil after it
	doomed            map[uint32]bool   // next-hop objects that went, and whose routes the kernel drops without a word
	leaving           []key             // those routes, as far as they are known and still there
	leavingMore       bool              // there are more of them, which are to be looked for
	missing           missing           // what is not in the image as it should be
	unusedGroups      []fib.GroupID     // to be deleted with the next publication
	unusedAdjacencies []fib.AdjacencyID // likewise

	changed    bool  // since the last publication
	stale      Stale // the kernel may have changed more than it said
	generation uint8 // of the present synchronization
	retaken    key   // while retaking: it is installed at the end
	retaking   bool
	gaps       bool // in what it tells of IPv6
	doubtful   doubtful
	scratch    struct { // reused
		name  []byte
		hops  []hop
		hosts []key
		list  []candidate
	}
	counts Counts
}

// Counts are what a RIB has seen.
type Counts struct {
	Candidates   int    // routes in it
	Unresolved   int    // of them: routes of sources other than the kernel that lead nowhere
	Parked       int    // routes that name a next-hop object or only links that are not known: they wait for them
	Exported     int    // routes of weft's own that the kernel has
	Groups       int    // next-hop groups in use
	Adjacencies  int    // in use
	NotInstalled int    // prefixes that the image does not hold as it should
	Astray       bool   // packets would take a way that the kernel would not send them: see Options.NotInstalled
	Unmatched    uint64 // deletions of routes that were not there
	Refused      uint64 // routes that no image can hold
	Failed       uint64 // changes of the image that failed for other reasons than memory: errors of weft
}

// New makes a RIB that writes to an image. The image may hold what another
// writer has left: it stays as it is until the first synchronization ends, and
// what is then still wanted is kept as it is.
func New(image *fib.Image, options Options) *RIB {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	r := &RIB{
		options: options, image: image,
		links: map[int]*link{}, addrs: map[addrKey]*addr{}, peers: map[peerKey]*peer{}, nextHops: map[uint32]*nextHop{},
		vrfs: map[uint32]uint16{tableMain: 0, tableLocal: 0}, numbered: []bool{true},
		routes: newByPrefix[candidate](), others: newOthers(), merged: newByPrefix[uint32](), derived: map[key]uint32{},
		byName: map[string]uint32{}, adjacencies: map[adjacencyKey]*adjacency{},
		doomed: map[uint32]bool{}, missing: newMissing(),
		tracking: newTracking(), copies: newCopies(), exports: newExports(),
		found: newFound(image),
	}
	for s := range r.objects {
		r.objects[s] = map[uint32]*nextHop{}
	}
	r.objects[Kernel] = r.nextHops
	r.groups = []*group{nil} // index 0 is none
	r.policy = r.hold(wish{kind: toKernel, reason: options.Reasons.Policy})
	r.reserve(0)
	return r
}

// Image returns the image: another one each time it has grown.
func (r *RIB) Image() *fib.Image { return r.image }

// Counts returns the counters and sizes as they are now.
func (r *RIB) Counts() Counts {
	c := r.counts
	c.Groups, c.Adjacencies, c.NotInstalled = len(r.byName), len(r.adjacencies), len(r.missing.prefixes)
	c.Astray = r.missing.astray()
	c.Exported = r.copies.first.len()
	for _, g := range r.groups {
		if g == nil || g.kind != toHops {
			continue
		}
		if g.dead {
			c.Unresolved += g.refs - g.merged
		}
		if r.isParked(g) {
			c.Parked += g.refs - g.merged
		}
	}
	return c
}

// isParked reports whether a group waits for something that it names.
func (r *RIB) isParked(g *group) bool {
	if g.nextHop != 0 {
		return r.objects[g.by][g.nextHop] == nil
	}
	return !slices.ContainsFunc(g.hops, func(h hop) bool { return h.link == 0 || r.links[h.link] != nil })
}

// Publish ends a set of changes. It returns the image's generation.
func (r *RIB) Publish() uint64 {
	r.flushDoomed()
	r.settle()
	r.retry()
	r.tell()
	r.watching.publish()
	r.deleteUnused()
	if !r.changed {
		return r.image.Generation()
	}
	r.changed = false
	return r.image.Publish()
}

// BeginSync starts a synchronization: all that the kernel has is now given
// again, and what is not is removed by EndSync.
func (r *RIB) BeginSync() {
	r.generation++
	r.gaps = false
	r.doubtful = doubtful{}
}

// EndSync ends a synchronization. The first one fills the image.
func (r *RIB) EndSync() { r.EndSyncBetween(func() {}) }

// EndSyncBetween is EndSync that calls a function now and then, between two prefixes:
// it may change and publish what it likes, but not begin a synchronization.
func (r *RIB) EndSyncBetween(between func()) {
	r.sweepLinks()
	r.sweepNextHops()
	r.sweepRoutes(between)
	r.believe()
	r.dropCopiesIf(func(c copied) bool { return c.generation != r.generation })
	// gofail: var ribSwept struct{}
	r.settle()
	if r.found != nil {
		r.load()
	}
	r.Publish()
}

// loading reports whether the first synchronization has not ended: routes are
// collected then, and not installed.
func (r *RIB) loading() bool { return r.found != nil }

// load fills the image with all routes at once.
func (r *RIB) load() {
	r.mergeAll()
	for _, h := range r.hosts {
		r.derive(h.key)() // a host on two links is there twice
	}
	r.found = nil // all groups have been asked for
	keys := make([]key, 0, r.routes.len()+len(r.derived))
	for k := range r.routes.all() {
		keys = append(keys, k)
	}
	for k := range r.derived {
		if _, ok := r.routes.get(k); !ok {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, key.compare)
	// gofail: var ribLoadBegun struct{}
	r.expect(len(keys))
	routes := map[int][]fib.Route{}
	for i, k := range keys {
		vrf := int(k.vrf)
		if routes[vrf] == nil {
			routes[vrf] = make([]fib.Route, 0, sort.Search(len(keys)-i, func(n int) bool { return keys[i+n].vrf != k.vrf }))
		}
		if g, ok := r.answer(k); ok {
			routes[vrf] = append(routes[vrf], fib.Route{Prefix: k.prefix(), Group: r.groups[g].id})
		}
	}
	keys = nil // the garbage of a million routes counts
	for vrf := 0; ; vrf++ {
		t, err := r.image.Table(vrf)
		if err != nil {
			break // no more
		}
		if v4, v6 := t.Len(); v4+v6+len(routes[vrf]) > 0 {
			r.refill(vrf, routes[vrf])
		}
	}
	r.changed = true
	// gofail: var ribLoaded struct{}
	r.clean()
}

// bytesPerRoute is what a route takes in the image: with the Internet's table,
// 24 for its record and 16 in the trie.
const bytesPerRoute = 40

// expect makes the image large enough for routes at once, which doubling would
// take several tries for. Those that it holds already are likely the same.
func (r *RIB) expect(routes int) {
	for vrf := range r.VRFs {
		if t, err := r.image.Table(vrf); err == nil {
			v4, v6 := t.Len()
			routes -= v4 + v6
		}
	}
	size := r.image.Used() + max(routes, 0)*bytesPerRoute
	if size <= r.image.Size() || r.options.Grow == nil {
		return
	}
	// If it fails they are tried as they come.
	if larger, err := r.options.Grow(r.image, size); err == nil {
		r.image = larger
	}
}

// refill fills the table of a VRF, with what fits when not all does.
func (r *RIB) refill(vrf int, routes []fib.Route) {
	err := r.try(func() error {
		t, err := r.image.Table(vrf)
		if err == nil {
			_, err = t.Replace(routes)
		}
		return err
	})
	if err == nil {
		return
	}
	if !errors.Is(err, fib.ErrFull) && !errors.Is(err, fib.ErrNoGroup) { // no group: it did not fit
		r.note("fill table", netip.Prefix{}, err)
	}
	r.removeOthers(vrf, routes)
	for _, route := range routes {
		r.install(newKey(uint16(vrf), route.Prefix))
	}
}

// removeOthers removes routes from the image that are not wanted.
func (r *RIB) removeOthers(vrf int, wanted []fib.Route) {
	t, err := r.image.Table(vrf)
	if err != nil {
		return
	}
	keep := make(map[netip.Prefix]bool, len(wanted))
	for _, route := range wanted {
		keep[route.Prefix] = true
	}
	var others []key
	for p := range t.All() {
		if !keep[p] {
			others = append(others, newKey(uint16(vrf), p))
		}
	}
	for _, k := range others {
		r.installOne(k)
	}
}

// try makes a change of the image, and grows the image until it fits.
func (r *RIB) try(change func() error) error {
	for {
		err := change()
		if !errors.Is(err, fib.ErrFull) || r.options.Grow == nil {
			return err
		}
		larger, growErr := r.options.Grow(r.image, 2*r.image.Size())
		if growErr != nil {
			return errors.Join(err, growErr)
		}
		// gofail: var ribGrown struct{}
		r.image = larger
	}
}

// note counts and logs a change that failed.
func (r *RIB) note(what string, p netip.Prefix, err error) {
	if !errors.Is(err, fib.ErrFull) {
		r.counts.Failed++
	}
	r.options.Log.Error("change the image", "what", what, "prefix", p, "error", err)
}
