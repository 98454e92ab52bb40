package faults

import (
	"os"
	"testing"

	"weft/test/proof"
	"weft/test/star"
)

func TestMain(m *testing.M) { star.Main(m) }

// soak tells whether faults are to be as long as they are promised for.
var soak = os.Getenv("WEFT_SOAK") == "1"

// pick returns the size of a fault in its short or its long form.
func pick[T any](short, long T) T {
	if soak {
		return long
	}
	return short
}

// fault is a network in which something is broken, and what that shows.
type fault struct {
	*star.Network
	proved proof.Result
}

// begin makes the network of a fault. What it shows is recorded when all that
// holds after every test has been asserted, too.
func begin(t *testing.T, name, what string) *fault {
	t.Helper()
	f := &fault{proved: proof.Result{Kind: proof.Fault, Name: name, What: what}}
	if soak {
		f.proved.What += " (long)"
	}
	t.Cleanup(func() {
		if !t.Skipped() {
			proof.Record(t, f.proved)
		}
	})
	f.Network = star.New(t)
	return f
}
