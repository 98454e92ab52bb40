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
// The package does not forward, attach or decide anything.
package dataplane

//go:generate go run ./internal/reasons -o reasons.go
