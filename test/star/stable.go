package star

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// stable are destinations whose routes stay while others change, and these routes.
var stable = []struct{ dst, route string }{
	{"10.100.0.1", "10.100.0.0/16 via 10.2.0.2"},
	{"10.101.7.1", "10.101.0.0/16 via 10.3.0.2"},
	{"10.102.1.1", "10.102.1.0/24 via 10.2.0.2"},
	{"10.103.0.1", "10.103.0.0/17 nexthop via 10.2.0.2 nexthop via 10.3.0.2"},
}

// Stable is a stream to destinations whose routes nobody changes, all of which is
// to go by XDP.
type Stable struct {
	*Stream
	forwarded uint64 // before it
}

// BeginStable adds the routes and begins the stream.
func (n *Network) BeginStable() *Stable {
	n.Helper()
	for _, r := range stable {
		n.IP("r1", "route replace "+r.route)
	}
	for _, r := range stable {
		n.WantLookup(r.dst, func(l *Lookup) bool { return l.Verdict == "forward" })
	}
	return n.AgainStable()
}

// AgainStable begins the stream where the routes are in the FIB.
func (n *Network) AgainStable() *Stable {
	n.Helper()
	var dst []string
	for _, r := range stable {
		dst = append(dst, r.dst)
	}
	s := &Stable{n.Stream(dst...), n.Count("to-h1", "forwarded")}
	s.Begin()
	return s
}

// Pass waits until so much of the stream has passed.
func (s *Stable) Pass(d time.Duration) {
	s.Helper()
	want := s.Arrived() + uint64(d.Seconds()*float64(s.Rate()))
	for deadline := time.Now().Add(2*d + 10*time.Second); s.Arrived() < want; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.Fatalf("%d packets have arrived, want %d", s.Arrived(), want)
		}
	}
}

// Finish ends the stream, and asserts that nothing was lost and all went by XDP. It
// returns how many packets were sent.
func (s *Stable) Finish() (sent uint64) {
	s.Helper()
	s.Stop()
	return s.WantXDP()
}

// WantXDP is Finish for a stream that has ended.
func (s *Stable) WantXDP() (sent uint64) {
	s.Helper()
	sent = s.WantAll()
	if went := s.Count("to-h1", "forwarded") - s.forwarded; went != sent {
		s.Errorf("%d packets went by XDP, want all %d", went, sent)
	}
	return sent
}

// spares tells whether a route to a prefix changes nothing for the stable ones.
func spares(p netip.Prefix) bool {
	for _, s := range stable {
		first, _, _ := strings.Cut(s.route, " ")
		if p.Contains(netip.MustParseAddr(s.dst)) && p.Bits() >= netip.MustParsePrefix(first).Bits() {
			return false
		}
	}
	return true
}

// ChangeRoute makes a random change of a route in the calling thread's namespace,
// which spares the stable ones.
func ChangeRoute(random *rand.Rand) error {
	var p netip.Prefix
	for !p.IsValid() || !spares(p) {
		a := netip.AddrFrom4([4]byte{10, byte(100 + random.IntN(4)), byte(random.IntN(8)), byte(random.IntN(256))})
		p = netip.PrefixFrom(a, 9+random.IntN(24)).Masked()
	}
	r := &netlink.Route{Dst: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}, Priority: random.IntN(2) * 100}
	h2, h3 := net.IP{10, 2, 0, 2}, net.IP{10, 3, 0, 2}
	var err error
	switch random.IntN(8) {
	case 0, 1:
		r.Gw = h2
		err = netlink.RouteReplace(r)
	case 2:
		r.Gw = h3
		err = netlink.RouteAdd(r)
	case 3:
		r.MultiPath = []*netlink.NexthopInfo{{Gw: h2}, {Gw: h3, Hops: random.IntN(3)}}
		err = netlink.RouteReplace(r)
	case 4:
		r.Type = unix.RTN_BLACKHOLE
		err = netlink.RouteReplace(r)
	case 5:
		r.Type = unix.RTN_UNREACHABLE
		err = netlink.RouteAppend(r)
	default:
		r.Priority = 0 // whichever is first
		err = netlink.RouteDel(r)
	}
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EEXIST) {
		return nil // what there is to delete, or is there already, is a matter of chance
	}
	return err
}
