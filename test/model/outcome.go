package model

import "weft/dataplane"

// Outcome is what becomes of a frame.
type Outcome struct {
	Reason dataplane.Reason // says the verdict
	// When it is forwarded: the port it leaves by, and the frame. Where flows are
	// spread, Port is the one that the FIB's flow hash chooses.
	Port string
	// When it is not: the frame as it came, but for padding that may be gone. It may
	// share memory with the one given to Forward.
	Frame []byte
	Linux Linux // what Linux does with the frame
}

// Linux is what Linux does with a frame that comes in by a port.
type Linux struct {
	Does Deed
	Sent []Sent // frames that leave: the packet, its fragments, or an ICMP error
	Why  string // of what Linux drops without a word, its name for it (skb drop reason), where it has one
	// Where flows are spread: what it does by the other next hops. Its own hash
	// chooses. Is compares with all.
	Or []Linux
}

// Sent is a frame that leaves by a port.
type Sent struct {
	Ports []string // one of these: Linux's own flow hash chooses
	Frame []byte   // as it leaves by the first of them
}

// Deed is what Linux does with a packet.
type Deed string

// Deeds.
const (
	Forwards  Deed = "forwards"  // also in fragments
	Answers   Deed = "answers"   // with an ICMP error
	Delivers  Deed = "delivers"  // to itself: what it answers then is no matter of forwarding
	Resolves  Deed = "resolves"  // holds it and asks for the neighbor
	Discards  Deed = "discards"  // without a word
	Undefined Deed = "undefined" // the model does not say: listed in Differences
)
