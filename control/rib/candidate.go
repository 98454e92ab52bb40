package rib

import (
	"cmp"

	"weft/control/kernel"
)

// candidate is one route of a prefix. It is small and free of pointers: a
// million of them are 16 MB.
type candidate struct {
	group      uint32
	metric     uint32 // or preference
	detail     uint32 // of the kernel's: see detailOf; of others: the origin
	rank       rank
	protocol   uint8
	kind       uint8 // RTN_*
	generation uint8 // of the synchronization or the replay in which it was last seen
}

// rank says whose a candidate is. Those behind rankLocal are of one table, and are
// ordered by their metric before their rank.
type rank uint8

const (
	rankReserved rank = iota // weft's own
	rankLocal                // of the kernel's local table
	rankFPM                  // before the copy that its daemon has put into the kernel
	rankMain
	rankStatic // behind the kernel's, which replaces no route of others by one of weft
	rankBGP
)

var ranks = [sources]rank{Kernel: rankMain, FPM: rankFPM, Static: rankStatic, BGP: rankBGP}

func (c *candidate) source() Source {
	for s, rank := range ranks {
		if c.rank == rank {
			return Source(s)
		}
	}
	return Kernel
}

// isKernels reports whether a candidate is not of a source of its own: it is
// eligible whatever it leads to, for the kernel takes it so, too.
func (c *candidate) isKernels() bool { return c.rank <= rankLocal || c.rank == rankMain }

// isOwn reports whether weft programs the candidate into the kernel.
func (c *candidate) isOwn() bool { return c.rank == rankStatic || c.rank == rankBGP }

// isCopy reports whether a candidate is what weft itself has once programmed into
// the kernel: see RIB.adopts.
func (c *candidate) isCopy() bool { return c.rank == rankMain && c.protocol == ProtocolWeft }

// detailOf packs what only routes of the kernel have.
func detailOf(m *kernel.Route) uint32 {
	d := uint32(m.Scope) | uint32(m.TOS)<<8
	if m.Sourced {
		d |= 1 << 16
	}
	return d
}

func (c *candidate) scope() uint8 {
	if c.isKernels() {
		return uint8(c.detail)
	}
	return 0
}

// particular is 1 if the route is not for all packets to the prefix.
func (c *candidate) particular() int {
	if c.isKernels() && c.detail>>8 != 0 {
		return 1
	}
	return 0
}

// order compares as the kernel does. The more particular comes first; that is
// only to be found at once, see RIB.chosen.
func (c *candidate) order(o *candidate) int {
	if n := cmp.Or(cmp.Compare(min(c.rank, rankFPM), min(o.rank, rankFPM)), -cmp.Compare(c.particular(), o.particular()),
		cmp.Compare(c.metric, o.metric), cmp.Compare(c.rank, o.rank)); n != 0 || c.isKernels() {
		return n
	}
	return cmp.Compare(c.detail, o.detail)
}

// rivals reports whether c and o are two entries of the same rank, TOS and
// metric, of which the kernel replaces one with the other.
func (c *candidate) rivals(o *candidate) bool {
	return c.rank == o.rank && c.metric == o.metric && c.detail>>8 == o.detail>>8
}

// equals reports whether c and o are the same route. Linux keeps routes of one metric that
// differ in protocol or scope alone.
func (c *candidate) equals(o *candidate) bool {
	return c.rivals(o) && c.group == o.group && c.kind == o.kind && c.protocol == o.protocol && c.detail == o.detail
}

// class reports whether c and o are of one source and preference.
func (c *candidate) class(o *candidate) bool { return c.rank == o.rank && c.metric == o.metric }
