package failpoints

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	"weft/test/star"
)

// stable are destinations whose routes stay while others change.
var stable = []struct{ dst, route string }{
	{"10.100.0.1", "10.100.0.0/16 via 10.2.0.2"},
	{"10.101.7.1", "10.101.0.0/16 via 10.3.0.2"},
	{"10.103.0.1", "10.103.0.0/17 nexthop via 10.2.0.2 nexthop via 10.3.0.2"},
	{"10.104.0.1", "10.104.0.0/16 nhid 60"},
}

// furnish gives the kernel the routes of a test. The default route is a trap: a FIB
// that lacks some of the others sends their packets there.
func (r *router) furnish() {
	r.Helper()
	r.IP("r1", "nexthop add id 50 via 10.2.0.2 dev to-h2")
	r.IP("r1", "nexthop add id 51 via 10.3.0.2 dev to-h3")
	r.IP("r1", "nexthop add id 60 group 50/51")
	for _, s := range stable {
		r.IP("r1", "route add "+s.route)
	}
	for _, family := range []string{"-4", "-6"} {
		r.IP("r1", family+" neigh replace "+trap[family]+" lladdr 02:00:00:00:66:66 dev to-h3 nud permanent")
		r.IP("r1", family+" route add default via "+trap[family])
	}
	for i := 1; i <= 3; i++ {
		for _, family := range []int{4, 6} {
			to := star.HostAddr(i, family).String()
			r.Until(to+" answers", func() bool {
				_, err := r.Lab.Output("r1", "ping", "-q", "-c", "1", "-W", "1", to)
				return err == nil
			})
		}
	}
}

var trap = map[string]string{"-4": "10.3.0.66", "-6": "2001:db8:3::66"}

// wantState asserts that the FIB is what the kernel says: as weft verify finds, by
// the list of routes, and for packets to the stable destinations.
func (r *router) wantState() {
	r.Helper()
	r.WantVerified()
	r.wantRoutes()
	for _, s := range stable {
		if l := r.Lookup(s.dst); l.Verdict != "forward" || !l.Kernel.Agrees {
			r.Errorf("packets to %s: %+v", s.dst, l)
		}
	}
}

// route is what ip and weft print of one.
type route struct {
	Type, Dst, Gateway, Dev string
	Table                   string // of weft's
	Via                     struct{ Host string }
	Metric                  int
	Nexthops                []struct {
		Gateway, Dev string
		Via          struct{ Host string }
		Weight       int
	}
	Installed *bool
}

func (t *route) String() string {
	if t.Type == "" {
		t.Type = "unicast"
	}
	var hops []string
	for _, h := range t.Nexthops {
		hops = append(hops, fmt.Sprintf("%s%s dev %s weight %d", h.Gateway, h.Via.Host, h.Dev, h.Weight))
	}
	sort.Strings(hops)
	if hops == nil {
		hops = []string{fmt.Sprintf("%s%s dev %s", t.Gateway, t.Via.Host, t.Dev)}
	}
	return fmt.Sprintf("%s %s metric %d: %s", t.Type, strings.TrimSuffix(t.Dst, "/32"), t.Metric, strings.Join(hops, ", "))
}

// wantRoutes asserts that weft has exactly the kernel's routes of the main table, and
// that the FIB has them all.
func (r *router) wantRoutes() {
	r.Helper()
	for _, family := range []string{"-4", "-6"} {
		var linux, weft []route
		if err := json.Unmarshal([]byte(r.Command("r1", "ip", "-j", "-d", family, "route", "show", "table", "main")), &linux); err != nil {
			r.Fatal(err)
		}
		r.Ask(&weft, family, "routes", "--all")
		want, got := map[string]bool{}, map[string]bool{}
		for i := range linux {
			if !strings.HasPrefix(linux[i].Dst, "fe80:") { // of each link: they punt, as package rib says
				want[linux[i].String()] = true
			}
		}
		for i := range weft {
			if weft[i].Table != "main" {
				continue
			}
			got[weft[i].String()] = true
			if weft[i].Installed != nil && !*weft[i].Installed {
				r.Errorf("%s is not installed", &weft[i])
			}
		}
		if !maps.Equal(got, want) {
			r.Errorf("routes of weft (%d) and Linux (%d) differ\nonly weft: %v\nonly Linux: %v", len(got), len(want), without(got, want), without(want, got))
		}
	}
}

// without returns some of what is in one set and not in another.
func without(a, b map[string]bool) []string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(a)) {
		if !b[k] {
			all = append(all, k)
		}
	}
	return all[:min(len(all), 5)]
}
