package rib

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// watching is what who advertises routes is told: which prefixes may have another
// route. It costs nothing while nobody watches.
type watching struct {
	tell   func(keys []Key, links bool)
	routes bool // are asked for
	keys   map[key]struct{}
	// links, or addresses, have changed
	links bool
	// quiet: routes of BGP change. They matter where there are others only.
	quiet bool
}

// Watch calls tell with each publication that has changed links or addresses, or, with routes,
// may have changed which route to a prefix is chosen. It does not tell of
// prefixes to which BGP alone has routes. tell must not change the RIB; nil: nobody watches.
func (r *RIB) Watch(routes bool, tell func(keys []Key, links bool)) {
	r.watching = watching{tell: tell, routes: routes, keys: map[key]struct{}{}}
}

func (w *watching) change(r *RIB, k key) {
	if !w.routes || w.quiet && !r.hasOther(k, rankBGP) {
		return
	}
	w.keys[k] = struct{}{}
}

// hasOther reports whether somebody else has a route to a prefix.
func (r *RIB) hasOther(k key, than rank) bool {
	_, has := r.best(k, func(c *candidate) bool { return c.rank != than && !c.isCopy() })
	return has
}

func (w *watching) loud() { w.quiet = false }

func (w *watching) publish() {
	if w.tell == nil || len(w.keys) == 0 && !w.links {
		return
	}
	keys := make([]Key, 0, len(w.keys))
	for k := range w.keys {
		keys = append(keys, Key{k})
	}
	links := w.links
	w.links = false
	clear(w.keys)
	w.tell(keys, links)
}

// Chosen is the route to a prefix that packets take.
type Chosen struct {
	Source   Source
	Protocol uint8 // RTPROT_*
	Unicast  bool
	Local    bool // of the kernel's local table
	Up       bool // one of its links can carry packets, or it needs none
}

// ChosenAt returns the best route to a prefix that leads anywhere.
func (r *RIB) ChosenAt(k Key) (Chosen, bool) {
	c, ok := r.best(k.key, func(c *candidate) bool { return c.rank != rankReserved && r.eligible(c) })
	if !ok {
		return Chosen{}, false
	}
	g := r.groups[c.group]
	chosen := Chosen{
		Source: c.source(), Protocol: c.protocol, Unicast: c.kind == unix.RTN_UNICAST, Local: c.rank == rankLocal,
		Up: c.kind != unix.RTN_UNICAST || g.nextHop != 0,
	}
	for _, h := range g.hops {
		chosen.Up = chosen.Up || h.link == 0 || r.isUp(h.link)
	}
	return chosen, true
}

// tally counts prefixes by family and by whose candidates they have.
type tally [2][rankBGP + 1]int

// rankSet has a bit for each rank.
type rankSet uint8

// census says whose the candidates of a prefix are.
type census struct {
	candidates int
	ranks      rankSet
	twice      rankSet // ranks of more than one
}

func (c *census) add(r rank) {
	c.candidates++
	c.twice |= c.ranks & (1 << r)
	c.ranks |= 1 << r
}

func censusOf(list []candidate) (c census) {
	for i := range list {
		c.add(list[i].rank)
	}
	return c
}

// several is 1 if one source other than the kernel has several routes.
func (c *census) several() int {
	if c.twice&(1<<rankFPM|1<<rankStatic|1<<rankBGP) != 0 {
		return 1
	}
	return 0
}

// change takes note of whose candidates a prefix had, and has now.
func (t *tally) change(k key, old, now rankSet) {
	if old == now {
		return
	}
	of := &t[familyIndex(k.family)]
	for r := range of {
		of[r] += int(now>>r&1) - int(old>>r&1)
	}
}

func familyIndex(family uint8) int { return int(family>>1) & 1 } // 4: 0, 6: 1

// CountOf returns how many prefixes a source has routes to.
func (r *RIB) CountOf(s Source) (ipv4, ipv6 int) {
	return r.tally[0][ranks[s]], r.tally[1][ranks[s]]
}

// PrefixesOf returns the prefixes of a family that a source has routes to, in no order. A
// million of them are 32 MB.
func (r *RIB) PrefixesOf(s Source, ipv4 bool) []netip.Prefix {
	n, n6 := r.CountOf(s)
	family := uint8(4)
	if !ipv4 {
		family, n = 6, n6
	}
	if n == 0 {
		return nil
	}
	all := make([]netip.Prefix, 0, n)
	for k := range r.routes.all() {
		if _, has := r.best(k, func(c *candidate) bool { return c.rank == ranks[s] }); has && k.family == family {
			all = append(all, k.prefix())
		}
	}
	return all
}
