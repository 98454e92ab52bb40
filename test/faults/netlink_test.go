package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/test/fulltable"
	"weft/test/star"
)

// A daemon that stands still does not stop packets. When it goes on it finds out
// that it has missed changes, and catches up.
func TestDaemonStopped(t *testing.T) {
	f := begin(t, "R4", "daemon stopped while routes change, and continued")
	f.Wait = time.Minute
	prefixes := star.Prefixes(pick(20_000, 100_000))
	f.Run("--receive-buffer", pick("65536", "0"))
	f.Resolve()
	f.IP("r1", "nexthop add id 2 via 10.2.0.2 dev to-h2")
	s := f.BeginStable()
	if err := f.Daemon.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	start, rounds := time.Now(), 0
	churn(f, prefixes, func(round int) bool { rounds = round + 1; return time.Since(start) < pick(0, time.Minute) })
	f.IP("r1", "route del "+prefixes[7].String())
	f.IP("r1", "link add later type veth peer name later2")
	start = time.Now()
	if err := f.Daemon.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	f.Until("an overrun is noticed", func() bool { return f.Status().Netlink.Overruns > 0 })
	noticed := time.Since(start)
	f.Until("all routes are in the FIB", func() bool { return f.Status().FIB.IPv4Routes >= len(prefixes)-1 })
	f.WantReason(prefixes[7].Addr().Next().String(), "ipv4_lpm_miss")
	f.WantForward(prefixes[len(prefixes)-1].Addr().Next().String(), "to-h2", "10.2.0.2")
	f.proved.What += fmt.Sprintf(" (overrun known after %d ms, converged after %.1f s)", noticed.Milliseconds(), time.Since(start).Seconds())
	f.proved.Packets, f.proved.Count = s.Finish(), uint64((2*rounds+1)*len(prefixes))
	wantKernelsRoutes(f.Network)
}

// The kernel tells more than the socket holds: weft reads everything again, and
// has what the kernel has.
func TestOverrun(t *testing.T) {
	f := begin(t, "R5", "more changes than the receive buffer of 4 KiB holds")
	f.Wait = time.Minute
	prefixes := star.Prefixes(50_000)
	if soak {
		var err error
		if prefixes, _, err = fulltable.Prefixes(); err != nil {
			t.Fatal(err)
		}
	}
	f.Run("--receive-buffer", "4096")
	f.Resolve()
	f.IP("r1", "nexthop add id 2 via 10.2.0.2 dev to-h2")
	s := f.BeginStable()
	f.Put(prefixes, 2)
	f.Until("all routes are in the FIB", func() bool { return f.Status().FIB.IPv4Routes >= len(prefixes) })
	st := f.Status()
	if st.Netlink.Overruns == 0 || st.Netlink.Syncs < 2 {
		t.Errorf("%d overruns and %d synchronizations: the test has forced none", st.Netlink.Overruns, st.Netlink.Syncs)
	}
	wantKernelsRoutes(f.Network)
	f.IP("r1", "nexthop del id 2") // and the routes, of which the kernel says nothing
	f.Until("the routes are gone", func() bool { return f.Status().FIB.IPv4Routes < 1000 })
	f.CatchUp()
	f.WantReason(prefixes[0].Addr().Next().String(), "ipv4_lpm_miss")
	f.proved.Packets, f.proved.Count = s.Finish(), uint64(st.Netlink.Overruns)
	wantKernelsRoutes(f.Network)
}

// Addresses change while they are dumped, which makes dumps that show neither
// before nor after, and routes, of which the kernel does not tell that a dump was
// interrupted.
func TestDumpInterrupted(t *testing.T) {
	f := begin(t, "R6", "dumps interrupted by changes")
	f.Wait = time.Minute
	prefixes := star.Prefixes(20_000)
	f.Run("--receive-buffer", "4096")
	f.Resolve()
	f.IP("r1", "nexthop add id 2 via 10.2.0.2 dev to-h2")
	// So many that they take several messages.
	if err := flipAddresses(f.Network, 2000, func() bool { return false }); err != nil {
		t.Fatal(err)
	}
	s := f.BeginStable()
	var enough atomic.Bool
	ended := make(chan error, 1)
	go func() { ended <- flipAddresses(f.Network, 100, func() bool { return !enough.Load() }) }()
	start := time.Now()
	churn(f, prefixes, func(int) bool {
		return f.Status().Netlink.Interrupted < pick(1, 100) && time.Since(start) < f.Wait
	})
	enough.Store(true)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	f.Until("all routes are in the FIB", func() bool { return f.Status().FIB.IPv4Routes >= len(prefixes) })
	f.CatchUp()
	interrupted := f.Status().Netlink.Interrupted
	if interrupted == 0 {
		t.Error("no dump was interrupted")
	}
	f.proved.Packets, f.proved.Count = s.Finish(), uint64(interrupted)
	wantKernelsRoutes(f.Network)
}

// flipAddresses gives the router addresses, and takes and gives them while it is to.
func flipAddresses(n *star.Network, many int, again func() bool) error {
	return n.Lab.In("r1", func() error {
		lo, err := netlink.LinkByName("lo")
		for first := true; err == nil && (first || again()); first = false {
			for i := range many {
				a := &netlink.Addr{IPNet: &net.IPNet{IP: net.IP{198, 19, byte(i >> 8), byte(i)}, Mask: net.CIDRMask(32, 32)}}
				if err = netlink.AddrReplace(lo, a); err != nil {
					break
				}
				if again() {
					if err = errors.Join(netlink.AddrDel(lo, a), netlink.AddrAdd(lo, a)); err != nil {
						break
					}
				}
			}
		}
		return err
	})
}

// route is one of 'ip -j route' or 'weft --json routes', as far as both say it.
type route struct {
	Dst, Type, Gateway, Dev, Table string
	Via                            struct{ Host string }
	Metric, NHID                   uint32
	Nexthops                       []struct {
		Gateway, Dev string
		Via          struct{ Host string }
		Weight       int
	}
}

func (r *route) String() string {
	if r.Type == "" {
		r.Type = "unicast"
	}
	to := fmt.Sprintf("%s %s metric %d", r.Type, r.Dst, r.Metric)
	if r.NHID != 0 {
		return fmt.Sprintf("%s nhid %d", to, r.NHID)
	}
	hops := []string{}
	for _, h := range r.Nexthops {
		hops = append(hops, fmt.Sprintf("via %s%s dev %s weight %d", h.Gateway, h.Via.Host, h.Dev, h.Weight))
	}
	slices.Sort(hops)
	if r.Type == "unicast" && len(hops) == 0 {
		hops = append(hops, fmt.Sprintf("via %s%s dev %s", r.Gateway, r.Via.Host, r.Dev))
	}
	return to + " " + strings.Join(hops, ", ")
}

// wantKernelsRoutes asserts that weft lists the IPv4 routes that the kernel does,
// by the words of both and nothing of weft's own verification, and that the FIB
// has them all.
func wantKernelsRoutes(n *star.Network) {
	n.Helper()
	n.CatchUp()
	// Changes are followed before all is read again: where that was put off, it is still to come.
	n.Until("weft verify finds nothing, and nothing is changing", func() bool {
		var v struct{ Count, Changing int }
		return n.Try(&v, "verify") && v.Count+v.Changing == 0
	})
	read := func(what, text string) map[string]int {
		var list []route
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			n.Fatalf("%s: %v", what, err)
		}
		all := map[string]int{}
		for i := range list {
			if list[i].Table == "" || list[i].Table == "main" {
				all[list[i].String()]++
			}
		}
		return all
	}
	kernel := read("ip route", n.IP("r1", "-j -4 route show"))
	weft := read("weft routes", n.Weft("--json", "-4", "routes", "--all").Stdout)
	if maps.Equal(kernel, weft) {
		return
	}
	told := 0
	for _, r := range slices.Sorted(maps.Keys(kernel)) {
		if weft[r] != kernel[r] && told < 10 {
			told++
			n.Errorf("the kernel has %d and weft %d of: %s", kernel[r], weft[r], r)
		}
	}
	for _, r := range slices.Sorted(maps.Keys(weft)) {
		if kernel[r] == 0 && told < 20 {
			told++
			n.Errorf("weft has what the kernel has not: %s", r)
		}
	}
}
