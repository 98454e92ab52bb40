// Package fpm takes routes from FRR: it is the server that zebra's module
// dplane_fpm_nl connects to (the forwarding plane manager's protocol, FRR's
// fpm/fpm.h).
//
// # One route
//
//	zebra -> frame -> netlink messages -> inbox -> Sink (the RIB) -> published -> acknowledged to zebra
//
// A frame is taken as a whole or not at all. One that is not well-formed ends the
// connection, as what follows it has no known beginning; what was taken before
// stays, and zebra connects again and tells everything again. A message in it that
// is well-formed and says nothing that a router could use is counted and left out,
// so is what is not about routes: MPLS labels, EVPN's MAC addresses, routes by
// source, types that only patched versions of FRR have.
//
// # Back-pressure
//
// FRR before version 10.2 queues without bound for a server that does not read. So
// one goroutine reads as fast as frames come, and keeps of each prefix only the
// last that was said: the inbox grows with the number of prefixes, not with that of
// changes. Another one hands the inbox to the Sink. DEL and NEW of a prefix in one
// frame, as FRR 8 changes a next hop, is one replacement therefore. Of a whole
// inbox new next-hop objects come first, then routes, then deletions of objects:
// no route is without its object for a moment.
//
// # Replay
//
// zebra tells everything upon each connection, in no certain order and without an
// end marker, and a zebra that has just been started does not know everything yet.
// So when a connection ends its routes become stale, and go on being forwarded. They
// go when the hold time has passed since the connection ended or since
// another one began, whichever is later; not before, since nothing that zebra sends
// tells a replay that is complete from one that waits for bgpd. While stale routes
// are still being told again in the last eighth of the hold time, it goes on by
// another eighth.
//
// A server that is told to listen elsewhere (Use) treats the peer as one that has gone,
// as it comes again there. One that is told to listen nowhere forgets all routes at
// once: somebody has decided so.
//
// # Who dies
//
// zebra always programs the kernel, too (FRR 8.4 cannot be told not to), with the same
// preference as it tells here, and the kernel's copy of a route stands behind this one.
// So a weft that is started again finds FRR's routes in the kernel, and no packet is
// lost until zebra has connected, which it tries each 3 s. Routes that only FPM tells of
// go when the image is taken over, and their packets are Linux's until they are told
// again. A zebra that is started again removes routes from the kernel, of daemons that
// still run: they stay here for the hold time, in which those daemons are to be
// started again as well (watchfrr does), as they tell a new zebra nothing.
//
// A next hop over a link that is down is not used, whatever zebra says or has not said.
//
// # The kernel's own routes
//
// zebra tells of connected and of other routes that it has from the kernel, too, but
// not when the kernel drops those. The kernel tells weft itself. So a route of
// protocol "kernel" says here only that zebra has none of its own for that prefix.
//
// Nor does zebra tell, where it tells no next-hop groups, which link-local IPv6 gateway
// an IPv4 route has: it says 169.254.0.1 instead. Packets go by the kernel's copy of
// such a route.
//
// # Unknown next hops
//
// A route may name a next-hop object that is not known (FRR 8.4 does not tell of
// them where the kernel has none), or a group without a known member. It is handed
// to the Sink as it is, and counted as parked until the object comes; then it is
// handed over again. A route in a table that no VRF is known for is handed over
// again each second.
//
// # Acknowledgement
//
// From version 8.5 on zebra listens: a route that packets find in every engine comes
// back with RTM_F_OFFLOAD, one that they do not find with RTM_F_OFFLOAD_FAILED. FRR
// 8.4 reads that and throws it away. An answer to what has been said anew meanwhile
// is not sent.
//
// # Who may connect
//
// The protocol knows no authentication: whoever can connect decides where packets
// go. So the default address is a loopback one, of peers on this machine only root and
// FRR's user are accepted, and one peer at a time is.
package fpm
