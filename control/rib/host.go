package rib

import (
	"slices"
)

// host is a usable neighbor, where its address is in the order of keys.
type host struct {
	key  key
	link int
}

func (h host) compare(o host) int {
	if c := h.key.compare(o.key); c != 0 {
		return c
	}
	return h.link - o.link
}

// list keeps a peer among the hosts while it is usable.
func (r *RIB) list(p *peer, k peerKey) {
	vrf, ok := r.vrfOf(k.link)
	want := ok && p.known && p.IsUsable() && !k.addr.Is4In6() && !isReserved(hostKey(vrf, k.addr))
	if p.listed && (!want || p.vrf != vrf) {
		h := host{hostKey(p.vrf, k.addr), k.link}
		if i, ok := slices.BinarySearchFunc(r.hosts, h, host.compare); ok {
			r.hosts = slices.Delete(r.hosts, i, i+1)
		}
		p.listed = false
		r.install(h.key)
	}
	if want && !p.listed {
		h := host{hostKey(vrf, k.addr), k.link}
		i, _ := slices.BinarySearchFunc(r.hosts, h, host.compare)
		r.hosts = slices.Insert(r.hosts, i, h)
		p.listed, p.vrf = true, vrf
		r.install(h.key)
	}
}

// hostsIn returns the hosts in a prefix: the slice is valid until the next call.
func (r *RIB) hostsIn(k key) []key {
	keys := r.scratch.hosts[:0]
	first := k
	first.bits = 0 // before all in it
	i, _ := slices.BinarySearchFunc(r.hosts, host{key: first}, host.compare)
	for ; i < len(r.hosts) && k.covers(r.hosts[i].key); i++ {
		keys = append(keys, r.hosts[i].key)
	}
	r.scratch.hosts = keys
	return keys
}

// derive finds out whether an attached host is to have a route of its own: if
// what covers it, longest first, is an attached subnet on the link on which the
// kernel has it as a neighbor. The returned function lets go of the old route's
// group, when the image no longer leads there.
func (r *RIB) derive(k key) (release func()) {
	old, had := r.derived[k]
	delete(r.derived, k)
	if w, ok := r.hostWish(k); ok {
		r.derived[k] = r.hold(w)
	}
	return func() {
		if had {
			r.drop(old)
		}
	}
}

func (r *RIB) hostWish(k key) (wish, bool) {
	i, _ := slices.BinarySearchFunc(r.hosts, host{key: k}, host.compare)
	if i == len(r.hosts) || r.hosts[i].key != k {
		return wish{}, false
	}
	cover, ok := r.cover(k)
	if !ok {
		return wish{}, false
	}
	g := r.groups[cover]
	for ; i < len(r.hosts) && r.hosts[i].key == k; i++ {
		if g.onLink == r.hosts[i].link {
			return wish{kind: toHops, family: k.family, mtu: g.mtu, hops: []hop{{g.onLink, k.addr(), 1, false}}}, true
		}
	}
	return wish{}, false
}

// cover returns the group of the longest prefix around a host.
func (r *RIB) cover(k key) (group uint32, ok bool) {
	for bits := int(k.bits); bits >= 0; bits-- {
		if !r.lengths.has(k, uint8(bits)) {
			continue
		}
		if g, ok := r.chosen(k.shortened(uint8(bits))); ok {
			return g, true
		}
	}
	return 0, false
}
