// Package dataplane is the contract that every forwarding engine keeps, and
// nothing of any one engine: ports, verdicts, reasons, counters.
//
// A packet comes in by a Port, and ends for exactly one Reason. The reason says
// the Verdict: forwarded, punted (handed to the kernel, which finishes it) or
// dropped. An engine counts each packet once, under the port it came in by and
// the reason: so what a port received is what it forwarded, punted and dropped. That
// this is all that came in by the port Linux's own count tells: the difference is
// Unaccounted, and is to be 0.
//
// The reasons are those of bpf/include/weft/reason.h, for every engine.
//
// # Two engines
//
// A port has one engine: package xdp's, or package soft's (Port.Engine). Both forward by
// the same FIB image, and to the ports of each other. What they keep:
//
//   - Programs, links, entries of ports and counters are the XDP engine's, for all ports.
//     So they outlive the process in one way, whatever engine a port has.
//   - A port of the soft engine has a program that hands transit packets to its loop, by
//     sockets, and leaves all others to the kernel. Where there is no socket it leaves
//     them to the kernel, too: so Linux forwards what a dead loop does not.
//   - A packet is counted by the program, as LoopOverrun, when it goes to the loop. When
//     the loop has counted what became of it, it is not that any more. So the sum is what
//     came in at any time, and what is left of LoopOverrun is what the loop has not done.
//   - A port changes its engine by another program for its link: one update, in which no
//     packet is without one. What the loop has by then it finishes.
//   - Whoever writes the FIB waits for both: for the kernel's grace periods, and for the
//     readers that loops are (fib.Graces).
//
// The package does not forward, attach or decide anything.
package dataplane

//go:generate go run ./internal/reasons -o reasons.go
