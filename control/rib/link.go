package rib

import (
	"maps"
	"net/netip"
	"slices"

	"weft/control/kernel"
)

type link struct {
	kernel.Link
	generation uint8
}

type addrKey struct {
	link   int
	prefix netip.Prefix
}

type addr struct {
	kernel.Addr
	generation uint8
}

// SetLink takes a link as the kernel has it now.
func (r *RIB) SetLink(l kernel.Link) {
	old := r.links[l.Index]
	if old != nil && old.Link == l {
		old.generation = r.generation
		return
	}
	r.links[l.Index] = &link{l, r.generation}
	if l.VRFTable != 0 && !r.loading() {
		r.addVRF(l.VRFTable, r.freeVRF())
	}
	if old != nil && (old.IsUp() != l.IsUp() || old.HasCarrier() != l.HasCarrier()) {
		// Down: IPv4 routes over it go without a word, and next-hop objects.
		// Up: hops of multipath routes come back.
		r.mistrust(LinkChanged)
	}
	r.PortChanged(l.Index)
}

// DeleteLink takes note that a link has gone.
func (r *RIB) DeleteLink(index int) {
	if r.links[index] == nil {
		return
	}
	delete(r.links, index)
	for k, p := range r.peers {
		if k.link == index && p.known {
			r.DeleteNeighbor(p.Neighbor)
		}
	}
	for k := range r.addrs {
		if k.link == index {
			delete(r.addrs, k)
		}
	}
	r.mistrust(LinkChanged)
	r.PortChanged(index)
}

// PortChanged brings all that depends on a link up to date. The owner calls it
// when Ports has another answer for the link.
func (r *RIB) PortChanged(index int) {
	for depth, below := 0, []int{index}; depth <= maxTags && len(below) > 0; depth++ {
		var above []int
		for _, i := range below {
			r.portChanged(i)
			for v, l := range r.links {
				if l.Parent == i && l.Kind == "vlan" {
					above = append(above, v)
				}
			}
		}
		below = above
	}
	r.disturb()
}

func (r *RIB) portChanged(index int) {
	var peers []peerKey
	for k, p := range r.peers {
		if k.link == index {
			peers = append(peers, k)
			for _, a := range p.adjacencies {
				r.refresh(a)
			}
		}
	}
	r.affected(func(g *group) bool { return r.leavesBy(g, index) })
	for _, k := range peers {
		if p := r.peers[k]; p != nil {
			if r.list(p, k); p.listed {
				r.install(hostKey(p.vrf, k.addr))
			}
		}
	}
}

// leavesBy reports whether a hop of a group is over a link.
func (r *RIB) leavesBy(g *group, index int) bool {
	hops := g.hops
	if g.nextHop != 0 {
		hops, _, _ = r.objectHopsOf(g.by, g.nextHop)
	}
	for _, h := range hops {
		if h.link == index {
			return true
		}
	}
	return false
}

// Place returns the number of the VRF that a link is in, 0 the default one, and
// whether it is a member of something else, such as a bridge or a bond, or of a
// VRF that the image has no room for.
func (r *RIB) Place(index int) (vrf int, member bool) {
	if l := r.links[index]; l != nil && l.Master != 0 {
		master := r.links[l.Master]
		member = master == nil || master.VRFTable == 0
	}
	n, ok := r.vrfOf(index)
	return int(n), member || !ok
}

// vrfOf returns the number of the VRF that a link is in; ok is false when that has
// none: it is not the default one then.
func (r *RIB) vrfOf(index int) (vrf uint16, ok bool) {
	l := r.links[index]
	for depth := 0; l != nil && l.Master != 0 && depth < 8; depth++ {
		if l = r.links[l.Master]; l != nil && l.VRFTable != 0 {
			vrf, ok = r.vrfs[l.VRFTable]
			return vrf, ok
		}
	}
	return 0, true
}

// NumberVRFs gives the VRFs that are there their numbers, after the links of the
// first synchronization and before anything that is in one. before tells in
// which VRF a link was when it was made a port, so that what it forwards by stays
// its table; nil: none was.
func (r *RIB) NumberVRFs(before func(link int) (vrf int, ok bool)) {
	links := slices.SortedFunc(maps.Values(r.links), func(a, b *link) int { return a.Index - b.Index })
	for _, l := range links {
		if before == nil || r.links[l.Master] == nil || r.links[l.Master].VRFTable == 0 {
			continue
		}
		if n, ok := before(l.Index); ok && n != 0 && !r.hasVRF(n) {
			r.addVRF(r.links[l.Master].VRFTable, n)
		}
	}
	for _, l := range links {
		if l.VRFTable != 0 {
			r.addVRF(l.VRFTable, r.freeVRF())
		}
	}
}

func (r *RIB) hasVRF(vrf int) bool { return vrf < len(r.numbered) && r.numbered[vrf] }

func (r *RIB) freeVRF() int {
	vrf := 1
	for r.hasVRF(vrf) {
		vrf++
	}
	return vrf
}

// addVRF gives a table of the kernel a number, if it has none. Numbers stay for
// the life of the RIB.
func (r *RIB) addVRF(table uint32, vrf int) {
	if _, ok := r.vrfs[table]; ok {
		return
	}
	if _, err := r.image.Table(vrf); err != nil {
		r.note("add VRF", netip.Prefix{}, err)
		return
	}
	r.vrfs[table] = uint16(vrf)
	r.numbered = append(r.numbered, make([]bool, max(vrf+1-len(r.numbered), 0))...)
	r.numbered[vrf] = true
	r.reserve(uint16(vrf))
	if !r.loading() {
		r.mistrust(TableNew)
	}
}

// SetAddr takes an address as the kernel has it now.
func (r *RIB) SetAddr(a kernel.Addr) {
	k := addrKey{a.Link, a.Prefix}
	r.watching.links = r.watching.links || r.addrs[k] == nil
	r.addrs[k] = &addr{a, r.generation}
}

// DeleteAddr takes note that an address has gone.
func (r *RIB) DeleteAddr(a kernel.Addr) {
	delete(r.addrs, addrKey{a.Link, a.Prefix})
	r.watching.links = true
	if a.Prefix.Addr().Is4() {
		r.mistrust(AddressGone) // older kernels do
	}
}

func (r *RIB) sweepLinks() {
	for index, l := range r.links {
		if l.generation != r.generation {
			r.DeleteLink(index)
		}
	}
	for k, a := range r.addrs {
		if a.generation != r.generation {
			delete(r.addrs, k)
			r.watching.links = true
		}
	}
	for _, p := range r.peers {
		if p.known && p.generation != r.generation {
			r.DeleteNeighbor(p.Neighbor)
		}
	}
}
