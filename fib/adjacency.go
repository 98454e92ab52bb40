package fib

import (
	"fmt"
	"iter"
	"math"
	"net/netip"
	"unsafe"
)

// AdjacencyID numbers an adjacency of an image. 0 is none.
type AdjacencyID uint32

// MaxRewrite is the longest L2 header, in bytes: two MAC addresses, two VLAN
// tags and an EtherType are 22.
const MaxRewrite = len(layoutFibAdjacency{}.Rewrite)

// ethernetSize is the length of an L2 header without tags, bytes.
const ethernetSize = 14

// Adjacency is how to reach one attached peer.
type Adjacency struct {
	Port       uint32 // number of the egress port; not 0
	MTU        uint32 // of IP packets through it, bytes; at least 68 (RFC 791)
	Complete   bool   // Rewrite is known; if not, packets go to the kernel, which resolves the neighbor
	RewriteLen uint8  // bytes of Rewrite in use
	Rewrite    [MaxRewrite]byte
	Neighbor   netip.Addr // the peer, for people and for a restart; may be zero
}

func (a *Adjacency) check() error {
	switch {
	case a.Port == 0:
		return fmt.Errorf("%w: port 0", ErrAdjacency)
	case a.MTU < 68:
		return fmt.Errorf("%w: MTU of %d bytes, want at least 68", ErrAdjacency, a.MTU)
	case int(a.RewriteLen) > MaxRewrite:
		return fmt.Errorf("%w: rewrite of %d bytes, want at most %d", ErrAdjacency, a.RewriteLen, MaxRewrite)
	case a.Neighbor.Is4In6() || a.Neighbor.Zone() != "":
		return fmt.Errorf("%w: neighbor %s is IPv4-mapped or has a zone", ErrAdjacency, a.Neighbor)
	}
	return nil
}

// AddAdjacency makes an adjacency.
//
// Errors: ErrAdjacency, ErrFull; nothing has changed then.
func (im *Image) AddAdjacency(a Adjacency) (AdjacencyID, error) {
	if err := a.check(); err != nil {
		return 0, fmt.Errorf("add adjacency: %w", err)
	}
	if !im.hasRoomForGroup() {
		return 0, fmt.Errorf("add adjacency: %w", ErrFull)
	}
	if len(im.adjacencyFree) == 0 {
		im.reclaim(false)
	}
	if len(im.adjacencyFree) == 0 {
		// For memory it waits for readers: then a number may have come free instead.
		if err := im.growTable(&im.adjacencies, 2*im.adjacencies.count); err == nil {
			im.sizeState()
		} else if len(im.adjacencyFree) == 0 {
			return 0, fmt.Errorf("add adjacency: %w", err)
		}
	}
	// Off the list first: writing may reclaim other numbers onto it.
	id := im.adjacencyFree[len(im.adjacencyFree)-1]
	im.adjacencyFree = im.adjacencyFree[:len(im.adjacencyFree)-1]
	if err := im.writeAdjacency(id, &a); err != nil {
		im.adjacencyFree = append(im.adjacencyFree, id)
		return 0, fmt.Errorf("add adjacency: %w", err)
	}
	return AdjacencyID(id), nil
}

// SetAdjacency changes an adjacency in one publication, whatever the number of
// groups and routes that lead to it.
//
// Errors: ErrNoAdjacency, ErrAdjacency, ErrFull; nothing has changed then.
func (im *Image) SetAdjacency(id AdjacencyID, a Adjacency) error {
	err := a.check()
	if err == nil && !im.hasAdjacency(id) {
		err = ErrNoAdjacency
	}
	if err == nil {
		err = im.writeAdjacency(uint32(id), &a)
	}
	if err != nil {
		return fmt.Errorf("set adjacency %d: %w", id, err)
	}
	return nil
}

func (im *Image) writeAdjacency(id uint32, a *Adjacency) error {
	b, err := im.allocate(orderFor(adjacencySize))
	if err != nil {
		return err
	}
	l := layoutFibAdjacency{Port: a.Port, Mtu: a.MTU, RewriteLen: a.RewriteLen, Rewrite: a.Rewrite}
	if a.Complete {
		l.State = uint8(layoutFibAdjacencyStateFIB_ADJACENCY_COMPLETE)
	}
	if a.Complete && a.RewriteLen == ethernetSize {
		l.PlainFrame = uint32(min(uint64(a.MTU)+ethernetSize, math.MaxUint32))
	}
	if n := a.Neighbor; n.Is4() {
		l.Family = uint8(tailIPv4)
		four := n.As4()
		copy(l.Neighbor[:], four[:])
	} else if n.IsValid() {
		l.Family = uint8(tailIPv6)
		l.Neighbor = n.As16()
	}
	words := (*[adjacencySize / 8]uint64)(unsafe.Pointer(&l))
	for i, w := range words {
		im.put64(b.offset()+8*uint32(i), w)
	}
	at := im.adjacencies.at(id)
	old := im.load32(at)
	// gofail: var fibAdjacencyWritten struct{}
	im.store32(at, b.offset())
	// gofail: var fibAdjacencyStored struct{}
	if old != 0 {
		im.discard(newBlock(old, adjacencySize))
	}
	return nil
}

// DeleteAdjacency removes an adjacency that no group uses.
//
// Errors: ErrNoAdjacency, ErrInUse; nothing has changed then.
func (im *Image) DeleteAdjacency(id AdjacencyID) error {
	switch {
	case !im.hasAdjacency(id):
		return fmt.Errorf("delete adjacency %d: %w", id, ErrNoAdjacency)
	case im.adjacencyUse[id] > 0:
		return fmt.Errorf("delete adjacency %d: %w: members of groups: %d", id, ErrInUse, im.adjacencyUse[id])
	}
	at := im.adjacencies.at(uint32(id))
	b := newBlock(im.load32(at), adjacencySize)
	im.store32(at, 0)
	// gofail: var fibAdjacencyDeleted struct{}
	im.discard(b)
	im.retire(retired{block{unit: uint32(id)}, retiredAdjacency})
	return nil
}

func (im *Image) hasAdjacency(id AdjacencyID) bool {
	return id != 0 && uint32(id) < im.adjacencies.count && im.load32(im.adjacencies.at(uint32(id))) != 0
}

// Adjacency returns an adjacency as it is now; ok is false when there is no
// such. Readers may call it: it does not allocate.
func (im *Image) Adjacency(id AdjacencyID) (a Adjacency, ok bool) {
	t := im.load64(offAdjacencies)
	if uint32(id) >= uint32(t) {
		return Adjacency{}, false
	}
	off := im.load32(uint32(t>>tableShift) + 4*uint32(id))
	if off == 0 {
		return Adjacency{}, false
	}
	l := (*layoutFibAdjacency)(im.ptr(off))
	a = Adjacency{
		Port: l.Port, MTU: l.Mtu, RewriteLen: l.RewriteLen, Rewrite: l.Rewrite,
		Complete: l.State == uint8(layoutFibAdjacencyStateFIB_ADJACENCY_COMPLETE),
	}
	switch uint64(l.Family) {
	case tailIPv4:
		a.Neighbor = netip.AddrFrom4([4]byte(l.Neighbor[:4]))
	case tailIPv6:
		a.Neighbor = netip.AddrFrom16(l.Neighbor)
	}
	return a, true
}

// Adjacencies returns all adjacencies, lowest number first. They must not
// change meanwhile.
func (im *Image) Adjacencies() iter.Seq2[AdjacencyID, Adjacency] {
	return func(yield func(AdjacencyID, Adjacency) bool) {
		for id := range AdjacencyID(im.adjacencies.count) {
			if a, ok := im.Adjacency(id); ok && !yield(id, a) {
				return
			}
		}
	}
}
