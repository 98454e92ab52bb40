package bird

import (
	"fmt"
	"testing"

	"weft/test/daemons"
	"weft/test/star"
)

func TestMain(m *testing.M) { star.Main(m) }

// flows is as many as the generator has source ports.
const flows = 1 << 14

// network is a star whose router has BIRD beside weft, and BIRDs as neighbors in h2 and
// h3.
type network struct {
	*star.Network
	bird      *daemons.BIRD
	neighbors map[int]*daemons.BIRD
}

// begin starts weft, then the neighbors, then the router's BIRD.
func begin(t *testing.T, config string, neighbor func(host int) string, args ...string) *network {
	t.Helper()
	t.Parallel() // most of the time is waiting for timers
	n := &network{Network: star.New(t), neighbors: map[int]*daemons.BIRD{}}
	n.Run()
	n.Resolve()
	for host := 2; neighbor != nil && host <= 3; host++ {
		n.neighbors[host] = daemons.NewBIRD(t, daemons.Node(n.Lab, fmt.Sprint("h", host)), neighbor(host))
	}
	n.bird = daemons.NewBIRD(t, daemons.Node(n.Lab, "r1"), config, args...)
	return n
}

// kernel are the sections by which BIRD programs routes, with more lines for each.
func kernel(more string) string {
	return fmt.Sprintf(`
protocol device {}
protocol direct { ipv4; ipv6; }
protocol kernel k4 { merge paths on; %[1]s ipv4 { export where source != RTS_DEVICE; }; }
protocol kernel k6 { merge paths on; %[1]s ipv6 { export where source != RTS_DEVICE; }; }
`, more)
}

// announced are what both neighbors have: packets to it may go to either.
const announced = `
protocol device {}
protocol static s4 { ipv4; route 10.70.0.0/16 blackhole; }
protocol static s6 { ipv6; route 2001:db8:70::/48 blackhole; }
`

// wantShared asserts that the flows to a destination spread over so many next hops, half of
// them each, by XDP, and that none is lost. It returns how many packets went.
func (n *network) wantShared(dst string) uint64 {
	n.Helper()
	n.WantLookup(dst, func(l *star.Lookup) bool { return l.Verdict == "forward" && l.Members == 2 })
	n.CatchUp()
	s := n.Stream(dst)
	defer s.Close()
	n.WantCounted("to-h1", "forwarded", flows, func() { s.Burst(flows) })
	s.WantShare(50)
	return s.WantAll()
}
