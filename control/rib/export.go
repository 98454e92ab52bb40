package rib

import (
	"weft/control/kernel"
)

// Export is what has changed since the last publication for who programs the
// routes of weft's own (Static, BGP) into the kernel: for each prefix the best of
// them, resolved, even while a route of others is better. It is valid until the
// call returns.
//
// Groups that Routes name are told before, and are in Gone when no route names
// them any more: a receiver works in the order Groups, Routes, Gone.
type Export struct {
	Groups []ExportGroup // new, or with other hops than before
	Routes []ExportRoute
	Gone   []uint32 // groups
	Lost   []Key    // prefixes whose routes of protocol 119 somebody else has removed from the kernel, or replaced
	Synced bool     // the RIB has just read all that the kernel has: see Exported
}

// ExportGroup is what routes lead to: one next-hop object of the kernel, or one
// group of them. A change of how gateways are resolved is told as one of these.
type ExportGroup struct {
	ID   uint32       // not 0; it is not used again for another group
	Type uint8        // RTN_UNICAST, RTN_BLACKHOLE, RTN_UNREACHABLE or RTN_PROHIBIT
	MTU  uint32       // of RTN_UNICAST; 0: that of the link
	Hops []kernel.Hop // of RTN_UNICAST, each with a link; without gateway: attached
}

// ExportRoute is a route of weft's own.
type ExportRoute struct {
	Key    Key
	Group  uint32 // 0: there is none any more, and Metric is the one that it had
	Metric uint32
	Source Source
}

// Exported is a route of protocol 119 that the kernel has.
type Exported struct {
	Key     Key
	Metric  uint32
	Type    uint8  // RTN_*
	NextHop uint32 // identifier of a next-hop object; 0: it says its hops itself
}

// Exported returns the routes of protocol 119 that the kernel has, in no order:
// weft has programmed them, this time or before a restart.
func (r *RIB) Exported(yield func(Exported) bool) {}

// ExportedAt returns those to a prefix.
func (r *RIB) ExportedAt(k Key) []Exported { return nil }

// Wanted returns the route of weft's own that the kernel is to have for a prefix,
// as told with the last publication, and what it leads to.
func (r *RIB) Wanted(k Key) (ExportRoute, ExportGroup, bool) {
	return ExportRoute{}, ExportGroup{}, false
}
