package scale

import (
	"os"
	"testing"
	"time"

	"weft/test/proof"
	"weft/test/star"
)

func TestMain(m *testing.M) { star.Main(m) }

// soak tells whether tests are to be as large and as long as is promised.
var soak = os.Getenv("WEFT_SOAK") == "1"

// pick returns a size in its short or its long form.
func pick[T any](short, long T) T {
	if soak {
		return long
	}
	return short
}

// scaled is a router with many routes, and what it shows.
type scaled struct {
	*star.Network
	proved proof.Result
	view   *view
	table  table
	links  map[uint32]int // ifindex by host
}

// begin starts a router and fills its kernel. What it shows is recorded when all that
// holds after every test has been asserted, too.
func begin(t testing.TB, name, what string) *scaled {
	t.Helper()
	s := &scaled{links: map[uint32]int{}, proved: proof.Result{Kind: proof.Fault, Name: name, What: what}}
	if soak {
		s.proved.What += " (long)"
	}
	t.Cleanup(func() {
		if !t.Skipped() {
			proof.Record(t, s.proved)
		}
	})
	s.Network = star.New(t)
	s.Wait = time.Minute
	s.table = newTable(t)
	s.Run()
	s.Resolve()
	start := time.Now()
	s.load()
	s.Logf("%d IPv4 and %d IPv6 routes after %.1f s", len(s.table.v4), len(s.table.v6), time.Since(start).Seconds())
	s.view = s.look()
	return s
}
