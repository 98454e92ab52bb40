package bgp

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weft/test/daemons"
	"weft/test/fulltable"
	"weft/test/star"
)

// feeder is BIRD in h2 with an Internet table to announce: IPv4 by a session over IPv4, IPv6
// by one over IPv6.
type feeder struct {
	*daemons.BIRD
	v4, v6 int          // prefixes
	first  netip.Prefix // of IPv4
}

// paths is how many different AS paths the table has: some five prefixes share one, as in
// the Internet, and an UPDATE message has no more.
const paths = 200_000

// newFeeder starts it with 1 of so many prefixes. Its sessions are down.
func newFeeder(n *star.Network, oneOf int) *feeder {
	n.Helper()
	v4, v6, err := fulltable.Prefixes()
	if err != nil {
		n.Fatal(err)
	}
	v4, v6 = thin(v4, oneOf), thin(v6, oneOf)
	dir := n.TempDir()
	random := rand.New(rand.NewPCG(5, 0))
	file4 := writeRoutes(n, filepath.Join(dir, "routes4"), v4, random)
	file6 := writeRoutes(n, filepath.Join(dir, "routes6"), v6, random)
	const session = "disabled; connect delay time 1; connect retry time 1; error wait time 1,1;"
	bird := daemons.NewBIRD(n.TB, daemons.Node(n.Lab, "h2"), fmt.Sprintf(`
router id 10.2.0.2;
protocol device {}
protocol static s4 {
ipv4;
include %q;
}
protocol static s6 {
ipv6;
include %q;
}
protocol bgp four { local as 65002; neighbor 10.2.0.1 as 65001; %[3]s ipv4 { import none; export all; next hop self; }; }
protocol bgp six { local as 65002; neighbor 2001:db8:2::1 as 65001; %[3]s ipv6 { import none; export all; next hop self; }; }
`, file4, file6, session))
	return &feeder{bird, len(v4), len(v6), v4[0]}
}

func thin(all []netip.Prefix, oneOf int) (some []netip.Prefix) {
	for i := 0; i < len(all); i += oneOf {
		some = append(some, all[i])
	}
	return some
}

// writeRoutes writes routes with AS paths of 1 to 5 hops behind the feeder, as BIRD reads them.
func writeRoutes(t testing.TB, path string, prefixes []netip.Prefix, random *rand.Rand) string {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for _, p := range prefixes {
		which := random.Uint32N(paths)
		hops := make([]string, 1+which%5)
		for i := range hops {
			hops[i] = fmt.Sprintf("bgp_path.prepend(%d);", 100_000+(which*uint32(i+1))%300_000)
		}
		fmt.Fprintf(w, "route %s blackhole { %s };\n", p, strings.Join(hops, " "))
	}
	if err = w.Flush(); err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// up lets the sessions come up, down ends them.
func (f *feeder) up() {
	f.Do("enable four")
	f.Do("enable six")
}

func (f *feeder) down() {
	f.Do("disable four")
	f.Do("disable six")
}
