// Package device is what the userspace loop and the ways in and out of it agree on:
// memory that packets lie in, descriptors that stand for them, and queues.
//
// # One packet
//
// A frame of Memory is always somebody's, and no two have it:
//
//	Pool -> Queue of the ingress port (its fill ring) -> Receive -> the loop
//	     -> Transmit -> Queue of the egress port (its TX and completion rings) -> Pool
//
// What the loop drops it puts into the Pool itself. Between two queues on the same
// Memory nothing of a packet is copied: its Descriptor moves. A Queue that cannot
// have the Memory to itself (AF_PACKET) copies at its edge: on Receive into a frame
// that it gets from the Pool, on Transmit out of one that it puts there at once.
//
// # One worker
//
// A worker is one goroutine, locked to its thread, with one Pool and one Queue of
// each port. All of them are its own: no method of Queue or Pool is for two
// goroutines at a time, nothing is locked, and nothing allocates. Workers share the
// Memory, each with its part of the frames.
//
// Memory lies outside of Go's heap: no collection looks at it, and the kernel may
// write to it while Go runs.
//
// What implements Queue: Wire here, in memory, for tests and benchmarks without root;
// packages xsk (AF_XDP) and afpacket (AF_PACKET).
package device
