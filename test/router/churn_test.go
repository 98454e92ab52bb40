package router

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/test/star"
)

// stable are destinations whose routes stay while others change, and these
// routes.
var stable = []struct{ dst, route string }{
	{"10.100.0.1", "10.100.0.0/16 via 10.2.0.2"},
	{"10.101.7.1", "10.101.0.0/16 via 10.3.0.2"},
	{"10.102.1.1", "10.102.1.0/24 via 10.2.0.2"},
	{"10.103.0.1", "10.103.0.0/17 nexthop via 10.2.0.2 nexthop via 10.3.0.2"},
}

// stableStream begins a stream to them, all of which goes by XDP. The returned
// function ends it and asserts that nothing was lost.
func stableStream(n *star.Network) (end func()) {
	n.Helper()
	var dst []string
	for _, r := range stable {
		n.IP("r1", "route add "+r.route)
		dst = append(dst, r.dst)
	}
	for _, d := range dst {
		n.WantLookup(d, func(l *star.Lookup) bool { return l.Verdict == "forward" })
	}
	s := n.Stream(dst...)
	before := n.Count("to-h1", "forwarded")
	s.Begin()
	return func() {
		n.Helper()
		s.Stop()
		if sent, went := s.WantAll(), n.Count("to-h1", "forwarded")-before; went != sent {
			n.Errorf("%d packets went by XDP, want all %d", went, sent)
		}
	}
}

// spares tells whether a route to a prefix changes nothing for the stable ones.
func spares(p netip.Prefix) bool {
	for _, s := range stable {
		var own netip.Prefix
		var rest string
		if _, err := fmt.Sscan(s.route, &rest); err == nil {
			own = netip.MustParsePrefix(rest)
		}
		if p.Contains(netip.MustParseAddr(s.dst)) && p.Bits() >= own.Bits() {
			return false
		}
	}
	return true
}

// change makes a random change of a route in the calling thread's namespace.
func change(random *rand.Rand) error {
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

func TestThousandRandomChanges(t *testing.T) {
	n := star.New(t)
	n.Run()
	n.Resolve()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	end := stableStream(n)
	err := n.Lab.In("r1", func() error {
		for range 1000 {
			if err := change(random); err != nil {
				return err
			}
			time.Sleep(time.Millisecond)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	n.CatchUp()
	end()
}

// The kernel has told more than the socket holds: weft reads everything again.
func TestOverrun(t *testing.T) {
	n := star.New(t)
	n.Run("--receive-buffer", "4096")
	n.Resolve()
	end := stableStream(n)
	n.Fill(50000)
	s := n.Status()
	if s.Netlink.Overruns == 0 || s.Netlink.Syncs < 2 {
		t.Errorf("%d overruns and %d synchronizations: the test has forced none", s.Netlink.Overruns, s.Netlink.Syncs)
	}
	n.IP("r1", "nexthop del id 2") // and the routes, of which the kernel says nothing
	n.Until("the routes are gone", func() bool { return n.Status().FIB.IPv4Routes < 1000 })
	n.CatchUp()
	n.WantReason("20.0.0.1", "ipv4_lpm_miss")
	end()
}

// The FIB image is full several times over, and larger ones take its place.
func TestGrowth(t *testing.T) {
	n := star.New(t)
	n.Run()
	n.Resolve()
	size := n.Status().FIB.Size
	end := stableStream(n)
	n.Fill(200000)
	if s := n.Status(); s.FIB.Size < 4*size || s.FIB.NotInstalled != 0 || s.State != "forwarding" {
		t.Errorf("the image has grown from %d bytes: %+v", size, s)
	}
	end()
}
