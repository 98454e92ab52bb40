package fib

import (
	"sync/atomic"
	"unsafe"
)

// View is where groups and adjacencies of an image are now, for a reader that resolves
// many packets at a time: what Next and Adjacency do, without looking for the tables
// again. It is good until the reader's next quiescent point.
type View struct {
	base                unsafe.Pointer
	groups, adjacencies uint64 // the header's words
}

// View returns the present one. Readers may call it.
func (im *Image) View() View {
	return View{im.base, im.load64(offGroups), im.load64(offAdjacencies)}
}

// GroupWord is all of a group but its members: see Single and View.Member. It is 0 when
// there is no such group.
type GroupWord uint64

// Word returns a group's.
func (v *View) Word(id GroupID) GroupWord {
	if uint32(id) >= uint32(v.groups) {
		return 0
	}
	return GroupWord(atomic.LoadUint64((*uint64)(unsafe.Add(v.base, v.groups>>tableShift+8*uint64(id)))))
}

// Single tells whether a group has one member, which Adjacency is then.
func (w GroupWord) Single() bool {
	return w>>groupKindShift == GroupWord(layoutFibGroupKindFIB_GROUP_SINGLE)
}

// Adjacency is that of a group for which Single holds.
func (w GroupWord) Adjacency() AdjacencyID { return AdjacencyID(w) }

// Spread tells whether a group has several members, which View.Member chooses from.
func (w GroupWord) Spread() bool {
	return w>>groupKindShift == GroupWord(layoutFibGroupKindFIB_GROUP_BUCKETS)
}

// Member returns the adjacency that a group for which Spread holds sends a flow to.
func (v *View) Member(w GroupWord, hash uint32) AdjacencyID {
	g := groupWord(w)
	return AdjacencyID(atomic.LoadUint32((*uint32)(unsafe.Add(v.base, uintptr(g.value())+4*uintptr(hash>>(32-g.log()))))))
}

// Next says what becomes of packets to a group without members.
func (w GroupWord) Next() Next {
	g := groupWord(w)
	n := Next{Kind: g.goKind()}
	switch g.kind() {
	case layoutFibGroupKindFIB_GROUP_GLEAN:
		n.Port, n.MTU = g.value(), g.aux()
	case layoutFibGroupKindFIB_GROUP_REJECT:
		n.Code = uint8(g.aux())
	case layoutFibGroupKindFIB_GROUP_PUNT:
		n.Reason = g.aux()
	}
	return n
}

// Block is an adjacency as it lies in the image, its fields as in types.h: Rewrite, Port,
// Mtu, PlainFrame and others. It never changes.
type Block = layoutFibAdjacency

// Form is what a Block says of how it is to be used, in one word.
type Form uint32

// Forms of adjacencies with an Ethernet header and so many VLAN tags.
const (
	FormPlain  = Form(layoutFibAdjacencyStateFIB_ADJACENCY_COMPLETE) | ethernetSize<<8
	FormTagged = FormPlain + 4<<8
	FormDouble = FormPlain + 8<<8
)

// FormOf returns a Block's.
func FormOf(b *Block) Form {
	return Form(b.State) | Form(b.RewriteLen)<<8 | Form(b.EncapKind)<<16 | Form(b.Form)<<24
}

// IsComplete tells whether the neighbor is known.
func (f Form) IsComplete() bool {
	return f&0xff == Form(layoutFibAdjacencyStateFIB_ADJACENCY_COMPLETE)
}

// Block returns an adjacency, nil when there is none of this number.
func (v *View) Block(id AdjacencyID) *Block {
	if uint32(id) >= uint32(v.adjacencies) {
		return nil
	}
	off := atomic.LoadUint32((*uint32)(unsafe.Add(v.base, v.adjacencies>>tableShift+4*uint64(id))))
	if off == 0 {
		return nil
	}
	return (*Block)(unsafe.Add(v.base, off))
}
