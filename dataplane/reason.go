package dataplane

import (
	"fmt"
	"iter"

	"weft/bpf"
)

// Reason is why a packet ended where it did: one closed list. The zero value is
// Forwarded.
type Reason uint8

// NumReasons is one more than the highest number that a Reason can have.
const NumReasons = bpf.Reasons

// String returns the reason's name, the same in C, metrics and output.
func (r Reason) String() string {
	if !r.valid() {
		return fmt.Sprintf("reason_%d", uint8(r))
	}
	return reasonNames[r]
}

func (r Reason) valid() bool { return int(r) < NumReasons && reasonNames[r] != "" }

// MarshalText makes reasons keys and values of JSON by their names.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText is the reverse of MarshalText.
func (r *Reason) UnmarshalText(name []byte) error {
	for all := range Reasons() {
		if all.String() == string(name) {
			*r = all
			return nil
		}
	}
	return fmt.Errorf("no such reason: %q", name)
}

// Reasons returns all reasons, lowest number first.
func Reasons() iter.Seq[Reason] {
	return func(yield func(Reason) bool) {
		for n := range NumReasons {
			if r := Reason(n); r.valid() && !yield(r) {
				return
			}
		}
	}
}

// Verdict is what becomes of a packet.
type Verdict uint8

// Verdicts.
const (
	Forward Verdict = iota // sent out by a port
	Punt                   // handed to the kernel
	Drop                   // discarded
)

// String returns the verdict's name.
func (v Verdict) String() string {
	switch v {
	case Forward:
		return "forward"
	case Punt:
		return "punt"
	case Drop:
		return "drop"
	}
	return fmt.Sprintf("verdict_%d", uint8(v))
}

// Verdict returns what becomes of packets that end for the reason.
func (r Reason) Verdict() Verdict {
	switch {
	case int(r) >= bpf.FirstDrop:
		return Drop
	case int(r) >= bpf.FirstPunt:
		return Punt
	}
	return Forward
}
