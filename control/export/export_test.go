package export

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/control/kernel"
	"weft/control/rib"
)

func TestRoutes(t *testing.T) {
	enterNetns(t)
	b := run(t)
	groups := []rib.ExportGroup{
		groupOf(1, "11 192.0.1.2 1"),
		groupOf(2, "11 192.0.1.2 1", "12 192.0.2.2 3"),
		groupOf(3, "11 fe80::2 1"),
		groupOf(4, "12 - 1"),
		{ID: 5, Type: unix.RTN_BLACKHOLE}, {ID: 6, Type: unix.RTN_UNREACHABLE}, {ID: 7, Type: unix.RTN_PROHIBIT},
		groupOf(8, "11 198.51.100.7 1"), // in no subnet: the RIB knows better
		groupOf(9, "11 192.0.1.2 1"),
	}
	groups[8].MTU = 1400
	var routes []rib.ExportRoute
	for id := range uint32(9) {
		routes = append(routes, routeTo(fmt.Sprintf("10.%d.0.0/16", id+1), id+1, 20))
	}
	for id := uint32(3); id <= 7; id++ {
		routes = append(routes, routeTo(fmt.Sprintf("2001:db8:%d::/48", id), id, 20))
	}
	b.take(&rib.Export{Groups: groups, Routes: routes})
	b.wants(
		"10.1.0.0/16 metric 20 via 192.0.1.2 p1",
		"10.2.0.0/16 metric 20 via 192.0.1.2 p1 x1 via 192.0.2.2 p2 x3",
		"10.3.0.0/16 metric 20 via fe80::2 p1",
		"10.4.0.0/16 metric 20 via  p2",
		"blackhole 10.5.0.0/16 metric 20", "unreachable 10.6.0.0/16 metric 20", "prohibit 10.7.0.0/16 metric 20",
		"10.8.0.0/16 metric 20 via 198.51.100.7 p1",
		"10.9.0.0/16 metric 20 via 192.0.1.2 p1 mtu 1400",
		"2001:db8:3::/48 metric 20 via fe80::2 p1 x1",
		"2001:db8:4::/48 metric 20 via  p2 x1",
		"blackhole 2001:db8:5::/48 metric 20", "unreachable 2001:db8:6::/48 metric 20", "prohibit 2001:db8:7::/48 metric 20",
	)
	// One object is replaced, and all its routes lead elsewhere.
	before := b.Status().Changes
	b.take(&rib.Export{Groups: []rib.ExportGroup{groupOf(2, "12 192.0.2.9 1")}})
	if sent := b.Status().Changes - before; sent > 3 {
		t.Errorf("%d messages for a group", sent)
	}
	if got := b.have(); !strings.Contains(got, "10.2.0.0/16 metric 20 via 192.0.2.9 p2\n") {
		t.Errorf("after a group was replaced: %s", got)
	}
	// A group that ends packets now.
	b.take(&rib.Export{Groups: []rib.ExportGroup{{ID: 2, Type: unix.RTN_UNREACHABLE}}})
	if got := b.have(); !strings.Contains(got, "unreachable 10.2.0.0/16 metric 20\n") {
		t.Errorf("after a group was replaced: %s", got)
	}
	b.Settle()
	var gone []uint32
	for i := range routes {
		routes[i].Group = 0
	}
	for _, g := range groups {
		gone = append(gone, g.ID)
	}
	b.take(&rib.Export{Routes: routes, Gone: gone})
	b.wants()
	if n := b.objectsInKernel(); n != 0 {
		t.Errorf("%d objects are left:\n%s", n, ip(t, "nexthop"))
	}
}

// told follows what the kernel tells of weft's routes until it tells of the prefix
// last, and returns how many changes there were. At no moment a prefix is without
// a route.
func told(t *testing.T, w *kernel.Watcher, last string) (changes int) {
	metrics := map[netip.Prefix]map[uint32]bool{}
	for {
		events, err := w.Receive()
		if err != nil {
			t.Errorf("follow the kernel: %v", err)
			return changes
		}
		for _, e := range events {
			var r kernel.Route
			if r.Decode(e.Payload) != nil || r.Protocol != rib.ProtocolWeft {
				if r.Prefix.String() == last {
					return changes
				}
				continue
			}
			if metrics[r.Prefix] == nil {
				metrics[r.Prefix] = map[uint32]bool{}
			}
			changes++
			if metrics[r.Prefix][r.Metric] = true; e.Type == unix.RTM_DELROUTE {
				delete(metrics[r.Prefix], r.Metric)
			}
			if len(metrics[r.Prefix]) == 0 {
				t.Errorf("change %d: there is no route to %s", changes, r.Prefix)
			}
		}
	}
}

// A route that is replaced is there at any moment, by whatever it is replaced.
func TestReplacedAtOnce(t *testing.T) {
	enterNetns(t)
	watcher, err := kernel.Watch(4 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Close()
	changes := make(chan int)
	go func() { changes <- told(t, watcher, "10.255.0.0/16") }()
	b := run(t)
	groups := []rib.ExportGroup{groupOf(1, "11 fe80::2 1"), groupOf(2, "11 fe80::2 1", "12 fe80::3 3"), {ID: 3, Type: unix.RTN_BLACKHOLE}}
	both := func(group, metric uint32) []rib.ExportRoute {
		return []rib.ExportRoute{routeTo("10.1.0.0/16", group, metric), routeTo("2001:db8:1::/48", group, metric)}
	}
	b.take(&rib.Export{Groups: groups, Routes: both(1, 20)})
	done, looks := make(chan struct{}), make(chan int)
	reader, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	// Packets find it, too. Not so for IPv6: the kernel answers that there is no
	// route if it has been removed between finding it and counting who uses it.
	go func() {
		n := 0
		defer func() { looks <- n }()
		for ; ; n++ {
			select {
			case <-done:
				return
			default:
			}
			if _, err := reader.RouteGet(net.ParseIP("10.1.2.3")); err != nil && !errors.Is(err, unix.EINVAL) { // that is a blackhole
				t.Errorf("look %d: %v", n, err)
				return
			}
		}
	}()
	const rounds = 200
	for i := range uint32(rounds) {
		b.take(&rib.Export{Routes: both(1+i%3, 20+i/5%2*80)})
	}
	close(done)
	if n := <-looks; n < rounds/10 {
		t.Errorf("%d looks at %d replacements", n, rounds)
	}
	ip(t, "route add blackhole 10.255.0.0/16")
	if n := <-changes; n < 2*rounds {
		t.Errorf("the kernel told of %d changes, want %d", n, 2*rounds)
	}
	if got := strings.Count(b.have(), "metric"); got != 2 {
		t.Errorf("%d routes: %s", got, b.have())
	}
}

// A later Exporter leaves what is equal, replaces what differs, and withdraws what
// nobody wants when all sources are back. Others' routes and objects stay.
func TestRestart(t *testing.T) {
	enterNetns(t)
	ip(t, "nexthop add id %d via 192.0.1.77 dev p1 proto static", FirstID+1)
	ip(t, "route add 10.1.0.0/16 via 192.0.1.77 metric 7")
	ip(t, "route add 10.9.0.0/16 nhid %d metric 20", FirstID+1)
	groups := []rib.ExportGroup{groupOf(1, "11 192.0.1.2 1"), groupOf(2, "11 192.0.1.2 1", "12 192.0.2.2 3"), groupOf(3, "12 192.0.2.2 1")}
	first := run(t)
	first.take(&rib.Export{Groups: groups, Routes: []rib.ExportRoute{
		routeTo("10.1.0.0/16", 1, 20), routeTo("10.2.0.0/16", 2, 20), routeTo("10.3.0.0/16", 3, 20), routeTo("10.4.0.0/16", 3, 20),
	}})
	first.end()
	before := ip(t, "nexthop")
	ids := strings.Fields(ip(t, "route show 10.2.0.0/16"))[2]

	b := run(t)
	again := []rib.ExportGroup{groupOf(7, "12 192.0.2.2 3", "11 192.0.1.2 1"), groupOf(8, "11 192.0.1.2 1")}
	b.take(&rib.Export{Groups: again, Routes: []rib.ExportRoute{routeTo("10.1.0.0/16", 8, 20), routeTo("10.2.0.0/16", 7, 20)}})
	if n := b.Status().Changes; n != 0 {
		t.Errorf("%d messages for what is there", n)
	}
	b.take(&rib.Export{Groups: []rib.ExportGroup{groupOf(9, "11 192.0.1.3 1")}, Routes: []rib.ExportRoute{routeTo("10.3.0.0/16", 9, 20)}})
	b.wants("10.1.0.0/16 metric 20 via 192.0.1.2 p1", "10.2.0.0/16 metric 20 via 192.0.1.2 p1 x1 via 192.0.2.2 p2 x3",
		"10.3.0.0/16 metric 20 via 192.0.1.3 p1", "10.4.0.0/16 metric 20 via 192.0.2.2 p2")
	b.Settle()
	b.idle()
	b.wants("10.1.0.0/16 metric 20 via 192.0.1.2 p1", "10.2.0.0/16 metric 20 via 192.0.1.2 p1 x1 via 192.0.2.2 p2 x3",
		"10.3.0.0/16 metric 20 via 192.0.1.3 p1")
	if got := strings.Fields(ip(t, "route show 10.2.0.0/16"))[2]; got != ids {
		t.Errorf("object %s, before %s", got, ids)
	}
	if n := b.objectsInKernel(); n != 6 { // 3 groups; 3 hops
		t.Errorf("%d objects\n%s\nbefore\n%s", n, ip(t, "nexthop"), before)
	}
	b.end()
	if err := Remove(); err != nil {
		t.Error(err)
	}
	b.wants()
	if got := ip(t, "nexthop"); strings.Count(got, "\n") != 1 || !strings.Contains(got, "192.0.1.77") {
		t.Errorf("objects:\n%s", got)
	}
	for _, want := range []string{"10.1.0.0/16 via 192.0.1.77 dev p1 metric 7", "10.9.0.0/16 nhid"} {
		if got := ip(t, "route"); !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// A route of somebody else stays, and weft's waits for its end.
func TestConflict(t *testing.T) {
	enterNetns(t)
	b := run(t)
	for _, c := range []struct{ family, prefix, other string }{{"-4", "10.1.0.0/16", "192.0.1.77"}, {"-6", "2001:db8:1::/48", "fe80::77"}} {
		ip(t, "route add %s via %s dev p1 metric 20", c.prefix, c.other)
		b.Take(&rib.Export{Groups: []rib.ExportGroup{groupOf(1, "11 fe80::2 1")}, Routes: []rib.ExportRoute{routeTo(c.prefix, 1, 20)}})
		k := key(c.prefix)
		b.until("told", func() bool { return errors.Is(b.Problem(k), ErrConflict) })
		if s := b.Status(); s.Conflicts != 1 || s.Refused != 0 {
			t.Errorf("%+v", s)
		}
		if got := ip(t, "%s route show %s", c.family, c.prefix); !strings.Contains(got, c.other) || strings.Contains(got, "119") {
			t.Errorf("%s: %s", c.prefix, got)
		}
		watcher, err := kernel.Watch(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		ip(t, "route del %s metric 20", c.prefix)
		events, err := watcher.Receive()
		if err != nil {
			t.Fatal(err)
		}
		watcher.Close()
		for _, e := range events {
			b.Observe(e)
		}
		b.until("there", func() bool { return b.Problem(k) == nil && strings.Contains(b.have(), c.prefix) })
		b.idle()
		// And back: somebody replaces it.
		ip(t, "route del %s metric 20", c.prefix)
		ip(t, "route add %s via %s dev p1 metric 20", c.prefix, c.other)
		b.Take(&rib.Export{Lost: []rib.Key{k}})
		b.until("told again", func() bool { return errors.Is(b.Problem(k), ErrConflict) })
		b.take(&rib.Export{Routes: []rib.ExportRoute{routeTo(c.prefix, 0, 20)}})
		if got := ip(t, "%s route show %s", c.family, c.prefix); !strings.Contains(got, c.other) {
			t.Errorf("%s: %q", c.prefix, got)
		}
		if s := b.Status(); s.Conflicts != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// What the kernel drops without a word comes back.
func TestLost(t *testing.T) {
	enterNetns(t)
	b := run(t)
	b.take(&rib.Export{
		Groups: []rib.ExportGroup{groupOf(1, "11 192.0.1.2 1"), groupOf(2, "12 192.0.2.2 1")},
		Routes: []rib.ExportRoute{routeTo("10.1.0.0/16", 1, 20), routeTo("10.2.0.0/16", 2, 20), routeTo("10.3.0.0/16", 2, 20)},
	})
	all := b.have()
	lost := &rib.Export{Lost: []rib.Key{key("10.1.0.0/16"), key("10.2.0.0/16"), key("10.3.0.0/16")}}
	b.take(lost) // it is not true
	b.wants(all)
	ip(t, "link set p2 down")
	ip(t, "route del 10.1.0.0/16")
	ip(t, "link set p2 up")
	if strings.Contains(b.have(), "10.2.0.0/16") {
		t.Fatal("the kernel has kept the route: there is nothing to test")
	}
	b.take(lost)
	b.wants(all)
	// A link without carrier: routes wait for it.
	ip(t, "link set q2 down")
	b.Take(lost)
	b.until("refused", func() bool { return b.Problem(key("10.3.0.0/16")) != nil })
	if s := b.Status(); s.Refused != 2 || s.Conflicts != 0 {
		t.Errorf("%+v", s)
	}
	ip(t, "link set q2 up")
	b.idle()
	b.wants(all)
}
