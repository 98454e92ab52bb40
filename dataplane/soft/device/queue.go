package device

// Descriptor stands for one packet: as struct xdp_desc, but for the port in the place
// of the options.
type Descriptor struct {
	Address uint64 // of its first byte, the Ethernet header's, in Memory
	Length  uint32 // bytes
	Port    uint32 // number of the port (dataplane.Port) that it came in by, or leaves by
}

// Queue is one receive and one transmit queue of a port. It has the Pool that its
// frames come from and go to. Errors that do not pass are the Stats'.
type Queue interface {
	// Receive takes packets that have come in, oldest first, and returns how many.
	// Their frames are the caller's then. Each is in one piece, with at least Headroom
	// bytes before it in its frame, and Port is the queue's. It gives the Queue new
	// frames from the Pool for those it has handed out, and never blocks.
	Receive([]Descriptor) int

	// Transmit hands packets over to be sent, first ones first, and returns how many:
	// fewer when the queue is full. The frames of those are the Queue's, which puts
	// them into the Pool when they are sent. Their Port is not looked at. It never
	// blocks, and what it has taken may wait for Flush.
	Transmit([]Descriptor) int

	// Flush sends what was handed over, with at most one system call, and takes back
	// what has been sent. The loop calls it once a round for queues that it has used,
	// and now and then for those that still have something of its.
	Flush()

	// Pending is how many frames handed over to Transmit have not come back.
	Pending() int

	// FD is readable (poll(2)) when Receive would return packets: -1 if there is nothing
	// to wait for, so that the loop has to look. Arm is called before a wait, and tells
	// whether there is something already: then the loop does not wait.
	FD() int
	Arm() bool

	// Stats reads what was counted. Any goroutine may call it.
	Stats() Stats

	// Close gives back what is the kernel's. Frames that the Queue still had are lost to
	// the Pool: the Memory goes with it, or Reset gives the Pool all of them again.
	Close() error
}

// Stats is what a Queue has counted. What came in by a port is what was received, and
// what was lost before: of a Queue that has lost nothing, both agree with the kernel's.
type Stats struct {
	Received     uint64 // packets that Receive has returned
	Transmitted  uint64 // packets that Transmit has taken
	LostNoFrame  uint64 // came in while the Queue had no frame for it (rx_fill_ring_empty_descs, rx_ring_full, PACKET_STATISTICS)
	LostTooLong  uint64 // came in, and was longer than a frame has room for, or in several pieces
	LostTransmit uint64 // taken by Transmit and refused by the kernel or the driver
	Wakeups      uint64 // system calls
	Error        error  // the last that a system call returned; nil: none since
}
