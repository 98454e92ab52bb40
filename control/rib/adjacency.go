package rib

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
	"weft/fib"
)

// peerKey names an attached peer.
type peerKey struct {
	link int
	addr netip.Addr
}

// peer is what is known of one: the kernel's entry, and who sends to it.
type peer struct {
	kernel.Neighbor
	known       bool // the kernel has an entry
	generation  uint8
	vrf         uint16 // in whose hosts it is, if it is
	listed      bool
	failed      bool // it did not answer, and has not since
	adjacencies []*adjacency
}

// adjacencyKey names an adjacency: the same peer has one for packets of each
// family, and for routes with an MTU of their own.
type adjacencyKey struct {
	peerKey
	family uint8  // 4 or 6: of the packets
	mtu    uint32 // 0: that of the link
}

type adjacency struct {
	key  adjacencyKey
	id   fib.AdjacencyID
	refs int // groups
	now  fib.Adjacency
}

const (
	minMTU       = 68 // RFC 791
	macLen       = 6
	etherTypeOff = 12
	vlanTag      = 4
	maxTags      = 2
)

// tags returns the VLAN tags of frames that leave by a link, outermost first, and
// the link at its root, which is that of the wire. It is nil when the links in
// between are not all known, or have more tags than an adjacency has room for.
func (r *RIB) tags(index int) (tags []byte, wire *link) {
	l := r.links[index]
	for range maxTags {
		if l == nil || l.Kind != "vlan" {
			return tags, l
		}
		tag := binary.BigEndian.AppendUint16(nil, l.TPID)
		tags = append(binary.BigEndian.AppendUint16(tag, l.VLAN), tags...)
		l = r.links[l.Parent]
	}
	if l == nil || l.Kind == "vlan" {
		return nil, nil
	}
	return tags, l
}

// content says what an adjacency is to be.
func (r *RIB) content(k adjacencyKey) fib.Adjacency {
	a := fib.Adjacency{Neighbor: k.addr, MTU: minMTU}
	etherType := uint16(unix.ETH_P_IP)
	if k.family == 6 {
		etherType = unix.ETH_P_IPV6
	}
	a.Port, _ = r.options.Ports.Number(k.link)
	tags, wire := r.tags(k.link)
	if l := r.links[k.link]; l != nil {
		a.MTU = l.MTU
		copy(a.Rewrite[macLen:], l.MAC[:])
	}
	header := append(a.Rewrite[:etherTypeOff], tags...)
	if wire != nil && len(tags) > vlanTag {
		// A driver takes frames with one tag above its MTU, not with two.
		a.MTU = min(a.MTU, wire.MTU-min(wire.MTU, uint32(len(tags)-vlanTag)))
	}
	if k.mtu != 0 {
		a.MTU = min(a.MTU, k.mtu)
	}
	a.MTU = max(a.MTU, minMTU)
	a.RewriteLen = uint8(len(binary.BigEndian.AppendUint16(header, etherType)))
	if p := r.peers[k.peerKey]; p != nil && p.known && p.IsUsable() && wire != nil {
		a.Complete = true
		copy(a.Rewrite[:], p.MAC[:])
	}
	return a
}

// acquire returns the adjacency of a key, and counts the caller in.
func (r *RIB) acquire(k adjacencyKey) (*adjacency, error) {
	if a := r.adjacencies[k]; a != nil {
		a.refs++
		return a, nil
	}
	a := &adjacency{key: k, refs: 1, now: r.content(k)}
	err := r.try(func() (err error) {
		a.id, err = r.found.adjacency(r.image, a.now)
		return err
	})
	if err != nil {
		return nil, err
	}
	r.adjacencies[k] = a
	p := r.peer(k.peerKey)
	p.adjacencies = append(p.adjacencies, a)
	return a, nil
}

// leave counts a group out that no longer sends to an adjacency.
func (r *RIB) leave(a *adjacency) {
	if a.refs--; a.refs > 0 {
		return
	}
	r.deleteAdjacency(a.id)
	delete(r.adjacencies, a.key)
	delete(r.missing.behind, a)
	p := r.peers[a.key.peerKey]
	p.adjacencies = slices.DeleteFunc(p.adjacencies, func(o *adjacency) bool { return o == a })
	r.forget(p, a.key.peerKey)
}

// deleteAdjacency removes an adjacency from the image, later if a group that
// could not be deleted yet still has it.
func (r *RIB) deleteAdjacency(id fib.AdjacencyID) {
	switch err := r.image.DeleteAdjacency(id); {
	case errors.Is(err, fib.ErrInUse):
		r.unusedAdjacencies = append(r.unusedAdjacencies, id)
	case err != nil:
		r.note("delete adjacency", netip.Prefix{}, err)
	default:
		r.changed = true
	}
}

// refresh writes an adjacency again if what is known of the link or the
// neighbor has changed.
func (r *RIB) refresh(a *adjacency) {
	want := r.content(a.key)
	if want == a.now || want.Port == 0 { // 0: the groups are about to leave it
		delete(r.missing.behind, a)
		return
	}
	if err := r.try(func() error { return r.image.SetAdjacency(a.id, want) }); err != nil {
		if _, known := r.missing.behind[a]; !known {
			r.note("set adjacency", netip.Prefix{}, err)
		}
		r.missing.behind[a] = struct{}{}
		return
	}
	delete(r.missing.behind, a)
	a.now, r.changed = want, true
}

func (r *RIB) peer(k peerKey) *peer {
	p := r.peers[k]
	if p == nil {
		p = &peer{Neighbor: kernel.Neighbor{Link: k.link, Addr: k.addr}}
		r.peers[k] = p
	}
	return p
}

// forget drops a peer of which nothing is left.
func (r *RIB) forget(p *peer, k peerKey) {
	if !p.known && len(p.adjacencies) == 0 { // only a known one is listed
		delete(r.peers, k)
	}
}

// SetNeighbor takes a neighbor entry as the kernel has it now.
func (r *RIB) SetNeighbor(n kernel.Neighbor) {
	k := peerKey{n.Link, n.Addr}
	p := r.peer(k)
	p.generation = r.generation
	if p.known && p.Neighbor == n {
		return
	}
	p.known, p.Neighbor = true, n
	r.peerChanged(p, k)
}

// DeleteNeighbor takes note that the kernel has no such entry any more.
func (r *RIB) DeleteNeighbor(n kernel.Neighbor) {
	k := peerKey{n.Link, n.Addr}
	if p := r.peers[k]; p != nil && p.known {
		p.known = false
		r.peerChanged(p, k)
	}
}

func (r *RIB) peerChanged(p *peer, k peerKey) {
	r.judge(p, k)
	for _, a := range p.adjacencies {
		r.refresh(a)
	}
	r.list(p, k)
	r.forget(p, k)
}

// judge finds out whether a peer is one that does not answer: groups of sources
// other than the kernel send to it no longer, as long as they have others. While
// the kernel asks it again it has not answered yet.
func (r *RIB) judge(p *peer, k peerKey) {
	was := p.failed
	switch {
	case !p.known || p.IsUsable():
		p.failed = false
	case p.State&unix.NUD_FAILED != 0:
		p.failed = true
	}
	if p.failed != was {
		r.affected(func(g *group) bool { return g.by != Kernel && g.sendsTo(k) })
	}
}

func (g *group) sendsTo(k peerKey) bool {
	return slices.ContainsFunc(g.flat.hops, func(h hop) bool { return h.link == k.link && h.gateway == k.addr })
}

// Idle calls use for each neighbor that packets are sent to and that the kernel
// has not heard of for some time: packets that pass the kernel by do not tell it
// that they go there. isUsed may be nil: all are.
func (r *RIB) Idle(isUsed func(fib.AdjacencyID) bool, use func(link int, addr netip.Addr)) {
	avoided := map[peerKey]bool{}
	for _, g := range r.groups {
		if g != nil && g.by != Kernel {
			for _, h := range g.flat.hops {
				avoided[peerKey{h.link, h.gateway}] = true
			}
		}
	}
	for k, p := range r.peers {
		switch {
		case !p.known:
		case p.State&unix.NUD_FAILED != 0 && avoided[k]: // or it would be avoided for good
			use(k.link, k.addr)
		case p.State&unix.NUD_STALE == 0:
		case slices.ContainsFunc(p.adjacencies, func(a *adjacency) bool { return isUsed == nil || isUsed(a.id) }):
			use(k.link, k.addr)
		}
	}
}
