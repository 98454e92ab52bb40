// Package rib holds all that the kernel knows about routing, and what other sources
// offer, and keeps a FIB image such that packets find in it what the kernel would
// do, or will do once weft's own routes are programmed into it.
//
// # One route
//
//	kernel.Route -> candidate of its prefix -> answer (the best one) -> group -> fib.Table
//	Route -> candidate with its source ------> the same; resolved -> Options.Export
//
// Candidates of a prefix are ordered as the kernel does: the local table before
// the main one, then the lowest metric, then the order of the kernel's list. The
// preference of a source is the metric of its route, so FIB and kernel agree when
// the kernel has the same routes; with equal metrics FPM goes before the kernel,
// whose route is a copy of it, and the kernel before static routes and BGP, for
// weft replaces no route of others there. Routes of one source with the same, best
// preference are one route with all their hops. A
// group stands for what a route says of next hops, word for word ("these hops
// with these weights", "next-hop object 7"), and not for what that comes to at
// the moment. So when a link, a next-hop object or a neighbor changes, the group
// or the adjacency is written again, once, however many prefixes lead there.
//
// # What becomes of what
//
//   - a hop with a gateway: a member; its adjacency is complete while the kernel
//     has a usable neighbor entry. Adjacencies are shared, and counted.
//   - a hop without one (an attached subnet): Glean, and for each resolved
//     neighbor in it a host route of its own, so that packets to attached hosts
//     need no kernel.
//   - local and anycast: Local. blackhole: Blackhole. unreachable, prohibit:
//     Reject with the code that Linux answers with.
//   - all else is Punt, with a reason: the kernel knows better. That is right for
//     whatever weft does not understand; it is only slow.
//
// A hop over a link that is down or has no carrier does not count while there
// are others; when there is none left, the group punts. The kernel then routes
// as it sees fit, until its own change of routes has been followed.
//
// # Gateways that are found
//
// A route of a source other than the kernel may name a gateway without a link. It is
// found by the longest prefix around it that leads anywhere without that gateway
// (recurse.go): so a route is never found through itself, and two that are found
// through each other lead nowhere, unless there is a way out. Default routes count
// if an option says so. Shares multiply. What is found depends on candidates,
// links and objects alone, and not on what else was found, or when.
//
// When a route changes, the groups with a gateway in its prefix are expanded again,
// once for each publication (track.go); prefixes are only looked at when a group
// comes to lead nowhere, or somewhere again: such candidates are not eligible, and
// the next best is taken. That needs one look at all routes. A neighbor that has
// failed is left out of a group while it has others.
//
// # Weft's own routes in the kernel
//
// Static routes and those of BGP are programmed into the kernel by who is told of
// them (export.go), with protocol 119. When they come back through the mirror
// they are no candidates but noted (copies.go): so it is known what is
// missing there or left over. After a restart, though, they are candidates until
// their source is back: packets do not wait for BGP.
//
// # An image that is full
//
// A route that does not fit is the kernel's, and so is the longest prefix around it
// that is in the image, lest packets follow that one. Others stay as they are.
// New routes wait behind those that do not fit; they are tried again when memory
// comes free (missing.go).
//
// # Where this is not the kernel
//
//   - Routes for one TOS or one source make their prefix punt, and so do several
//     IPv6 routes of one prefix and metric that are no multipath route: the kernel
//     chooses among them by more than the destination.
//   - Multipath routes with a hop on a link that is no port, with a header around
//     or without a gateway punt as a whole, so that flows keep their shares.
//   - The local and the main table are one trie, as they are in the kernel for
//     IPv4 while there are no rules. For IPv6 the kernel asks the local table
//     first: that differs when a prefix in the local table (not a host, not
//     multicast) covers longer ones in the main table.
//   - Prefixes in 0/8, 127/8, 224/4, fe80::/10 and ff00::/8 are not installed: the
//     ranges punt. IPv4-mapped IPv6 prefixes are not installed either,
//     and routes through IPv4-mapped gateways, which the kernel takes, punt.
//
// What is not here: sockets (package kernel), and when to look again at
// everything (control.Follower).
package rib
