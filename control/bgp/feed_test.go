package bgp

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"weft/control/config"
	"weft/control/rib"
	"weft/fib"
)

// oneRIB is a RIB without a Follower, which counts what it is given.
type oneRIB struct {
	*rib.RIB
	updates int
}

func (o *oneRIB) Do(_ context.Context, fn func(*rib.RIB)) error {
	fn(o.RIB)
	return nil
}

func (o *oneRIB) Update(_ context.Context, change func(*rib.RIB), _ func(*rib.RIB, uint64)) error {
	o.updates++
	change(o.RIB)
	o.Publish()
	return nil
}

func newOneRIB(t *testing.T) *oneRIB {
	t.Helper()
	im, err := fib.Create(make([]byte, 4<<20), fib.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := &oneRIB{RIB: rib.New(im, rib.Options{Ports: noPorts{}})}
	r.BeginSync()
	r.EndSync()
	return r
}

// pathOf is a path as GoBGP tells it.
func pathOf(t *testing.T, prefix, peer, nextHop string) *apiutil.Path {
	t.Helper()
	nlri, err := bgp.NewIPAddrPrefix(netip.MustParsePrefix(prefix))
	if err != nil {
		t.Fatal(err)
	}
	p := &apiutil.Path{Family: bgp.RF_IPv4_UC, Nlri: nlri, PeerAddress: netip.MustParseAddr(peer), Withdrawal: nextHop == ""}
	if nextHop == "" {
		return p
	}
	a := netip.MustParseAddr(nextHop)
	if a.Is4() {
		hop, _ := bgp.NewPathAttributeNextHop(a)
		p.Attrs = append(p.Attrs, hop)
	} else {
		hop, _ := bgp.NewPathAttributeMpReachNLRI(bgp.RF_IPv4_UC, []bgp.PathNLRI{{NLRI: nlri}}, a)
		p.Attrs = append(p.Attrs, hop)
	}
	return p
}

func TestGatewayOf(t *testing.T) {
	for _, c := range []struct {
		peer, nextHop string
		internal      bool
		want          string
	}{
		{"192.0.2.1", "192.0.2.9", false, "192.0.2.9"},
		{"2001:db8::1", "2001:db8::9", false, "2001:db8::9"},
		{"192.0.2.1", "::ffff:192.0.2.9", false, "192.0.2.9"}, // of a neighbor that knows no better
		{"fe80::1%eth0", "fe80::1", false, "fe80::1%eth0"},
		{"fe80::1%eth0", "2001:db8::9", false, "fe80::1%eth0"}, // its own, on a subnet that we need not share
		{"fe80::1%eth0", "2001:db8::9", true, "2001:db8::9"},
		{"fe80::1%eth0", "192.0.2.9", false, "192.0.2.9"},
	} {
		if got := gatewayOf(pathOf(t, "10.0.0.0/8", c.peer, c.nextHop), c.internal); got.String() != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// However often a prefix changes while the RIB is busy, it is given the last state, once;
// what an ended life of GoBGP still tells does not count.
func TestFeedLatest(t *testing.T) {
	r := newOneRIB(t)
	f := newFeed(r, slog.New(slog.DiscardHandler))
	f.prefer(config.Preferences{EBGP: 20, IBGP: 200})
	life := &speaker{}
	f.listen(life)
	for range 1000 {
		f.take(life, []*apiutil.Path{pathOf(t, "10.0.0.0/8", "192.0.2.1", "192.0.2.1"), pathOf(t, "10.1.0.0/16", "192.0.2.1", "192.0.2.1")})
		f.take(life, []*apiutil.Path{pathOf(t, "10.0.0.0/8", "192.0.2.2", "192.0.2.2"), pathOf(t, "10.1.0.0/16", "192.0.2.1", "")})
	}
	f.take(life, []*apiutil.Path{pathOf(t, "10.2.0.0/16", "192.0.2.1", "::ffff:0:0"), pathOf(t, "127.0.0.0/8", "192.0.2.1", "192.0.2.1")})
	f.take(&speaker{}, []*apiutil.Path{pathOf(t, "10.0.0.0/8", "192.0.2.3", "192.0.2.3")})
	if n := f.waiting(); n != 4 {
		t.Errorf("%d changes wait, want 4", n)
	}
	if err := f.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	routes := routesOf(r.RIB)
	if len(routes) != 1 || routes[0].Hops[0] != "192.0.2.2" || routes[0].Metric != 20 || r.updates != 1 || f.waiting() != 0 {
		t.Errorf("%+v after %d updates, %d wait", routes, r.updates, f.waiting())
	}
	if n := len(f.refused); n != 2 {
		t.Errorf("%d routes are refused, want 2", n)
	}
	f.take(life, []*apiutil.Path{pathOf(t, "10.2.0.0/16", "192.0.2.1", "192.0.2.1"), pathOf(t, "127.0.0.0/8", "192.0.2.1", "")})
	if err := f.flush(t.Context()); err != nil || len(f.refused) != 0 || len(routesOf(r.RIB)) != 2 {
		t.Errorf("%v; %d routes are refused after one has become useful, and the other has gone", err, len(f.refused))
	}
	if err := f.clear(t.Context()); err != nil || len(routesOf(r.RIB)) != 0 {
		t.Errorf("%v; %v is left", err, routesOf(r.RIB))
	}
}

// What comes prefix by prefix is given to the RIB in few publications.
func TestFeedPause(t *testing.T) {
	r := newOneRIB(t)
	f := newFeed(r, slog.New(slog.DiscardHandler))
	f.prefer(config.Preferences{EBGP: 20, IBGP: 200})
	life := &speaker{}
	f.listen(life)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	began := time.Now()
	go func() {
		f.run(ctx)
		close(ended)
	}()
	const prefixes = 1000
	for i := range prefixes {
		f.take(life, []*apiutil.Path{pathOf(t, fmt.Sprintf("10.%d.%d.0/24", i/256, i%256), "192.0.2.1", "192.0.2.1")})
		time.Sleep(50 * time.Microsecond) // as GoBGP takes for one
	}
	eventually(t, func() string {
		if n := f.waiting(); n > 0 {
			return fmt.Sprintf("%d changes wait", n)
		}
		return ""
	})
	cancel()
	<-ended
	if most := int(time.Since(began)/feedPause) + 2; r.updates > most || len(routesOf(r.RIB)) != prefixes {
		t.Errorf("%d routes in %d publications, want %d in at most %d", len(routesOf(r.RIB)), r.updates, prefixes, most)
	}
}
