package rib

import (
	"log/slog"

	"weft/dataplane"
	"weft/fib"
)

// Ports tells which links are ports of ours: those that an engine forwards
// from and to.
type Ports interface {
	// Number returns the number of the port that a link is; it is not 0. A RIB
	// asks whenever the link changes, and when PortChanged is called.
	Number(link int) (uint32, bool)
}

// Reasons are the numbers that groups which punt carry, as the engine counts
// them.
type Reasons struct {
	NoPort     uint16 // the route leaves by a link that is no port
	LinkDown   uint16 // all its links are down, without carrier or gone
	Unresolved uint16 // it names a next-hop object that is not known
	Broadcast  uint16
	Multicast  uint16
	LinkLocal  uint16 // fe80::/10
	Martian    uint16 // 0/8 and 127/8
	Throw      uint16 // the kernel goes on with the next table
	Encap      uint16 // the kernel puts a header around
	Policy     uint16 // the kernel chooses by more than the destination
}

// DataplaneReasons are those that weft's engines count.
var DataplaneReasons = Reasons{
	NoPort: uint16(dataplane.PuntRoute), LinkDown: uint16(dataplane.PuntRoute), Unresolved: uint16(dataplane.PuntRoute),
	Broadcast: uint16(dataplane.Broadcast), Multicast: uint16(dataplane.Multicast),
	LinkLocal: uint16(dataplane.IPv6UCDIPLinkLocalScope), Martian: uint16(dataplane.PuntRoute),
	Throw: uint16(dataplane.PuntRoute), Encap: uint16(dataplane.PuntRoute), Policy: uint16(dataplane.PuntRoute),
}

// Options are chosen when a RIB is made.
type Options struct {
	Ports   Ports
	Reasons Reasons
	// Grow returns an image of at least size bytes with all that the given one
	// holds (fib's CopyTo), which readers use from then on. With nil, or when it
	// fails, a route that does not fit is reported to NotInstalled.
	Grow func(im *fib.Image, size int) (*fib.Image, error)
	// NotInstalled is called when the number of routes that the image lacks has
	// changed. Packets to them find the kernel. If packets go astray, because the
	// image has an older answer for some and no room for what would lead them to
	// the kernel, the owner must hand all packets to it. Everything is tried again
	// with each publication.
	NotInstalled func(routes int, astray bool)
	// Export, if not nil, is told with each publication what has changed of weft's
	// own routes. It must not change the RIB.
	Export func(*Export)
	// ThroughDefault lets gateways be found through default routes.
	ThroughDefault bool
	Log            *slog.Logger // nil: none
}
