// Package export programs weft's own routes (static, BGP) into the kernel, so that
// packets which weft hands up, and those of the machine itself, go the same way.
//
// # One route
//
//	rib.Options.Export -> Exporter.Take -> latest wish of each prefix -> Run -> kernel.Writer
//
// Take does not block. Only the latest wish of a prefix is kept until its turn
// comes, so a kernel that is slower than BGP is not sent what is out of date. A
// round of Run does, in this order: next-hop objects, routes, routes that nobody
// wants any more, objects that no route names any more.
//
// Each is a batch of messages, of which only the last is acknowledged; the kernel
// answers each that it refuses. Such routes are told of (Problems, the log) and
// tried again, with longer and longer pauses.
//
// # What the kernel has then
//
// Routes have protocol 119 and the preference as their metric. They name a group of
// next hops, a next-hop object from FirstID on: where gateways lead elsewhere, one
// object is replaced and not each route; members are objects, too, shared by
// groups. A group stays one if it has one member, for the kernel replaces no object
// by one of the other sort. Identifiers that others have taken are left out.
//
// A route is replaced by another of the same metric at once (NLM_F_REPLACE). With
// another metric the new one is there before the old one goes. At no moment is there
// none.
//
// # Routes of others
//
// A new route is only made where there is none of its metric (NLM_F_EXCL): that of
// somebody else stays, and the conflict is told, and ends when the other one
// goes. What is replaced or deleted is what weft has made: deletions say so
// themselves (the protocol), and before a replacement is tried again after a
// doubtful answer, the kernel is asked which routes are weft's. If somebody
// replaces a route of weft's at the very moment at which weft does, the last one wins.
//
// # Restart
//
// Routes stay when the daemon ends or is killed, as packets are forwarded on.
// The next one reads all of protocol 119: what is wanted and equal is left as it is,
// what differs is replaced, and what nobody has wanted when all sources are back
// (Settle) is withdrawn. When the ports are given back (`weft stop`, an
// interrupt), weft's own routes and objects are withdrawn, too (Remove).
//
// Every kernel that weft runs on (Linux 5.15) has next-hop objects; weights above
// 256 need Linux 6.12.
package export
