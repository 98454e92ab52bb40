// Package conformance holds a router to what RFCs say of it, packet by packet, in
// network namespaces of its own.
//
// A Network is a router (Linux with weft in it: package control's Follower and the
// XDP engine, in this process) and the far ends of its ports, where nobody lives:
// only the package sends there, and sees all that comes out.
//
// Cases are named frames. Each says for which reason it ends in weft, and what
// comes out of the router for it, byte by byte: the packet as forwarded, by weft or
// by Linux after a punt, or Linux's ICMP error, or nothing. Network.Try sends a case
// several times and holds that exactly the counter it names moved, on the port it
// came in by, by the packets and bytes that were sent; that nothing else moved on
// any port; and that nothing else came out of any.
//
// Clauses are statements of RFCs by number, each with a check, or a word why it has
// none. `weft conformance` runs them.
//
// The package does not compare with a model (package model does), and does not ask
// whether packets are lost under load.
package conformance
