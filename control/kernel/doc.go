// Package kernel reads what Linux knows about links, addresses, neighbors,
// next hops and routes of one network namespace, is told of every change, and
// writes routes and next hops (Writer).
//
// It decodes and transports; what follows from a message is decided by package
// rib. The decoders take the payload of one netlink message, as the kernel, FRR
// (FPM) or a fuzzer made it, and never panic: what is not usable is an error
// that wraps ErrMessage, what is well-formed and not for a router (bridge ports,
// forwarding databases, cached routes) wraps ErrForeign.
//
// One change through it:
//
//	kernel -> multicast group -> Watcher.Receive -> Decode of the type -> control.Follower
//
// and one table: Conn.Dump asks, checks that the answer is of one piece
// (NLM_F_DUMP_INTR), and hands on message by message: a table of a million
// routes is never in memory as a whole.
package kernel
