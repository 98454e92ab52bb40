// Package lab makes networks of hosts and routers out of network namespaces and veth pairs, for `weft lab`, for the demo
// and for tests.
//
// A Topology is plain data. Up makes it, whole or not at all; Down removes whatever has its prefix, also what a lab left
// whose process died. Namespaces have the names that `ip netns` uses, PREFIX + node, so that every tool can enter them.
//
// A lab forwards by Linux as it comes up. Nothing in it is weft's: a router is a namespace whose sysctls say forward.
//
// The routes of its routers come with it, or by eBGP (Topology.Unnumbered): of FRR, which the lab starts (StartFRR), or
// of weft, for which it writes the configuration (WeftArguments). Links between routers have no addresses then; each
// router has one of its own, spines share an AS and every leaf has another (RFC 7938). Converge waits for the routes.
// Kill and Connect are a power cut and its end.
//
// The ends of every link have GRO on, for NAPI: what XDP redirects into a veth whose peer has neither NAPI nor a program
// is lost. They have TX checksum offload off: a checksum that is left for hardware is never filled in on a way through
// XDP.
//
// The state of a lab (its topology, the logs of what was started in it, and in a directory for each router what daemons
// are configured with and where they listen) is in /run/PREFIXstate.
package lab
