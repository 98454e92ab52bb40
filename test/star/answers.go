package star

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// What weft prints as JSON, as far as the tests look at it.
type (
	Status struct {
		State   string
		PID     int
		Memory  uint64 `json:"memory"`
		Adopted bool
		Trouble []string
		FIB     struct {
			Size, Generation uint64
			IPv4Routes       int `json:"ipv4_routes"`
			IPv6Routes       int `json:"ipv6_routes"`
			NotInstalled     int `json:"not_installed"`
		}
		Netlink struct{ Overruns, Interrupted, Syncs int }
		Program struct{ ID uint32 }
	}

	PortList struct {
		Ports   []Port
		Refused []struct{ Ifname, Error, Hint string }
	}
	Port struct {
		Number                     uint32
		Ifindex                    int
		Ifname, Mode, Egress       string
		Engine, Sockets            string
		EngineMatch                string `json:"engine_match"` // of the configuration
		MTU                        int
		Up, IPv4, IPv6             bool
		IngressWhy                 string `json:"ingress_why"`
		EgressErrors               uint64 `json:"egress_errors"`
		Unaccounted                uint64
		UnaccountedWhy             string `json:"unaccounted_why"`
		Forwarded, Punted, Dropped uint64
		Counters                   []Counter
	}
	Counter struct {
		Reason, Verdict string
		Packets         uint64
	}

	Lookup struct {
		Type, Dst, Gateway, Dev         string
		Verdict, Reason, Prefix, Lladdr string
		Engine, Fate                    string
		MTU, Members                    int
		Group                           uint32
		Via                             struct{ Family, Host string }
		Kernel                          struct {
			Agrees                         bool
			Type, Dev, Gateway, Why, Error string
		}
	}
)

func (n *Network) Status() (s Status) {
	n.Helper()
	n.Ask(&s, "status")
	return s
}

// Ports returns the ports by name.
func (n *Network) Ports() map[string]Port {
	n.Helper()
	var list PortList
	n.Ask(&list, "ports")
	all := map[string]Port{}
	for _, p := range list.Ports {
		all[p.Ifname] = p
	}
	return all
}

// Count returns how many packets a port has counted for a reason.
func (n *Network) Count(dev, reason string) uint64 {
	n.Helper()
	for _, c := range n.Ports()[dev].Counters {
		if c.Reason == reason {
			return c.Packets
		}
	}
	return 0
}

// WantCounted runs f, upon which a port is to count so many packets for a
// reason, and not one more.
func (n *Network) WantCounted(dev, reason string, packets uint64, f func()) {
	n.Helper()
	before := n.Count(dev, reason)
	f()
	if got := n.Count(dev, reason) - before; got != packets {
		n.Errorf("%s has counted %d packets for %s, want %d", dev, got, reason, packets)
	}
}

// Lookup asks what becomes of a packet from h1.
func (n *Network) Lookup(dst string) Lookup {
	n.Helper()
	var answers []Lookup
	o := n.Weft("--json", "routes", "get", dst, "explain")
	if err := json.Unmarshal([]byte(o.Stdout), &answers); err != nil || len(answers) != 1 {
		n.Fatalf("routes get %s: exit code %d\n%s%s", dst, o.Code, o.Stdout, o.Stderr)
	}
	l := answers[0]
	if noRoute := l.Reason == "ipv4_lpm_miss" || l.Reason == "ipv6_lpm_miss"; noRoute != (o.Code == 2) || !noRoute && o.Code != 0 {
		n.Errorf("routes get %s: exit code %d for %s", dst, o.Code, l.Reason)
	}
	return l
}

// WantLookup waits until packets from h1 to dst end as they should, and the
// kernel says the same.
func (n *Network) WantLookup(dst string, is func(l *Lookup) bool) {
	n.Helper()
	var l Lookup
	for deadline := time.Now().Add(n.Wait); time.Now().Before(deadline); {
		if l = n.Lookup(dst); is(&l) && l.Kernel.Agrees {
			return
		}
	}
	n.Fatalf("packets to %s: %+v", dst, l)
}

// WantForward waits until packets from h1 to dst leave by a port to a gateway.
func (n *Network) WantForward(dst, dev, gateway string) {
	n.Helper()
	n.WantLookup(dst, func(l *Lookup) bool {
		return l.Verdict == "forward" && l.Dev == dev && (gateway == "" || l.Gateway == gateway || l.Via.Host == gateway)
	})
}

// WantReason waits until packets from h1 to dst end for a reason.
func (n *Network) WantReason(dst, reason string) {
	n.Helper()
	n.WantLookup(dst, func(l *Lookup) bool { return l.Reason == reason })
}

// CatchUp waits until weft has taken in what the kernel has told so far: changes
// come in order.
func (n *Network) CatchUp() {
	n.Helper()
	const marker = "198.18.0.1"
	n.IP("r1", "route add blackhole "+marker)
	n.WantReason(marker, "blackhole_route")
	n.IP("r1", "route del blackhole "+marker)
	n.WantLookup(marker, func(l *Lookup) bool { return l.Reason != "blackhole_route" })
}

// IsPort waits until frames come in and go out by a port in XDP.
func (n *Network) IsPort(name string) {
	n.Helper()
	n.Until(name+" is a port", func() bool {
		p := n.Ports()[name]
		return p.Mode == "native" && p.Egress == "native"
	})
}

// WantError asserts that a command has refused: one line on stderr that has all
// words in it, nothing on stdout.
func (o *Outcome) WantError(t testing.TB, code int, words ...string) {
	t.Helper()
	if o.Code != code || o.Stdout != "" || strings.Count(o.Stderr, "\n") != 1 || !strings.HasPrefix(o.Stderr, "weft: ") {
		t.Errorf("exit code %d, want %d and one line\nstdout: %s\nstderr: %s", o.Code, code, o.Stdout, o.Stderr)
	}
	for _, w := range words {
		if !strings.Contains(o.Stderr, w) {
			t.Errorf("%q is not in %q", w, o.Stderr)
		}
	}
}

// LastLine leaves out what a daemon logs before it ends.
func (o Outcome) LastLine() Outcome {
	lines := strings.SplitAfter(o.Stderr, "\n")
	o.Stderr = lines[max(0, len(lines)-2)]
	return o
}

// KernelRoutes counts what the router's kernel has, of both families.
func (n *Network) KernelRoutes() (routes int) {
	n.Helper()
	err := n.Lab.In("r1", func() error {
		v4, err := os.ReadFile("/proc/thread-self/net/fib_triestat")
		if err != nil {
			return err
		}
		_, of4, _ := strings.Cut(string(v4), "Prefixes:")
		if _, err = fmt.Sscan(of4, &routes); err != nil {
			return err
		}
		v6, err := os.ReadFile("/proc/thread-self/net/rt6_stats")
		if err != nil {
			return err
		}
		var skip, of6 int
		_, err = fmt.Sscanf(string(v6), "%x %x %x %x", &skip, &skip, &skip, &of6)
		routes += of6
		return err
	})
	if err != nil {
		n.Fatal(err)
	}
	return routes
}
