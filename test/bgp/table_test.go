package bgp

import (
	"fmt"
	"os"
	"testing"
	"time"

	"weft/test/proof"
)

// soak tells whether the table is to be whole.
var soak = os.Getenv("WEFT_SOAK") == "1"

// The Internet's table comes in from BIRD, and goes again with its session. Routes of others
// lose no packet meanwhile; kernel, RIB, FIB and program agree on all of it.
func TestFullTable(t *testing.T) {
	oneOf := 20
	if soak {
		oneOf = 1
	}
	n := &network{Network: begin(t, "  neighbors: []\n").Network}
	n.Wait = 5 * time.Minute
	f := newFeeder(n.Network, oneOf)
	stable := n.BeginStable()
	size := func() (installed int) {
		s := n.Status()
		return s.FIB.IPv4Routes + s.FIB.IPv6Routes - s.FIB.NotInstalled
	}
	want := f.v4 + f.v6
	before, kernelBefore := size(), n.KernelRoutes()
	n.apply(`
  neighbors:
    - {address: 10.2.0.2, remote_as: 65002, passive: true, families: [ipv4-unicast]}
    - {address: "2001:db8:2::2", remote_as: 65002, passive: true, families: [ipv6-unicast]}
`)
	f.up()
	n.Until("the table is in the FIB", func() bool { return size() == before+want })
	n.Until("the table is in the kernel", func() bool { return n.KernelRoutes() == kernelBefore+want })
	n.WantForward(f.first.Addr().Next().String(), "to-h2", "10.2.0.2")
	n.WantVerified()
	f.down()
	n.Until("the table has gone", func() bool { return size() == before })
	n.Until("the table has gone from the kernel", func() bool { return n.KernelRoutes() == kernelBefore })
	sent := stable.Finish()
	proof.Record(t, proof.Result{
		Kind: proof.Fault, Name: "R18", What: fmt.Sprintf("a table of %d prefixes from BIRD by BGP, in and out, and stable prefixes beside it", want), Count: uint64(2 * want), Packets: sent,
	})
}
