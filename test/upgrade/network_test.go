package upgrade

import (
	"fmt"
	"testing"

	"weft/test/star"
)

// newNetwork makes a star whose interfaces have the same MACs each time: those
// that a fixture's FIB has.
func newNetwork(t testing.TB) *star.Network {
	n := star.New(t)
	for host := byte(1); host <= 3; host++ {
		n.SetMAC("r1", fmt.Sprintf("to-h%d", host), [6]byte{2, 0, 0, 0, host, 1})
		n.SetMAC(fmt.Sprintf("h%d", host), "eth0", [6]byte{2, 0, 0, 0, host, 2})
	}
	return n
}

// routes are those of a fixture, besides the connected ones.
var routes = []string{
	"10.70.0.0/16 via 10.2.0.2",
	"10.71.0.0/16 nexthop via 10.2.0.2 nexthop via 10.3.0.2",
	"10.71.7.0/24 via 10.3.0.2",
	"2001:db8:70::/48 via 2001:db8:2::2",
	"blackhole 10.72.0.0/16",
}

// destinations are behind the routes that lead to hosts.
var destinations = []string{"10.70.0.1", "10.71.0.1", "10.71.7.1", "10.2.0.2"}

func addRoutes(n *star.Network) {
	n.Helper()
	for _, r := range routes {
		n.IP("r1", "route add "+r)
	}
}

// forwards waits until the program forwards to all destinations.
func forwards(n *star.Network) {
	n.Helper()
	for _, d := range destinations {
		n.WantLookup(d, func(l *star.Lookup) bool { return l.Verdict == "forward" })
	}
}
