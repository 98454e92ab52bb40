package main

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf"
)

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types designs bpf/designs.c -- -O2 -g -Wall -Werror -mcpu=v3 -idirafter /usr/include/x86_64-linux-gnu

// designs is the source that only -designs opens: the structures that weft's was chosen from, see bpf/designs.c. Each is
// built once from the full table and never changed: no room is kept, and nothing spent, for what updates would need.
var designs = source{
	name: "designs", root: true, open: openDesigns,
	rows: designRows(),
}

// tables are the BPF variables of a design with what they hold: slices of fixed-size elements.
type tables map[string]any

var designsIPv4 = map[string]func([]span) tables{
	"flat24":     buildFlat24,
	"flat16_8_8": buildFlat16,
	"leafvec16":  buildLeafvec16,
	"vec18":      buildVec18,
}

// designsIPv6 take the table twice, as hashing wants the prefixes themselves.
var designsIPv6 = map[string]func([]span, *table) tables{
	"trie4":   func(spans []span, _ *table) tables { return buildTrie4(spans) },
	"vec8":    func(spans []span, _ *table) tables { return buildVec8(spans) },
	"search":  func(spans []span, _ *table) tables { return buildSearch(spans) },
	"hashlen": func(_ []span, t *table) tables { return buildHashlen(t.ipv6, t.hops6) },
}

func designRows() []string {
	var rows []string
	add := func(family, name string, traces ...string) {
		for _, trace := range traces {
			for _, mode := range []string{"dep", "ind"} {
				rows = append(rows, rowName("bpf", family, mode, trace, "design_"+name))
			}
		}
		rows = append(rows, "memory/full/design_"+name)
	}
	for name := range designsIPv4 {
		add("ipv4", name, "zipf", "pfx", "uni")
	}
	for name := range designsIPv6 {
		add("ipv6", name, "zipf", "pfx")
	}
	slices.Sort(rows)
	return rows
}

func openDesigns(_ context.Context, s *setup) (*contest, error) {
	spec, err := loadDesigns()
	if err != nil {
		return nil, err
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, fmt.Errorf("load designs: %w", err)
	}
	c, err := fillDesigns(coll, s.table)
	if err != nil {
		coll.Close()
		return nil, err
	}
	c.close = coll.Close
	return c, nil
}

func fillDesigns(coll *ebpf.Collection, t *table) (*contest, error) {
	engines, err := bpfEngines(coll, nil)
	if err != nil {
		return nil, err
	}
	c := &contest{engines: engines}
	add := func(name string, built tables) error {
		size := 0
		for variable, values := range built {
			n, err := setVariable(coll, variable, values)
			if err != nil {
				return fmt.Errorf("fill design %s: %w", name, err)
			}
			size += n
		}
		c.figures = append(c.figures, figure{
			name: "memory/full/design_" + name, unit: "bytes",
			measure: func(context.Context) (float64, error) { return float64(size), nil },
		})
		return nil
	}
	ipv4, _ := spansOf(edgesOf(t.ipv4, t.hops4))
	for name, build := range designsIPv4 {
		if err := add(name, build(ipv4)); err != nil {
			return nil, err
		}
	}
	ipv6, deep := spansOf(edgesOf(t.ipv6, t.hops6))
	for name, build := range designsIPv6 {
		if err := add(name, build(ipv6, t)); err != nil {
			return nil, err
		}
	}
	for len(deep) < deepEdges {
		deep = append(deep, edge{At: address{^uint64(0), ^uint64(0)}})
	}
	_, err = setVariable(coll, "deep_edges", deep)
	slices.SortFunc(c.figures, func(a, b figure) int { return cmp.Compare(a.name, b.name) })
	return c, err
}

// setVariable writes values to the start of an array in BPF and returns their size.
func setVariable(coll *ebpf.Collection, name string, values any) (int, error) {
	v := coll.Variables[name]
	if v == nil {
		return 0, fmt.Errorf("find variable %s", name)
	}
	size := binary.Size(values)
	if size > int(v.Size()) {
		return 0, fmt.Errorf("write %d bytes to %s: it has %d", size, name, v.Size())
	}
	mem, err := binary.Append(make([]byte, 0, v.Size()), binary.NativeEndian, values)
	if err != nil {
		return 0, err
	}
	return size, v.Set(mem[:v.Size()])
}

// address is left-aligned: an IPv4 address is the first 32 bits.
type address struct{ Hi, Lo uint64 }

func (a address) less(b address) bool { return a.Hi < b.Hi || a.Hi == b.Hi && a.Lo < b.Lo }

// edge is where addresses with another next hop begin. 0 is no route.
type edge struct {
	At  address
	Hop uint64
}

// edgesOf returns the table as edges in order, the first at address 0.
func edgesOf(prefixes []netip.Prefix, hops []uint32) []edge {
	order := make([]int, len(prefixes))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return prefixes[a].Compare(prefixes[b]) })

	edges := []edge{{}}
	emit := func(at address, hop uint64) {
		for len(edges) > 0 && edges[len(edges)-1].At == at {
			edges = edges[:len(edges)-1]
		}
		if len(edges) == 0 || edges[len(edges)-1].Hop != hop {
			edges = append(edges, edge{at, hop})
		}
	}
	open := []edge{{}} // prefixes around the address, each with where it ends; around all, no route up to the end of the space
	leave := func(until func(end address) bool) {
		for len(open) > 1 && until(open[len(open)-1].At) {
			end := open[len(open)-1].At
			open = open[:len(open)-1]
			emit(end, open[len(open)-1].Hop)
		}
	}
	for _, i := range order {
		first, end := bounds(prefixes[i])
		leave(func(end address) bool { return end != address{} && !first.less(end) })
		open = append(open, edge{end, uint64(hops[i])})
		emit(first, uint64(hops[i]))
	}
	leave(func(end address) bool { return end != address{} })
	return edges
}

// bounds returns the first address of p, and the first one after it: the zero value if p goes to the end of the space.
func bounds(p netip.Prefix) (first, end address) {
	b := p.Addr().AsSlice()
	b = append(b, make([]byte, 16-len(b))...)
	first = address{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
	if p.Bits() <= 64 {
		return first, address{Hi: first.Hi + 1<<(64-p.Bits())} // a shift by 64 is 0, which is right
	}
	lo, carry := bits.Add64(first.Lo, 1<<(128-p.Bits()), 0)
	return first, address{first.Hi + carry, lo}
}

// span is a run of addresses with one next hop: from start, the first 64 bits, to before the next span.
type span struct {
	start uint64
	hop   uint16
}

const (
	deepHop   = 0x7fff  // DEEP: ask the table of edges
	deepEdges = 1 << 10 // DEEP_EDGES
)

// spansOf divides edges into spans and, for each /64 that is not of one next hop, the edges in it.
func spansOf(edges []edge) (spans []span, deep []edge) {
	emit := func(start uint64, hop uint16) {
		for len(spans) > 0 && spans[len(spans)-1].start >= start {
			spans = spans[:len(spans)-1]
		}
		if len(spans) == 0 || spans[len(spans)-1].hop != hop {
			spans = append(spans, span{start, hop})
		}
	}
	for i, e := range edges {
		if e.At.Lo == 0 {
			emit(e.At.Hi, uint16(e.Hop))
			continue
		}
		if len(deep) == 0 || deep[len(deep)-1].At.Hi != e.At.Hi {
			deep = append(deep, edge{address{Hi: e.At.Hi}, edges[i-1].Hop})
		}
		deep = append(deep, e)
		emit(e.At.Hi, deepHop)
		emit(e.At.Hi+1, uint16(e.Hop))
	}
	return spans, deep
}

// eachSlot divides the addresses from base on, all that share depth bits, into 2^stride slots. spans begins with the span
// that base is in; so does sub with that of the slot, whose first address is start.
func eachSlot(spans []span, base uint64, depth, stride int, yield func(slot int, start uint64, sub []span)) {
	for slot := range 1 << stride {
		start := base + uint64(slot)<<(64-depth-stride)
		last := start | ^uint64(0)>>(depth+stride)
		for len(spans) > 1 && spans[1].start <= start {
			spans = spans[1:]
		}
		n := 1
		for n < len(spans) && spans[n].start <= last {
			n++
		}
		yield(slot, start, spans[:n])
	}
}

const (
	bit16 = 1 << 15
	bit32 = 1 << 31
)

// chunks are groups of 256 leaves.
type chunks []uint16

// leaf returns the leaf of a slot at a depth, and adds chunks for what is longer.
func (c *chunks) leaf(spans []span, base uint64, depth int) uint16 {
	if len(spans) == 1 {
		return spans[0].hop
	}
	at := len(*c)
	*c = append(*c, make([]uint16, 256)...)
	eachSlot(spans, base, depth, 8, func(slot int, start uint64, sub []span) {
		leaf := c.leaf(sub, start, depth+8)
		(*c)[at+slot] = leaf
	})
	return bit16 | uint16(at/256)
}

func buildFlat(spans []span, stride int) (root, below []uint16) {
	var c chunks
	root = make([]uint16, 1<<stride)
	eachSlot(spans, 0, 0, stride, func(slot int, start uint64, sub []span) { root[slot] = c.leaf(sub, start, stride) })
	return root, c
}

func buildFlat24(spans []span) tables {
	root, below := buildFlat(spans, 24)
	return tables{"flat24_root": root, "flat24_chunks": below}
}

func buildFlat16(spans []span) tables {
	root, below := buildFlat(spans, 16)
	return tables{"flat16_root": root, "flat16_chunks": below}
}

// vector is struct vector: slots as the places where they change.
type vector struct {
	Changes [4]uint64
	Base    uint32
	Before  [4]uint8
}

// newVector appends what the slots change to to values, which are not empty. The first slot may share its value with
// whatever comes before.
func newVector[T comparable](slots []T, values *[]T) vector {
	var v vector
	if last := len(*values) - 1; (*values)[last] != slots[0] {
		*values = append(*values, slots[0])
	}
	v.Base = uint32(len(*values) - 2)
	v.Changes[0] = 1
	for i, slot := range slots {
		if i%64 == 0 && i > 0 {
			v.Before[i/64] = uint8(uint32(len(*values)-1) - v.Base)
		}
		if i > 0 && slot != slots[i-1] {
			v.Changes[i/64] |= 1 << (i % 64)
			*values = append(*values, slot)
		}
	}
	return v
}

func buildLeafvec16(spans []span) tables {
	var nodes []vector
	var below chunks
	root, leaves, slots := make([]uint32, 1<<16), []uint16{0, 0}, make([]uint16, 256)
	eachSlot(spans, 0, 0, 16, func(slot int, start uint64, sub []span) {
		if len(sub) == 1 {
			root[slot] = uint32(sub[0].hop)
			return
		}
		eachSlot(sub, start, 16, 8, func(slot int, start uint64, sub []span) { slots[slot] = below.leaf(sub, start, 24) })
		root[slot] = bit32 | uint32(len(nodes))
		nodes = append(nodes, newVector(slots, &leaves))
	})
	return tables{
		"leafvec16_root": root, "leafvec16_nodes": nodes, "leafvec16_leaves": leaves, "leafvec16_chunks": []uint16(below),
	}
}

// vec18Entry is struct vec18_entry.
type vec18Entry struct {
	Changes uint64
	Base    uint32
	_       uint32
}

func buildVec18(spans []span) tables {
	var below chunks
	root, leaves, slots := make([]vec18Entry, 1<<18), []uint16{0, 0}, make([]uint16, 64)
	eachSlot(spans, 0, 0, 18, func(slot int, start uint64, sub []span) {
		eachSlot(sub, start, 18, 6, func(slot int, start uint64, sub []span) { slots[slot] = below.leaf(sub, start, 24) })
		v := newVector(slots, &leaves)
		root[slot] = vec18Entry{Changes: v.Changes[0], Base: v.Base}
	})
	return tables{"vec18_root": root, "vec18_leaves": leaves, "vec18_chunks": []uint16(below)}
}

func buildTrie4(spans []span) tables {
	var nodes []uint32
	var build func(spans []span, base uint64, depth int) uint32
	build = func(spans []span, base uint64, depth int) uint32 {
		if len(spans) == 1 {
			return uint32(spans[0].hop)
		}
		at := len(nodes)
		nodes = append(nodes, make([]uint32, 16)...)
		eachSlot(spans, base, depth, 4, func(slot int, start uint64, sub []span) {
			e := build(sub, start, depth+4)
			nodes[at+slot] = e
		})
		return bit32 | uint32(at)
	}
	root := make([]uint32, 1<<16)
	eachSlot(spans, 0, 0, 16, func(slot int, start uint64, sub []span) { root[slot] = build(sub, start, 16) })
	return tables{"trie4_root": root, "trie4_nodes": nodes}
}

func buildVec8(spans []span) tables {
	var nodes []vector
	entries := []uint32{0, 0}
	var build func(spans []span, base uint64, depth int) uint32
	build = func(spans []span, base uint64, depth int) uint32 {
		if len(spans) == 1 {
			return uint32(spans[0].hop)
		}
		slots := make([]uint32, 256)
		eachSlot(spans, base, depth, 8, func(slot int, start uint64, sub []span) { slots[slot] = build(sub, start, depth+8) })
		nodes = append(nodes, newVector(slots, &entries))
		return bit32 | uint32(len(nodes)-1)
	}
	root := make([]uint32, 1<<16)
	eachSlot(spans, 0, 0, 16, func(slot int, start uint64, sub []span) { root[slot] = build(sub, start, 16) })
	return tables{"vec8_root": root, "vec8_nodes": nodes, "vec8_entries": entries}
}

// global is 2000::/3, all that search and hashlen know of: the table has nothing else.
const global = 1 << 61

func buildSearch(spans []span) tables {
	var keys []uint64
	var hops []uint16
	root := make([]uint32, 1<<21)
	eachSlot(spans, global, 3, 21, func(slot int, _ uint64, sub []span) {
		for i, s := range sub {
			if key := max(s.start, global) - global; len(keys) == 0 || key > keys[len(keys)-1] {
				keys, hops = append(keys, key), append(hops, s.hop)
			}
			if i == 0 {
				root[slot] = uint32(len(keys) - 1)
			}
		}
	})
	root = append(root, uint32(len(keys)-1))
	return tables{"search_root": root, "search_keys": keys, "search_hops": hops}
}

const (
	hashlenSlots   = 1 << 19 // HASHLEN_SLOTS
	hashlenFactors = 1 << 16 // HASHLEN_FACTORS
	hashlenFirst   = 8       // HASHLEN_FIRST
	hashlenMore    = 1 << 31 // HASHLEN_MORE
)

// The levels to look at after each level: HASHLEN_HIT and HASHLEN_MISS. -1 is the end.
var (
	hashlenHit  = [...]int{-1, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, 12, -1}
	hashlenMiss = [...]int{-1, 0, 1, -1, 2, -1, 5, -1, 4, -1, 9, -1, -1}
)

// hashlenKey returns the key of the prefix of an address at a level: 16 + 4 * level bits without the first 3, then a 1.
func hashlenKey(hi uint64, level int) uint64 {
	rest := 50 - 4*level
	return (hi<<3>>rest | 1) << rest
}

// hashlenSlot is struct hashlen_slot.
type hashlenSlot struct{ Key, Value uint64 }

func buildHashlen(prefixes []netip.Prefix, hops []uint32) tables {
	// Prefixes of other lengths become all those of the next level that they cover, unless a longer one has them.
	type route struct {
		hi          uint64
		level, bits int
		hop         uint64
	}
	routes := make(map[uint64]route)
	for i, p := range prefixes {
		first, end := bounds(p)
		r := route{first.Hi, max(0, (p.Bits()-16+3)/4), p.Bits(), uint64(hops[i])}
		if r.bits > 64 {
			r.level, r.hop, end.Hi = 12, deepHop, r.hi+1
		}
		for ; r.hi != end.Hi; r.hi += 1 << (48 - 4*r.level) {
			if key := hashlenKey(r.hi, r.level); routes[key].bits <= r.bits {
				routes[key] = r
			}
		}
	}
	// A route has a marker at each shorter level that the search for it comes by, with the answer if there is no more.
	values := make(map[uint64]uint64)
	for key, r := range routes {
		level := hashlenFirst
		for level != r.level {
			if level > r.level {
				level = hashlenMiss[level]
				continue
			}
			var hop uint64
			for l := level; l >= 0 && hop == 0; l-- {
				hop = routes[hashlenKey(r.hi, l)].hop
			}
			values[hashlenKey(r.hi, level)] = hashlenMore | hop
			level = hashlenHit[level]
		}
		values[key] |= r.hop
	}
	return perfectHash(values)
}

// perfectHash gives each key a slot of its own. Groups of keys that share a factor are placed in order, the largest first.
func perfectHash(values map[uint64]uint64) tables {
	groups := make([][]uint64, hashlenFactors)
	for key := range values {
		g := hashlenMix(key) >> 48
		groups[g] = append(groups[g], key)
	}
	order := make([]int, len(groups))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return len(groups[b]) - len(groups[a]) })
	slots, factors := make([]hashlenSlot, hashlenSlots), make([]uint16, hashlenFactors)
	for _, g := range order {
		for !placeKeys(slots, groups[g], factors[g], values) {
			factors[g]++
		}
	}
	return tables{"hashlen_slots": slots, "hashlen_factors": factors}
}

func hashlenMix(key uint64) uint64 { return key * 0x9e3779b97f4a7c15 }

func hashlenIndex(key uint64, factor uint16) uint64 {
	return hashlenMix(key) * (0xd6e8feb86659fd93 + 2*uint64(factor)) >> 45
}

// placeKeys puts all keys into slots, or none if that needs a slot twice.
func placeKeys(slots []hashlenSlot, keys []uint64, factor uint16, values map[uint64]uint64) bool {
	for i, key := range keys {
		slot := &slots[hashlenIndex(key, factor)]
		if slot.Key != 0 {
			for _, placed := range keys[:i] {
				slots[hashlenIndex(placed, factor)] = hashlenSlot{}
			}
			return false
		}
		*slot = hashlenSlot{key, values[key]}
	}
	return true
}
