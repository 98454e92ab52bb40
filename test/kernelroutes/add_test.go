package kernelroutes_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/test/kernelroutes"
	"weft/test/root"
)

// enter puts the test's thread into a network namespace of its own, with a link, and returns its ifindex.
func enter(t *testing.T) (ifindex int) {
	t.Helper()
	root.Require(t)
	runtime.LockOSThread() // not unlocked: the namespace ends with the thread
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "port"}, PeerName: "peer"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"peer", "port"} {
		l, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetUp(l)
		}
		if err != nil {
			t.Fatal(err)
		}
		ifindex = l.Attrs().Index
	}
	for _, cidr := range []string{"198.51.100.254/24", "2001:db8::ff/64"} {
		a, err := netlink.ParseAddr(cidr)
		if err != nil {
			t.Fatal(err)
		}
		a.Flags = unix.IFA_F_NODAD
		if a.IP.To4() != nil {
			a.Flags = 0
		}
		if err := netlink.AddrAdd(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: ifindex, Name: "port"}}, a); err != nil {
			t.Fatal(err)
		}
	}
	return ifindex
}

func prefixes(n int) (all []netip.Prefix) {
	for i := range n {
		all = append(all, netip.PrefixFrom(netip.AddrFrom4([4]byte{198, byte(i >> 8), byte(i), 0}), 24))
	}
	return all
}

func TestRoutesLeadToTheirNextHops(t *testing.T) {
	port := enter(t)
	const n = 10_000 // some batches
	hops := make([]uint32, n)
	for i := range hops {
		hops[i] = uint32(2 + i%2)
	}
	calls, last := 0, 0
	err := kernelroutes.AddTelling(t.Context(), port, prefixes(n), hops, netip.MustParseAddr("198.51.100.0"), func(done int) {
		if done <= last {
			t.Errorf("it told %d after %d", done, last)
		}
		calls, last = calls+1, done
	})
	if err != nil {
		t.Fatal(err)
	}
	if last != n || calls < 3 {
		t.Errorf("it told %d times, %d at the end; want %d", calls, last, n)
	}
	v6 := []netip.Prefix{netip.MustParsePrefix("2001:db8:1::/48")}
	if err := kernelroutes.Add(t.Context(), port, v6, []uint32{2}, netip.MustParseAddr("2001:db8::")); err != nil {
		t.Fatal(err)
	}
	for dst, want := range map[string]string{
		"198.0.0.1": "198.51.100.2", "198.0.1.1": "198.51.100.3", "198.39.15.9": "198.51.100.3", "2001:db8:1::5": "2001:db8::2",
	} {
		routes, err := netlink.RouteGet(netip.MustParseAddr(dst).AsSlice())
		if err != nil || len(routes) != 1 || routes[0].Gw.String() != want {
			t.Errorf("route to %s is %v, %v; want by way of %s", dst, routes, err, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	port := enter(t)
	add := func(ctx context.Context, n int, gateways string) error {
		hops := make([]uint32, n)
		for i := range hops {
			hops[i] = 1
		}
		return kernelroutes.Add(ctx, port, prefixes(n), hops, netip.MustParseAddr(gateways))
	}
	if err := add(t.Context(), 1, "203.0.113.0"); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("a gateway that is nowhere: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := add(ctx, 10_000, "198.51.100.0"); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if err := add(t.Context(), 1, "198.51.100.0"); !errors.Is(err, unix.EEXIST) {
		t.Errorf("next hops that are there: %v", err)
	}
}

func TestRoutesChangeAndGo(t *testing.T) {
	port := enter(t)
	all := append(prefixes(10_000), netip.MustParsePrefix("2001:db8:1::/48"))
	hops := make([]uint32, 2)
	for i := range hops {
		hops[i] = uint32(2 + i)
	}
	first := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/25"), netip.MustParsePrefix("203.0.113.128/25")}
	if err := kernelroutes.Add(t.Context(), port, first, hops, netip.MustParseAddr("198.51.100.0")); err != nil { // with objects 2 and 3
		t.Fatal(err)
	}
	v4 := all[:len(all)-1]
	for _, object := range []uint32{2, 3} { // added, then replaced
		if err := kernelroutes.Put(t.Context(), v4, object); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprint("198.51.100.", object)
		routes, err := netlink.RouteGet(v4[9_999].Addr().Next().AsSlice())
		if err != nil || len(routes) != 1 || routes[0].Gw.String() != want {
			t.Errorf("the route is %v, %v; want by way of %s", routes, err, want)
		}
	}
	if err := kernelroutes.Put(t.Context(), all, 3); err == nil {
		t.Error("an IPv6 route leads to an IPv4 gateway's object")
	}
	if err := kernelroutes.Delete(t.Context(), v4); err != nil {
		t.Fatal(err)
	}
	if routes, err := netlink.RouteGet(v4[9_999].Addr().Next().AsSlice()); err == nil {
		t.Errorf("the route is still there: %v", routes)
	}
	if err := kernelroutes.Delete(t.Context(), v4[:1]); !errors.Is(err, unix.ESRCH) {
		t.Errorf("a route that is not there: %v", err)
	}
}
