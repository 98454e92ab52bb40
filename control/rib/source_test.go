package rib

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
)

// offer parses "SOURCE[:ORIGIN] [blackhole|unreachable|prohibit] PREFIX [pref N] [vrf N] [nhid N] [mtu N]
// [nexthop] [via ADDR] [dev N] [weight N]", with "nexthop" before each hop.
func offer(t testing.TB, text string) *Route {
	t.Helper()
	f := strings.Fields(text)
	name, origin, _ := strings.Cut(f[0], ":")
	m := &Route{Source: map[string]Source{"fpm": FPM, "static": Static, "bgp": BGP}[name], Protocol: ProtocolWeft}
	if origin != "" {
		if _, err := fmt.Sscan(origin, &m.Origin); err != nil {
			t.Fatal(err)
		}
	}
	f = f[1:]
	if kind, ok := map[string]Kind{"blackhole": Blackhole, "unreachable": Unreachable, "prohibit": Prohibit}[f[0]]; ok {
		m.Kind, f = kind, f[1:]
	}
	m.Prefix = netip.MustParsePrefix(f[0])
	hop := func() *Hop {
		if len(m.Hops) == 0 {
			m.Hops = append(m.Hops, Hop{})
		}
		return &m.Hops[len(m.Hops)-1]
	}
	for f = f[1:]; len(f) > 0; f = f[2:] {
		if f[0] == "nexthop" {
			m.Hops = append(m.Hops, Hop{})
			f = f[1:]
		}
		if f[0] == "via" {
			hop().Gateway = netip.MustParseAddr(f[1])
			continue
		}
		n := 0
		if _, err := fmt.Sscan(f[1], &n); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		switch f[0] {
		case "dev":
			hop().Link = n
		case "weight":
			hop().Weight = n
		case "pref":
			m.Preference = uint32(n)
		case "vrf":
			m.VRF = uint16(n)
		case "nhid":
			m.NextHop = uint32(n)
		case "mtu":
			m.MTU = uint32(n)
		default:
			t.Fatalf("%s: what is %s?", text, f[0])
		}
	}
	return m
}

func (b *bench) set(text string) {
	b.Helper()
	if err := b.Set(offer(b, text)); err != nil {
		b.Fatalf("%s: %v", text, err)
	}
}

func (b *bench) unset(text string) {
	b.Helper()
	if !b.Unset(offer(b, text)) {
		b.Fatalf("%s: there was none", text)
	}
}

// steps does what texts say, one by one, and publishes: "kernel ROUTE", "-kernel ROUTE", "SOURCE ROUTE", "-SOURCE ROUTE",
// "up N", "down N", "nh SOURCE ID via ADDR dev N", "-nh SOURCE ID".
func (b *bench) steps(texts ...string) {
	b.Helper()
	for _, text := range texts {
		f := strings.Fields(text)
		number := func(i int) (n int) {
			if _, err := fmt.Sscan(f[i], &n); err != nil {
				b.Fatalf("%s: %v", text, err)
			}
			return n
		}
		switch f[0] {
		case "kernel":
			b.SetRoute(route(b, strings.Join(f[1:], " ")), Add)
		case "-kernel":
			b.DeleteRoute(route(b, strings.Join(f[1:], " ")))
		case "up":
			b.SetLink(testLink(number(1)))
		case "down":
			l := testLink(number(1))
			l.Flags = unix.IFF_UP
			b.SetLink(l)
		case "nh":
			n := kernel.NextHop{ID: uint32(number(2)), Hop: kernel.Hop{Gateway: netip.MustParseAddr(f[4]), Link: number(6), Weight: 1}}
			b.SetNextHopOf(FPM, n)
		case "-nh":
			b.DeleteNextHopOf(FPM, uint32(number(2)))
		default:
			if rest, ok := strings.CutPrefix(text, "-"); ok {
				b.unset(rest)
			} else {
				b.set(text)
			}
		}
	}
	b.Publish()
	checkImage(b.TB, b.RIB)
}

const absent = ""

func (b *bench) wants(pairs ...string) {
	b.Helper()
	all := contents(b, b.RIB, 0)
	for i := 0; i < len(pairs); i += 2 {
		if got := all[netip.MustParsePrefix(pairs[i])]; got != pairs[i+1] {
			b.Errorf("%s: %q, want %q", pairs[i], got, pairs[i+1])
		}
	}
}

func TestSources(t *testing.T) {
	connected := "kernel unicast 192.0.2.0/24 dev 1"
	other := "kernel unicast 198.51.100.0/24 dev 2"
	const p = "10.0.0.0/8"
	for name, c := range map[string]struct {
		steps []string
		want  string
	}{
		"direct":                {[]string{"static 10.0.0.0/8 via 192.0.2.1 dev 1"}, "1 192.0.2.1 x1"},
		"lowest preference":     {[]string{"bgp 10.0.0.0/8 pref 20 via 192.0.2.1 dev 1", "static 10.0.0.0/8 pref 1 via 192.0.2.2 dev 1"}, "1 192.0.2.2 x1"},
		"the kernel's metric":   {[]string{"bgp 10.0.0.0/8 pref 20 via 192.0.2.1 dev 1", "kernel unicast 10.0.0.0/8 via 192.0.2.3 dev 1 metric 10"}, "1 192.0.2.3 x1"},
		"behind the kernel":     {[]string{"static 10.0.0.0/8 pref 20 via 192.0.2.1 dev 1", "kernel unicast 10.0.0.0/8 via 192.0.2.3 dev 1 metric 20"}, "1 192.0.2.3 x1"},
		"FPM before the kernel": {[]string{"fpm 10.0.0.0/8 pref 20 via 192.0.2.1 dev 1", "kernel unicast 10.0.0.0/8 via 192.0.2.3 dev 1 metric 20"}, "1 192.0.2.1 x1"},
		"static before BGP":     {[]string{"bgp 10.0.0.0/8 pref 20 via 192.0.2.1 dev 1", "static 10.0.0.0/8 pref 20 via 192.0.2.2 dev 1"}, "1 192.0.2.2 x1"},
		"replaced":              {[]string{"bgp 10.0.0.0/8 via 192.0.2.1 dev 1", "bgp 10.0.0.0/8 via 192.0.2.2 dev 1"}, "1 192.0.2.2 x1"},
		"taken back": {[]string{"bgp 10.0.0.0/8 pref 20 via 192.0.2.1 dev 1", "static 10.0.0.0/8 pref 1 via 192.0.2.2 dev 1",
			"-static 10.0.0.0/8"}, "1 192.0.2.1 x1"},
		"two origins": {[]string{"bgp:1 10.0.0.0/8 pref 20 via 192.0.2.1 dev 1", "bgp:2 10.0.0.0/8 pref 20 via 198.51.100.1 dev 2"},
			"1 192.0.2.1 x1, 2 198.51.100.1 x1"},
		"two origins, one better": {[]string{"bgp:1 10.0.0.0/8 pref 20 via 192.0.2.1 dev 1", "bgp:2 10.0.0.0/8 pref 10 via 198.51.100.1 dev 2"},
			"2 198.51.100.1 x1"},
		"one of two origins goes": {[]string{"bgp:1 10.0.0.0/8 via 192.0.2.1 dev 1", "bgp:2 10.0.0.0/8 via 198.51.100.1 dev 2", "-bgp:1 10.0.0.0/8"},
			"2 198.51.100.1 x1"},
		"blackhole":   {[]string{"static blackhole 10.0.0.0/8"}, "blackhole"},
		"unreachable": {[]string{"static unreachable 10.0.0.0/8"}, "reject 1"},
		"prohibit":    {[]string{"static prohibit 10.0.0.0/8"}, "reject 13"},
		"attached":    {[]string{"static 10.0.0.0/8 dev 2"}, "glean 2"},
		"weights": {[]string{"static 10.0.0.0/8 nexthop via 192.0.2.1 dev 1 weight 3 nexthop via 198.51.100.1 dev 2"},
			"1 192.0.2.1 x3, 2 198.51.100.1 x1"},
		"its link is down":              {[]string{"static 10.0.0.0/8 via 192.0.2.1 dev 1", "down 1"}, absent},
		"its link is down, the next":    {[]string{"static 10.0.0.0/8 pref 1 via 192.0.2.1 dev 1", "bgp 10.0.0.0/8 pref 20 via 198.51.100.1 dev 2", "down 1"}, "2 198.51.100.1 x1"},
		"its link comes up":             {[]string{"static 10.0.0.0/8 via 192.0.2.1 dev 1", "down 1", "up 1"}, "1 192.0.2.1 x1"},
		"one of two links is down":      {[]string{"static 10.0.0.0/8 nexthop via 192.0.2.1 dev 1 nexthop via 198.51.100.1 dev 2", "down 1"}, "2 198.51.100.1 x1"},
		"found":                         {[]string{"bgp 10.0.0.0/8 via 192.0.2.9"}, "1 192.0.2.9 x1"},
		"found afterwards":              {[]string{"-kernel unicast 192.0.2.0/24 dev 1", "bgp 10.0.0.0/8 via 192.0.2.9", connected}, "1 192.0.2.9 x1"},
		"not found":                     {[]string{"bgp 10.0.0.0/8 via 203.0.113.1"}, absent},
		"no longer found":               {[]string{"bgp 10.0.0.0/8 via 192.0.2.9", "-kernel unicast 192.0.2.0/24 dev 1"}, absent},
		"not found, the next":           {[]string{"bgp 10.0.0.0/8 pref 20 via 203.0.113.1", "bgp:2 10.0.0.0/8 pref 200 via 192.0.2.1"}, "1 192.0.2.1 x1"},
		"by the longest match":          {[]string{"bgp 10.0.0.0/8 via 192.0.2.9", "kernel unicast 192.0.2.9/32 via 198.51.100.1 dev 2"}, "2 198.51.100.1 x1"},
		"by a route of another":         {[]string{"bgp 10.0.0.0/8 via 203.0.113.1", "static 203.0.113.0/24 via 198.51.100.1"}, "2 198.51.100.1 x1"},
		"by an object of the kernel":    {[]string{"bgp 10.0.0.0/8 via 203.0.113.1", "kernel unicast 203.0.113.0/24 nhid 9"}, absent},
		"two hops, one not found":       {[]string{"bgp 10.0.0.0/8 nexthop via 203.0.113.1 nexthop via 192.0.2.1"}, "1 192.0.2.1 x1"},
		"one link is down on the way":   {[]string{"bgp 10.0.0.0/8 via 203.0.113.1", "kernel unicast 203.0.113.0/24 nexthop via 192.0.2.1 dev 1 nexthop via 198.51.100.1 dev 2", "down 1"}, "2 198.51.100.1 x1"},
		"through the default route":     {[]string{"bgp 10.0.0.0/8 via 203.0.113.1", "kernel unicast 0.0.0.0/0 via 192.0.2.1 dev 1"}, absent},
		"through a blackhole":           {[]string{"bgp 10.0.0.0/8 via 203.0.113.1", "static blackhole 203.0.113.1/32"}, "blackhole"},
		"through an unreachable route":  {[]string{"bgp 10.0.0.0/8 via 203.0.113.1", "kernel prohibit 203.0.113.1/32"}, "reject 13"},
		"through an address of ours":    {[]string{"bgp 10.0.0.0/8 via 203.0.113.1", "kernel local 203.0.113.1/32 table 255"}, absent},
		"through itself":                {[]string{"bgp 10.0.0.0/8 via 10.0.0.1"}, absent},
		"through itself, around it":     {[]string{"bgp 10.0.0.0/8 via 10.0.0.1", "kernel unicast 10.0.0.0/7 via 192.0.2.1 dev 1"}, "1 192.0.2.1 x1"},
		"in a circle":                   {[]string{"bgp 10.0.0.0/8 via 172.16.0.1", "bgp 172.16.0.0/12 via 10.0.0.1"}, absent},
		"in a circle, and out":          {[]string{"bgp 10.0.0.0/8 via 172.16.0.1", "bgp 172.16.0.0/12 via 10.0.0.1", "static 172.16.0.0/12 pref 9 via 192.0.2.1"}, "1 192.0.2.1 x1"},
		"IPv6 gateway":                  {[]string{"bgp 10.0.0.0/8 via 2001:db8::1", "kernel unicast 2001:db8::/64 dev 2"}, "2 2001:db8::1 x1"},
		"an unreachable IPv6 gateway":   {[]string{"bgp 10.0.0.0/8 via 2001:db8::1", "kernel unreachable 2001:db8::/64"}, "reject 1"},
		"shares":                        {[]string{"bgp 10.0.0.0/8 nexthop via 203.0.113.1 weight 2 nexthop via 192.0.2.7", "kernel unicast 203.0.113.0/24 nexthop via 192.0.2.1 dev 1 weight 3 nexthop via 198.51.100.1 dev 2"}, "1 192.0.2.1 x3, 1 192.0.2.7 x2, 2 198.51.100.1 x1"},
		"the same hop twice":            {[]string{"bgp 10.0.0.0/8 nexthop via 192.0.2.1 nexthop via 203.0.113.1 nexthop via 192.0.2.2", "static 203.0.113.0/24 via 192.0.2.1"}, "1 192.0.2.1 x2, 1 192.0.2.2 x1"},
		"an object that is not known":   {[]string{"fpm 10.0.0.0/8 nhid 7"}, absent},
		"an object that comes":          {[]string{"fpm 10.0.0.0/8 nhid 7", "nh fpm 7 via 192.0.2.1 dev 1"}, "1 192.0.2.1 x1"},
		"an object that goes":           {[]string{"nh fpm 7 via 192.0.2.1 dev 1", "fpm 10.0.0.0/8 nhid 7", "-nh fpm 7"}, absent},
		"an object that changes":        {[]string{"nh fpm 7 via 192.0.2.1 dev 1", "fpm 10.0.0.0/8 nhid 7", "nh fpm 7 via 198.51.100.1 dev 2"}, "2 198.51.100.1 x1"},
		"a kernel's object of a number": {[]string{"nh fpm 7 via 192.0.2.1 dev 1", "kernel unicast 10.0.0.0/8 nhid 7"}, "punt 3"},
		"own in the kernel":             {[]string{"kernel unicast 10.0.0.0/8 via 192.0.2.1 dev 1 metric 1 proto 119"}, absent},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, Options{})
			b.steps(connected, other)
			for _, s := range c.steps {
				b.steps(s)
			}
			b.wants(p, c.want)
			// At once, and in one publication.
			again := newBench(t, Options{})
			again.steps(append([]string{connected, other}, c.steps...)...)
			again.wants(p, c.want)
		})
	}
}

func TestThroughDefault(t *testing.T) {
	b := newBench(t, Options{ThroughDefault: true})
	b.steps("bgp 10.0.0.0/8 via 203.0.113.1", "kernel unicast 0.0.0.0/0 via 192.0.2.1 dev 1",
		// In a circle, and each out through the default route: whichever came first.
		"bgp 172.16.0.0/12 via 172.31.0.1", "bgp 172.31.0.0/16 via 172.16.0.1")
	b.wants("10.0.0.0/8", "1 192.0.2.1 x1", "172.16.0.0/12", "1 192.0.2.1 x1", "172.31.0.0/16", "1 192.0.2.1 x1")
	b.steps("-kernel unicast 0.0.0.0/0 via 192.0.2.1 dev 1")
	b.wants("10.0.0.0/8", absent, "172.16.0.0/12", absent, "172.31.0.0/16", absent)
}

func TestDepth(t *testing.T) {
	b := newBench(t, Options{})
	b.steps("kernel unicast 192.0.2.0/24 dev 1")
	for i := 1; i <= maxDepth+1; i++ { // 10.N.0.0/16 through 10.N-1.0.1
		via := "192.0.2.1"
		if i > 1 {
			via = fmt.Sprintf("10.%d.0.1", i-1)
		}
		b.steps(fmt.Sprintf("static 10.%d.0.0/16 via %s", i, via))
	}
	b.wants(fmt.Sprintf("10.%d.0.0/16", maxDepth), "1 192.0.2.1 x1", fmt.Sprintf("10.%d.0.0/16", maxDepth+1), absent)
}

func TestManyPaths(t *testing.T) {
	b := newBench(t, Options{})
	b.steps("kernel unicast 192.0.0.0/16 dev 1")
	var hops []string
	for i := range 250 {
		hops = append(hops, fmt.Sprintf("nexthop via 192.0.2.%d", i+1))
	}
	b.steps("static 203.0.113.0/24 "+strings.Join(hops, " "), "static 198.18.0.0/15 "+strings.ReplaceAll(strings.Join(hops, " "), "192.0.2.", "192.0.3."))
	b.steps("bgp 10.0.0.0/8 nexthop via 203.0.113.1 nexthop via 198.18.0.1")
	if got := strings.Count(contents(t, b.RIB, 0)[netip.MustParsePrefix("10.0.0.0/8")], "x1"); got != 256 {
		t.Errorf("%d members, want 256", got)
	}
}

// What weft answers does not depend on the number of prefixes: one group is written.
func TestGatewayChangesOnce(t *testing.T) {
	b := newBench(t, Options{})
	b.steps("kernel unicast 192.0.2.0/24 dev 1", "kernel unicast 198.51.100.0/24 dev 2", "static 203.0.113.0/24 via 192.0.2.1")
	for i := range 200 {
		b.set(fmt.Sprintf("bgp 10.%d.0.0/16 via 203.0.113.1", i))
	}
	b.Publish()
	groups, before := b.Counts().Groups, b.At(KeyOf(0, netip.MustParsePrefix("10.7.0.0/16")))[0].Group
	b.steps("static 203.0.113.0/24 via 198.51.100.1")
	b.wants("10.7.0.0/16", "2 198.51.100.1 x1", "10.199.0.0/16", "2 198.51.100.1 x1")
	if after := b.At(KeyOf(0, netip.MustParsePrefix("10.7.0.0/16")))[0].Group; after != before || b.Counts().Groups != groups {
		t.Errorf("group %d of %d, before %d of %d", after, b.Counts().Groups, before, groups)
	}
}

func TestFailedNeighbor(t *testing.T) {
	b := newBench(t, Options{})
	b.steps("static 10.0.0.0/8 nexthop via 192.0.2.1 dev 1 nexthop via 198.51.100.1 dev 2")
	b.SetNeighbor(neighbor(1, "192.0.2.1", unix.NUD_FAILED))
	b.wants("10.0.0.0/8", "2 198.51.100.1 x1")
	asked := map[string]bool{}
	ask := func() {
		clear(asked)
		b.Idle(nil, func(_ int, a netip.Addr) { asked[a.String()] = true })
	}
	if ask(); !asked["192.0.2.1"] {
		t.Error("a neighbor that has failed is not asked again")
	}
	b.SetNeighbor(neighbor(1, "192.0.2.1", unix.NUD_INCOMPLETE)) // asked, and not answered
	b.wants("10.0.0.0/8", "2 198.51.100.1 x1")
	b.SetNeighbor(neighbor(2, "198.51.100.1", unix.NUD_FAILED)) // none left: the kernel is to ask
	b.wants("10.0.0.0/8", "1 192.0.2.1 x1, 2 198.51.100.1 x1")
	b.SetNeighbor(neighbor(1, "192.0.2.1", unix.NUD_REACHABLE))
	b.wants("10.0.0.0/8", "1 192.0.2.1 x1 0200000100010200000000010800")
	checkImage(t, b.RIB)
}

func TestReplay(t *testing.T) {
	b := newBench(t, Options{})
	b.steps("kernel unicast 10.3.0.0/16 via 192.0.2.1 dev 1", "fpm 10.1.0.0/16 via 192.0.2.1 dev 1", "fpm 10.2.0.0/16 via 192.0.2.1 dev 1",
		"static 10.4.0.0/16 via 192.0.2.1 dev 1", "nh fpm 7 via 192.0.2.1 dev 1", "fpm 10.5.0.0/16 nhid 7")
	b.BeginReplay(FPM)
	b.steps("fpm 10.2.0.0/16 via 192.0.2.1 dev 1", "fpm 10.5.0.0/16 nhid 7")
	b.wants("10.1.0.0/16", "1 192.0.2.1 x1") // until the end
	if n := b.EndReplay(FPM); n != 1 {
		t.Errorf("%d removed, want 1", n)
	}
	b.Publish()
	b.wants("10.1.0.0/16", absent, "10.2.0.0/16", "1 192.0.2.1 x1", "10.3.0.0/16", "1 192.0.2.1 x1", "10.4.0.0/16", "1 192.0.2.1 x1",
		"10.5.0.0/16", absent) // its object was not given again
	if c := b.Counts(); c.Parked != 1 || c.Unresolved != 1 {
		t.Errorf("%+v", c)
	}
	checkImage(t, b.RIB)
	// A synchronization with the kernel takes nothing from other sources.
	b.BeginSync()
	for _, n := range []int{1, 2, 3, 9} {
		b.SetLink(testLink(n))
	}
	b.EndSync()
	b.wants("10.2.0.0/16", "1 192.0.2.1 x1", "10.3.0.0/16", absent, "10.4.0.0/16", "1 192.0.2.1 x1")
}

func TestParkedKernelRoutes(t *testing.T) {
	b := newBench(t, Options{})
	b.steps("kernel unicast 10.1.0.0/16 nhid 5", "kernel unicast 10.2.0.0/16 nhid 5", "kernel unicast 10.3.0.0/16 via 192.0.2.1 dev 4")
	if c := b.Counts(); c.Parked != 3 {
		t.Errorf("%d parked, want 3", c.Parked)
	}
	b.wants("10.1.0.0/16", "punt 3", "10.3.0.0/16", "punt 2")
	b.SetNextHop(kernel.NextHop{ID: 5, Hop: kernel.Hop{Link: 1, Gateway: netip.MustParseAddr("192.0.2.1"), Weight: 1}})
	b.steps("up 4")
	if c := b.Counts(); c.Parked != 0 {
		t.Errorf("%d parked, want 0", c.Parked)
	}
	b.wants("10.1.0.0/16", "1 192.0.2.1 x1", "10.2.0.0/16", "1 192.0.2.1 x1", "10.3.0.0/16", "4 192.0.2.1 x1")
}

func TestState(t *testing.T) {
	b := newBench(t, Options{})
	b.steps("static 10.0.0.0/8 pref 1 via 192.0.2.1 dev 1", "bgp:1 10.0.0.0/8 pref 20 via 192.0.2.1 dev 1", "bgp:2 10.0.0.0/8 pref 20 via 203.0.113.1",
		"bgp:3 11.0.0.0/8 pref 20 via 192.0.2.1 dev 1", "bgp:4 11.0.0.0/8 pref 20 via 192.0.2.2 dev 1", "bgp:5 11.0.0.0/8 pref 21 via 192.0.2.2 dev 1")
	for _, c := range []struct {
		prefix string
		source Source
		origin uint32
		want   State
	}{
		{"10.0.0.0/8", Static, 0, Installed}, {"10.0.0.0/8", BGP, 1, NotBest}, {"10.0.0.0/8", BGP, 2, Unresolved}, {"10.0.0.0/8", BGP, 3, Absent},
		{"11.0.0.0/8", BGP, 3, Installed}, {"11.0.0.0/8", BGP, 4, Installed}, {"11.0.0.0/8", BGP, 5, NotBest}, {"12.0.0.0/8", Static, 0, Absent},
	} {
		if got := b.State(0, netip.MustParsePrefix(c.prefix), c.source, c.origin); got != c.want {
			t.Errorf("%s of %s %d: %d, want %d", c.prefix, c.source, c.origin, got, c.want)
		}
	}
}

// A source is told which of its routes an image that is full has no room for.
func TestStateOfFullImage(t *testing.T) {
	r := New(testImage(t, 1<<16), Options{Ports: portsBelow(9), Reasons: testReasons})
	r.BeginSync()
	r.SetLink(testLink(1))
	r.EndSync()
	n := 0
	for ; r.Counts().NotInstalled == 0 && n < 1<<16; n++ {
		m := offer(t, "bgp 10.0.0.0/24 via 192.0.2.1 dev 1")
		m.Prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 0}), 24)
		if err := r.Set(m); err != nil {
			t.Fatal(err)
		}
	}
	r.Publish()
	last := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte((n - 1) >> 8), byte(n - 1), 0}), 24)
	if got := r.State(0, last, BGP, 0); got != NotInstalled {
		t.Errorf("%s, the first that does not fit: %d", last, got)
	}
	if got := r.State(0, netip.MustParsePrefix("10.0.0.0/24"), BGP, 0); got != Installed {
		t.Errorf("the first: %d", got)
	}
}

func TestRefusedRoutes(t *testing.T) {
	b := newBench(t, Options{})
	for text, want := range map[string]error{
		"static 127.0.0.0/9 via 192.0.2.1":         ErrReserved,
		"static 10.0.0.0/8 vrf 3 via 192.0.2.1":    ErrVRF,
		"static 10.0.0.1/8 via 192.0.2.1":          ErrRoute,
		"static 10.0.0.0/8":                        ErrRoute,
		"static 10.0.0.0/8 via fe80::1":            ErrRoute,
		"static 2001:db8::/32 via 192.0.2.1":       ErrRoute,
		"static 10.0.0.0/8 via 224.0.0.1":          ErrRoute,
		"static 10.0.0.0/8 via ::ffff:192.0.2.1":   ErrRoute,
		"static 10.0.0.0/8 via 192.0.2.1 dev -1":   ErrRoute,
		"static 10.0.0.0/8 weight 70000 dev 1":     ErrRoute,
		"static 10.0.0.0/8 nexthop via 0.0.0.0":    ErrRoute,
		"kernel 10.0.0.0/8 via 192.0.2.1":          ErrRoute,
		"static ::ffff:10.0.0.0/104 via 192.0.2.1": ErrRoute,
	} {
		if err := b.Set(offer(t, text)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
	if c := b.Counts(); c.Candidates != newBench(t, Options{}).Counts().Candidates {
		t.Errorf("%+v", c)
	}
}

func TestWhy(t *testing.T) {
	b := newBench(t, Options{})
	b.steps("kernel unicast 10.0.0.0/8 via 192.0.2.9 dev 1 metric 20", "static 10.0.0.0/8 pref 1 via 203.0.113.1", "bgp:1 10.0.0.0/8 pref 20 via 192.0.2.1 dev 1",
		"fpm 10.0.0.0/8 pref 20 nhid 4", "bgp 11.0.0.0/8 via 192.0.2.1 dev 1")
	var got []string
	for _, c := range append(b.At(KeyOf(0, netip.MustParsePrefix("10.0.0.0/8"))), b.At(KeyOf(0, netip.MustParsePrefix("11.0.0.0/8")))...) {
		got = append(got, fmt.Sprintf("%s %d %v: %s", c.Offered, c.Metric, c.Selected, c.Why))
	}
	want := []string{
		"static 1 false: no route leads to gateway 203.0.113.1", "fpm 20 false: next-hop object 4 is not known",
		"kernel 20 true: kernel goes before bgp with the same preference", "bgp 20 false: kernel goes before bgp with the same preference",
		"bgp 0 true: the only route",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A link goes that half of the next hops of many routes lead over: the first publication has
// all packets go by the other half, though the routes are worked off some at a time.
func TestManyRoutesLoseALink(t *testing.T) {
	b := newBench(t, Options{})
	const routes = 2*sweepAtOnce + 10
	b.add("unicast 192.0.2.0/24 dev 1")
	b.add("unicast 198.51.100.0/24 dev 2")
	prefix := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i)}), 24)
	}
	for i := range routes {
		for origin, gateway := range []string{"192.0.2.1", "198.51.100.1"} {
			if err := b.Set(&Route{
				Prefix: prefix(i), Source: BGP, Origin: uint32(origin), Protocol: ProtocolWeft, Preference: 20,
				Hops: []Hop{{Gateway: netip.MustParseAddr(gateway)}},
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.Publish()
	all := func(want string) {
		t.Helper()
		has := contents(t, b.RIB, 0)
		for i := range routes {
			if has[prefix(i)] != want {
				t.Fatalf("%s: %q, want %q", prefix(i), has[prefix(i)], want)
			}
		}
	}
	both, other := "1 192.0.2.1 x1, 2 198.51.100.1 x1", "2 198.51.100.1 x1"
	all(both)
	link := testLink(1)
	link.Flags = unix.IFF_UP
	for _, c := range []struct {
		link kernel.Link
		want string
	}{{link, other}, {testLink(1), both}} {
		b.SetLink(c.link)
		b.Publish()
		if c.want == other {
			all(other)
		}
		if !b.IsBehind() {
			t.Errorf("%d routes are done with one publication", routes)
		}
		for range routes / sweepAtOnce {
			b.Publish()
		}
		if b.IsBehind() {
			t.Errorf("there is more to do after %d publications", routes/sweepAtOnce+1)
		}
		all(c.want)
		checkImage(t, b.RIB)
	}
}
