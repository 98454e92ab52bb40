package xdp_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"weft/bpf"
	"weft/dataplane/xdp"
	"weft/fib"
)

// found is what a lookup comes to; ok is false for none.
type found struct {
	group fib.GroupID
	ok    bool
}

func (r *router) resolve(t testing.TB, ingress uint32, addrs ...string) map[string]found {
	t.Helper()
	dst := make([]netip.Addr, len(addrs))
	for i, a := range addrs {
		dst[i] = netip.MustParseAddr(a)
	}
	group, ok := make([]fib.GroupID, len(dst)), make([]bool, len(dst))
	if err := r.Resolve(ingress, dst, group, ok); err != nil {
		t.Fatal(err)
	}
	all := map[string]found{}
	for i, a := range addrs {
		all[a] = found{group[i], ok[i]}
	}
	r.resolveMany(t, ingress, dst, all)
	return all
}

// resolveMany asks about addresses again and again, so often that one run is for all.
func (r *router) resolveMany(t testing.TB, ingress uint32, addrs []netip.Addr, want map[string]found) {
	t.Helper()
	const many = bpf.MaxAsked + 1000
	slices.SortFunc(addrs, netip.Addr.Compare)
	var dst []netip.Addr
	for i := range many { // each half of one family
		dst = append(dst, addrs[i*len(addrs)/many])
	}
	for i := range many {
		dst = append(dst, addrs[i%len(addrs)])
	}
	group, ok := make([]fib.GroupID, len(dst)), make([]bool, len(dst))
	for i := range group {
		group[i], ok[i] = 12345, i%2 == 0
	}
	if err := r.Resolve(ingress, dst[:many], group, ok); err != nil {
		t.Fatal(err)
	}
	last := dst[many : many+20] // of both families in turns
	if err := r.Resolve(ingress, last, group[many:], ok[many:]); err != nil {
		t.Fatal(err)
	}
	for i, a := range dst[:many+20] {
		if got := (found{group[i], ok[i]}); got != want[a.String()] {
			t.Fatalf("%s, the %d-th of many, leads to group %d %v, want %d %v", a, i, got.group, got.ok, want[a.String()].group, want[a.String()].ok)
		}
	}
}

func TestResolve(t *testing.T) {
	r := newRouter(t, xdp.Options{})
	next := r.add(t, adjacency(portOut, 1500))
	wide := r.route(t, 0, via(next), "10.0.0.0/8", "2001:db8::/32")
	longer := r.route(t, 0, fib.Group{Kind: fib.Blackhole}, "10.1.0.0/16", "2001:db8:1::/48")
	host := r.route(t, 0, fib.Group{Kind: fib.Local}, "10.1.2.3/32", "2001:db8:1::3/128")
	other := r.route(t, 7, fib.Group{Kind: fib.Reject, Code: 1}, "10.0.0.0/8")
	r.addVLANs(t) // with routes in 10.20.0.0/16

	for _, c := range []struct {
		name    string
		ingress uint32
		want    map[string]found
	}{
		{"default VRF", portIn, map[string]found{
			"10.9.9.9": {wide, true}, "10.1.9.9": {longer, true}, "10.1.2.3": {host, true}, "10.1.2.4": {longer, true},
			"11.0.0.0": {0, true}, "1.0.0.0": {0, true}, // no route: that is looked up, too
			"2001:db8:9::": {wide, true}, "2001:db8:1::4": {longer, true}, "2001:db8:1::3": {host, true}, "2002::": {0, true},
			"ff02::1": {0, false}, "127.0.0.1": {0, false}, "::1": {0, false}, "::": {0, false}, "0.0.0.1": {0, false}, // never forwarded
		}},
		{"another VRF", portVRF, map[string]found{"10.9.9.9": {other, true}, "10.1.2.3": {other, true}, "2001:db8:9::": {0, true}}},
		{"a VLAN", vlanC, map[string]found{"10.9.9.9": {wide, true}, "2001:db8:1::3": {host, true}}},
		{"a VLAN with a MAC of its own", vlanS, map[string]found{"10.9.9.9": {wide, true}}},
		{"two tags, another VRF", vlanSC, map[string]found{"10.9.9.9": {other, true}}},
		{"a port that forwards nothing", portOff, map[string]found{"10.9.9.9": {0, false}, "2001:db8::": {0, false}}},
	} {
		var addrs []string
		for a := range c.want {
			addrs = append(addrs, a)
		}
		for a, got := range r.resolve(t, c.ingress, addrs...) {
			if got != c.want[a] {
				t.Errorf("%s: %s leads to group %d %v, want %d %v", c.name, a, got.group, got.ok, c.want[a].group, c.want[a].ok)
			}
		}
	}
	if got := r.Counters(portIn); got.Received().Packets != 0 {
		t.Errorf("made packets were counted: %v", got)
	}
	if err := r.Resolve(99, []netip.Addr{{}}, make([]fib.GroupID, 1), make([]bool, 1)); !errors.Is(err, xdp.ErrNoPort) {
		t.Errorf("in by no port: %v", err)
	}
}

func TestRunTellsTheTime(t *testing.T) {
	r := newRouter(t, xdp.Options{})
	fillTable(t, r)
	in := frame{ourMAC, hostMAC, 0x0800, ipv4("192.0.2.1", "10.0.0.1", 64)}.bytes()
	for range 10 {
		got, err := r.Run(in, portIn)
		if err != nil {
			t.Fatal(err)
		}
		if got.Took <= 0 || got.Took.Milliseconds() > 10 {
			t.Errorf("took %v", got.Took)
		}
	}
}

// BenchmarkResolve asks for a thousand addresses, and for as many as one run takes (ns/address).
func BenchmarkResolve(b *testing.B) {
	for _, n := range []int{1000, bpf.MaxAsked} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := newRouter(b, xdp.Options{})
			r.route(b, 0, fib.Group{Kind: fib.Blackhole}, "10.0.0.0/8")
			dst := make([]netip.Addr, n)
			for i := range dst {
				dst[i] = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
			}
			group, ok := make([]fib.GroupID, len(dst)), make([]bool, len(dst))
			for b.Loop() {
				if err := r.Resolve(portIn, dst, group, ok); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(dst)), "ns/address")
			b.ReportMetric(0, "ns/op")
		})
	}
}
