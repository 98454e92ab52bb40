package dataplane

import (
	"syscall"
	"time"
)

// MAC is an Ethernet address.
type MAC [6]byte

// Port is a forwarding interface of ours.
type Port struct {
	Number  uint32 // weft's own, from 1 on; small, for it indexes tables
	Ifindex int    // the kernel's number for it, in the engine's network namespace
	Name    string // for people; the kernel's
	MAC     MAC    // frames to it are the port's
	VRF     int    // the table that its packets are looked up in
	IPv4    bool   // it forwards packets of the family that come in by it
	IPv6    bool
	Want    Mode // how the engine is to take packets from it; "": as it is best
	Engine  Name // of the engine that has it; "": XDP. A VLAN's is that of the port at its root

	// Of a VLAN on another port: its frames come in and go out by that one, with a tag.
	Parent uint32 // number of that port, which may be a VLAN itself; 0: this is none
	VLAN   uint16 // identifier, 1 to 4094
	TPID   uint16 // protocol of the tag: 0x8100 (802.1Q) or 0x88a8 (802.1ad)
}

// Name is an engine's.
type Name string

// Engines.
const (
	XDP  Name = ""     // package xdp
	Soft Name = "soft" // package soft
)

// String returns the name for people.
func (n Name) String() string {
	if n == XDP {
		return "xdp"
	}
	return string(n)
}

// Mode is how an engine takes packets from a port.
type Mode string

// Modes.
const (
	NativeXDP  Mode = "native"  // in the driver
	TC         Mode = "tc"      // behind it: slower, but what it sends every port takes
	GenericXDP Mode = "generic" // behind it, by the kernel's emulation of XDP
)

// Sockets are those by which the soft engine has packets from a port and sends them.
type Sockets string

// Kinds of sockets.
const (
	NoSockets Sockets = ""
	AFXDP     Sockets = "af_xdp"    // the kernel copies packets
	ZeroCopy  Sockets = "zero-copy" // AF_XDP, and the driver works on the engine's memory
	AFPacket  Sockets = "af_packet"
)

// Egress is how packets get out by a port.
type Egress string

// Ways out.
const (
	NativeEgress Egress = "native" // the engine sends them
	KernelEgress Egress = "kernel" // the port does not take what the engine sends: packets for it punt
)

// PortStatus is a port as an engine has it. A VLAN has the mode and the egress of
// the port below, which counts what is lost, and what is unaccounted.
type PortStatus struct {
	Port
	Mode          Mode
	Partial       bool   // packets come in whose checksums are left to hardware: they punt for checksum_partial
	IngressReason string // why they do, and the remedy

	// Of a port that the soft engine sends by or has packets from; else NoSockets.
	Sockets       Sockets
	SocketsReason string // why they are not of AF_XDP
	Egress        Egress
	EgressReason  string        // why it is not native, and the remedy
	EgressLost    uint64        // frames counted as forwarded that the port did not take
	EgressErrno   syscall.Errno // of the last that it refused; 0: none, or its queue was full

	// Unaccounted is packets that came in by the port, as Linux counts, and that the
	// engine has counted for no reason: 0 unless something is wrong. It is as much
	// as is certain, since this process has the port: packets on their way are not in it.
	Unaccounted       uint64
	UnaccountedReason string // what let them by, and the remedy; with 0: why it is not known
}

// Counter counts packets and the bytes of their frames, as received.
type Counter struct {
	Packets uint64
	Bytes   uint64
}

// Add adds n.
func (c *Counter) Add(n Counter) {
	c.Packets += n.Packets
	c.Bytes += n.Bytes
}

// Counters is what came in by one port, by the reason it ended for.
type Counters [NumReasons]Counter

// Of returns the sum of the reasons of a verdict.
func (c *Counters) Of(v Verdict) Counter {
	var sum Counter
	for r := range c {
		if Reason(r).Verdict() == v {
			sum.Add(c[r])
		}
	}
	return sum
}

// Received returns the sum of all reasons.
func (c *Counters) Received() Counter {
	var sum Counter
	for r := range c {
		sum.Add(c[r])
	}
	return sum
}

// Since returns what was counted after an earlier reading.
func (c *Counters) Since(before *Counters) Counters {
	d := *c
	for r := range d {
		d[r].Packets -= before[r].Packets
		d[r].Bytes -= before[r].Bytes
	}
	return d
}

// Result is what an engine did with one packet.
type Result struct {
	Reason    Reason
	Ingress   uint32        // number of the port that it counts for: the one it came in by, or a VLAN of that
	Packet    []byte        // the frame as it leaves the engine
	Group     uint32        // the next-hop group looked up; 0: it did not come to that, or no route
	Hash      uint32        // of the flow; 0: the group has no choice to make
	Adjacency uint32        // 0: none
	Egress    uint32        // number of the port it leaves by; 0: none
	Took      time.Duration // by the engine's clock, with caches as they were; 0: not measured

	// Fate is what the soft engine does itself with a packet that it counts as punted: "answered", "held"...; "": nothing.
	Fate string
}

// Stage is what one step of a loop has had to do, of those that vectors of packets go through.
type Stage struct {
	Name    string
	Calls   uint64 // one for each vector that had packets for it
	Packets uint64
	Took    time.Duration
}

// Engine forwards packets between ports. Any goroutine may call its methods.
type Engine interface {
	// SetPort makes a port one of the engine's, or changes it.
	SetPort(Port) error
	// RemovePort gives a port back, and before that its VLANs. Its counters are
	// gone.
	RemovePort(number uint32) error
	// Ports returns the engine's ports, by number.
	Ports() []PortStatus
	// Check looks after the ports: whether they take what is sent to them, and
	// whether all that came in by them is counted. The owner calls it a few times
	// a second.
	Check() error
	// Counters reads what came in by a port. Port 0 stands for interfaces
	// that are no port. Counters of a port never go back.
	Counters(number uint32) Counters
	// Run does with a made frame, said to come in by a port, what the engine
	// would do, without sending or counting it.
	Run(frame []byte, ingress uint32) (Result, error)
	// Close leaves the engine at work without this process.
	Close() error
	// Stop gives all ports back.
	Stop() error
}
