package faults

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/test/fulltable"
	"weft/test/kernelroutes"
	"weft/test/star"
)

// A daemon that is dead is not missed: packets go on, also when the kernel has
// come to doubt neighbors that nobody tells it are in use.
func TestDaemonDead(t *testing.T) {
	f := begin(t, "R1", "daemon killed, and left dead")
	f.Run()
	f.Resolve()
	s := f.BeginStable()
	if code := f.Signal(unix.SIGKILL); code != -1 {
		t.Errorf("exit code %d, want none", code)
	}
	for _, host := range []string{"10.2.0.2 dev to-h2", "10.3.0.2 dev to-h3"} {
		f.IP("r1", "neigh change "+host+" nud stale")
	}
	s.Pass(pick(time.Second, time.Minute))
	if o := f.Weft("status"); o.Code != 4 || !strings.Contains(o.Stderr, "no daemon runs in network namespace") {
		t.Errorf("weft status without a daemon: exit code %d, %s", o.Code, o.Stderr)
	}
	s.Stop()
	f.Start()
	f.proved.Packets, f.proved.Count = s.WantXDP(), 1
}

// The next daemon takes over what forwards, and what has changed meanwhile: after
// SIGKILL, and after SIGTERM, as for an upgrade.
func TestDaemonStartedAgain(t *testing.T) {
	for _, c := range []struct {
		signal unix.Signal
		code   int
	}{{unix.SIGKILL, -1}, {unix.SIGTERM, 0}} {
		t.Run(unix.SignalName(c.signal), func(t *testing.T) {
			f := begin(t, "R2", "daemon ended by "+unix.SignalName(c.signal)+", and started again")
			f.Wait = time.Minute
			f.Run()
			f.Resolve()
			program := f.Status().Program.ID
			routes := fillAll(f.Network)
			f.IP("r1", "route add 10.70.0.0/16 via 10.2.0.2")
			f.WantForward("10.70.0.1", "to-h2", "10.2.0.2")
			s := f.BeginStable()
			if code := f.Signal(c.signal); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			// What changes meanwhile is not lost.
			f.IP("r1", "route replace 10.70.0.0/16 via 10.3.0.2")
			f.IP("r1", "route add 10.72.0.0/16 via 10.3.0.2")
			f.IP("r1", "addr add 192.0.2.77/32 dev lo")
			s.Pass(300 * time.Millisecond)
			start := time.Now()
			f.Start()
			f.proved.What += fmt.Sprintf(", %d routes in %.1f s", routes, time.Since(start).Seconds())
			if st := f.Status(); !st.Adopted || st.Program.ID == program || st.FIB.IPv4Routes+st.FIB.IPv6Routes < routes {
				t.Errorf("the daemon has not taken over, or with the old program %d: %+v", program, st)
			}
			f.WantForward("10.70.0.1", "to-h3", "10.3.0.2")
			f.WantForward("10.72.0.1", "to-h3", "10.3.0.2")
			f.WantReason("192.0.2.77", "local_route")
			s.Pass(300 * time.Millisecond)
			f.proved.Packets, f.proved.Count = s.Finish(), 1
		})
	}
}

// fillAll fills the kernel, and weft follows: with the Internet's table where
// there is time for it.
func fillAll(n *star.Network) (routes int) {
	n.Helper()
	v4, v6 := star.Prefixes(5000), []netip.Prefix(nil)
	if soak {
		var err error
		if v4, v6, err = fulltable.Prefixes(); err != nil {
			n.Fatal(err)
		}
	}
	n.IP("r1", "nexthop add id 2 via 10.2.0.2 dev to-h2")
	n.IP("r1", "nexthop add id 6 via 2001:db8:2::2 dev to-h2")
	n.Put(v4, 2)
	n.Put(v6, 6)
	routes = len(v4) + len(v6)
	n.Until(fmt.Sprintf("%d routes are in the FIB", routes), func() bool {
		s := n.Status()
		return s.FIB.IPv4Routes+s.FIB.IPv6Routes >= routes
	})
	return routes
}

// A daemon dies again and again while routes change, at whatever point it is.
func TestDaemonKilledWhileItWorks(t *testing.T) {
	f := begin(t, "R2", "daemon killed again and again while it starts or works")
	f.Run()
	f.Resolve()
	s := f.BeginStable()
	f.Fill(100000) // an image that has grown
	for i := range 6 {
		f.IP("r1", fmt.Sprintf("route add 10.7%d.0.0/16 via 10.2.0.2", i))
		if i%2 == 0 { // at work
			f.IP("r1", "route replace 20.0.0.0/20 via 10.3.0.2")
		}
		f.Signal(unix.SIGKILL)
		if i == 3 { // links that go and come while nobody looks
			f.IP("r1", "link add later type veth peer name later2")
			f.IP("r1", "link set later up")
		}
		var err error
		if f.Daemon, err = f.Lab.Start("r1", star.Weft, "run"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i) * 40 * time.Millisecond) // it is on its way when it is killed
	}
	f.Signal(unix.SIGKILL)
	f.Start()
	for i := range 6 {
		f.WantForward(fmt.Sprintf("10.7%d.0.1", i), "to-h2", "10.2.0.2")
	}
	f.WantForward("20.0.0.1", "to-h3", "10.3.0.2")
	f.proved.Packets, f.proved.Count = s.Finish(), 7
}

// churn changes routes for as long as another thing takes: all of them come, and go.
func churn(f *fault, prefixes []netip.Prefix, rounds func(round int) bool) {
	f.Helper()
	err := f.Lab.In("r1", func() error {
		for round := 0; rounds(round); round++ {
			if err := kernelroutes.Put(f.Context(), prefixes, 2); err != nil {
				return err
			}
			if err := kernelroutes.Delete(f.Context(), prefixes); err != nil {
				return err
			}
		}
		return kernelroutes.Put(f.Context(), prefixes, 2)
	})
	if err != nil {
		f.Fatal(err)
	}
}
