package rib

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
	"weft/fib"
)

// CheckExport compares what the kernel is to have of weft's own routes to a prefix
// with what it has, and says in words what differs.
func (r *RIB) CheckExport(k Key) (want, have string, same bool) {
	if r.options.Export == nil {
		return "", "", true
	}
	t, told := r.exports.told.get(k.key)
	list := r.copies.at(k.key)
	if !told {
		if len(list) == 0 {
			return "", "", true
		}
		return "no route of weft", fmt.Sprintf("%d with protocol %d", len(list), ProtocolWeft), r.hasAdopted(k.key)
	}
	g := r.groups[t.group]
	if len(list) == 1 && list[0].metric == t.metric && r.flatOf(&list[0]).equals(&g.flat) {
		return "", "", true // without words, which take a microsecond
	}
	want = describeFlat(&g.flat, t.metric)
	var all []string
	for _, c := range list {
		all = append(all, describeFlat(r.flatOf(&c), c.metric))
	}
	if have = strings.Join(all, ", "); have == "" {
		have = "no route of weft"
	}
	return want, have, want == have
}

// flatOf returns what a route of weft's own leads to in the kernel.
func (r *RIB) flatOf(c *copied) *expansion {
	x := expansion{}
	if c.kind != unix.RTN_UNICAST {
		x.end = c.kind
		return &x
	}
	hops, _, blackhole := r.objectHops(c.nextHop)
	if blackhole {
		x.end = unix.RTN_BLACKHOLE
	}
	var parts []part
	for _, h := range hops {
		weight := h.weight
		h.weight = 1
		parts = append(parts, part{weight, []hop{h}})
	}
	if len(parts) > 0 {
		x.hops = divide(parts)
	}
	return &x
}

func describeFlat(x *expansion, metric uint32) string {
	var b strings.Builder
	fmt.Fprintf(&b, "metric %d", metric)
	if x.end != 0 {
		fmt.Fprintf(&b, " type %d", x.end)
	}
	for _, h := range x.hops {
		fmt.Fprintf(&b, " via %s interface %d weight %d", h.gateway, h.link, h.weight)
	}
	return b.String()
}

// RouteKey returns the key of a route; ok is false for one of a table that the RIB
// does not mirror.
func (r *RIB) RouteKey(m *kernel.Route) (k Key, ok bool) {
	vrf, ok := r.vrfs[m.Table]
	return Key{newKey(vrf, m.Prefix)}, ok
}

// Lookup returns the group that packets to an address are to go to, 0 for none,
// by looking for each length that there are prefixes of.
func (r *RIB) Lookup(vrf int, a netip.Addr) fib.GroupID {
	k := hostKey(uint16(vrf), a)
	if at, ok := r.wanted(k); ok {
		return r.groups[at].id
	}
	for bits := int(k.bits) - 1; bits >= 0; bits-- {
		if !r.lengths.has(k, uint8(bits)) {
			continue
		}
		if at, ok := r.wanted(k.shortened(uint8(bits))); ok {
			return r.groups[at].id
		}
	}
	return 0
}

// CheckPrefix compares what the image holds for a prefix with what it is to
// hold.
func (r *RIB) CheckPrefix(k Key) (want, have fib.GroupID, err error) {
	t, err := r.image.Table(k.VRF())
	if err != nil {
		return 0, 0, err
	}
	if at, ok := r.wanted(k.key); ok {
		want = r.groups[at].id
	}
	have, err = t.Get(k.Prefix())
	if errors.Is(err, fib.ErrNoRoute) {
		have, err = 0, nil
	}
	return want, have, err
}

// CheckGroups compares the image's groups with what links, neighbors and
// next-hop objects come to now, and says in words what differs.
func (r *RIB) CheckGroups() (differences []string) {
	for _, g := range r.groups {
		if g == nil || !g.created {
			continue
		}
		if g.by != Kernel {
			if x := r.expand(g); !x.equals(&g.flat) {
				differences = append(differences, fmt.Sprintf("group %d: leads to %v, want %v", g.id, g.flat.hops, x.hops))
			}
		}
		want, members := r.resolve(g)
		have, err := r.image.Group(g.id)
		if err != nil {
			differences = append(differences, fmt.Sprintf("group %d: %v", g.id, err))
			continue
		}
		for _, m := range members {
			a := r.adjacencies[m.adjacencyKey]
			if a == nil {
				differences = append(differences, fmt.Sprintf("group %d: no adjacency for %s", g.id, m.addr))
				continue
			}
			want.Members = append(want.Members, fib.Member{Adjacency: a.id, Weight: m.weight})
			if now, _ := r.image.Adjacency(a.id); now != r.content(a.key) {
				differences = append(differences, fmt.Sprintf("adjacency %d to %s: is %v, want %v", a.id, m.addr, now, r.content(a.key)))
			}
		}
		if !equalGroups(&want, &have) {
			differences = append(differences, fmt.Sprintf("group %d: is %v, want %v", g.id, have, want))
		}
	}
	return differences
}

// Len returns how many prefixes the image is to hold for a VRF.
func (r *RIB) Len(vrf int) (n int) {
	for k := range r.routes.all() {
		if _, ok := r.chosen(k); ok && int(k.vrf) == vrf {
			n++
		}
	}
	for k := range r.derived {
		if _, ok := r.chosen(k); !ok && int(k.vrf) == vrf {
			n++
		}
	}
	for k := range r.missing.prefixes {
		_, there := r.answer(k)
		if _, ok := r.wanted(k); int(k.vrf) == vrf && there && !ok {
			n--
		}
	}
	return n
}
