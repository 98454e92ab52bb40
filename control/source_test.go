package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"weft/control/rib"
)

// staticRoute is a route of weft's own through a gateway.
func staticRoute(prefix, gateway string) *rib.Route {
	return &rib.Route{
		Prefix: netip.MustParsePrefix(prefix), Source: rib.Static, Protocol: rib.ProtocolWeft, Preference: 20,
		Hops: []rib.Hop{{Gateway: netip.MustParseAddr(gateway)}},
	}
}

// set hands over a route, and returns what has become of it.
func (w *world) set(m *rib.Route) (state rib.State) {
	w.Helper()
	if err := w.Update(w.Context(), func(r *rib.RIB) { w.must(r.Set(m)) }, func(r *rib.RIB, generation uint64) {
		if got := r.Image().Generation(); got != generation || generation == 0 {
			w.Errorf("told of generation %d, the image has %d", generation, got)
		}
		state = r.State(m.VRF, m.Prefix, m.Source, m.Origin)
	}); err != nil {
		w.Fatal(err)
	}
	return state
}

// A route of a source is in the image when its source is told so; the kernel's
// routes lead to its gateway, and a link that goes down leads past it.
func TestSourceBesideTheKernel(t *testing.T) {
	enterNetns(t)
	twoPorts(t)
	w := follow(t, Config{})
	ip(t, "route add 192.0.2.0/24 via 10.0.1.2")
	if got := w.set(staticRoute("198.18.0.0/15", "192.0.2.1")); got != rib.Installed && got != rib.Unresolved {
		t.Errorf("state %d", got)
	}
	find := func(via string) func() string {
		return func() string {
			if got := w.image()[netip.MustParsePrefix("198.18.0.0/15")]; !strings.Contains(got, via) || via == "" && got != "" {
				return fmt.Sprintf("%q, want one through %q", got, via)
			}
			return ""
		}
	}
	w.eventually(find("10.0.1.2"))
	ip(t, "route replace 192.0.2.0/24 via 10.0.2.2")
	w.eventually(find("10.0.2.2"))
	ip(t, "route del 192.0.2.0/24")
	w.eventually(find(""))
	if got := w.set(staticRoute("198.18.0.0/15", "192.0.2.1")); got != rib.Unresolved {
		t.Errorf("state %d, want %d", got, rib.Unresolved)
	}
}

// What another process has made of weft's own routes in the kernel is found.
func TestVerifyOwnRoutes(t *testing.T) {
	enterNetns(t)
	shortPause(t)
	twoPorts(t)
	w := follow(t, Config{Export: func(*rib.Export) {}})
	w.set(staticRoute("198.18.0.0/15", "10.0.1.2"))
	wants := func(between, have string) {
		t.Helper()
		w.eventually(func() string {
			v := w.verify(nil)
			if between == "" && len(v.Differences) == 0 {
				return ""
			}
			if len(v.Differences) != 1 || v.Differences[0].Between != between || !strings.Contains(v.Differences[0].Have, have) {
				return fmt.Sprintf("%+v, want one between %s with %q", v, between, have)
			}
			return ""
		})
	}
	wants(RIBAndKernel, "no route")
	ip(t, "nexthop add id 1900 via 10.0.1.2 dev port1")
	ip(t, "route add 198.18.0.0/15 nhid 1900 proto 119 metric 20")
	wants("", "")
	ip(t, "nexthop replace id 1900 via 10.0.2.2 dev port2")
	wants(RIBAndKernel, "10.0.2.2")
	ip(t, "nexthop replace id 1900 via 10.0.1.2 dev port1")
	ip(t, "route add 203.0.113.0/24 nhid 1900 proto 119 metric 20") // nobody wants it
	wants(RIBAndKernel, "protocol 119")
}

// A source waits for no publication that does not come.
func TestUpdateEnds(t *testing.T) {
	enterNetns(t)
	twoPorts(t)
	w := follow(t, Config{})
	w.stop()
	if err := w.Update(context.Background(), func(*rib.RIB) {}, nil); !errors.Is(err, ErrStopped) {
		t.Errorf("%v, want %v", err, ErrStopped)
	}
}
