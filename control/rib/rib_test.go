package rib

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
	"weft/fib"
)

var testReasons = Reasons{
	NoPort: 1, LinkDown: 2, Unresolved: 3, Broadcast: 4, Multicast: 5, LinkLocal: 6, Martian: 7, Throw: 8, Encap: 9, Policy: 10,
}

// portsBelow makes ports of the links with lower numbers.
type portsBelow int

func (n portsBelow) Number(link int) (uint32, bool) { return uint32(link + 100), link < int(n) }

const upAndRunning = unix.IFF_UP | unix.IFF_LOWER_UP

func testLink(index int) kernel.Link {
	return kernel.Link{
		Index: index, Name: fmt.Sprintf("port%d", index), Type: 1, Flags: upAndRunning, MTU: 1500,
		MAC: kernel.MAC{2, 0, 0, 0, 0, byte(index)}, HasMAC: true,
	}
}

func testImage(t testing.TB, size int) *fib.Image {
	t.Helper()
	im, err := fib.Create(make([]byte, size), fib.Options{VRFs: 16})
	if err != nil {
		t.Fatal(err)
	}
	return im
}

// bench is a RIB with links 1 to 3 as ports and link 9 as none.
type bench struct {
	testing.TB
	*RIB
}

func newBench(t testing.TB, options Options) *bench {
	t.Helper()
	options.Ports, options.Reasons = portsBelow(9), testReasons
	b := &bench{t, New(testImage(t, 1<<20), options)}
	b.BeginSync()
	for _, n := range []int{1, 2, 3, 9} {
		b.SetLink(testLink(n))
	}
	b.EndSync()
	return b
}

// route parses "TYPE PREFIX [via ADDR] [dev N] [weight N] [metric N] [table N] [nhid N] [mtu N] [tos N]
// [encap]", with "nexthop" before each hop of several.
func route(t testing.TB, text string) *kernel.Route {
	t.Helper()
	f := strings.Fields(text)
	r := &kernel.Route{Table: tableMain, Type: map[string]uint8{
		"unicast": unix.RTN_UNICAST, "local": unix.RTN_LOCAL, "broadcast": unix.RTN_BROADCAST, "anycast": unix.RTN_ANYCAST,
		"multicast": unix.RTN_MULTICAST, "blackhole": unix.RTN_BLACKHOLE, "unreachable": unix.RTN_UNREACHABLE,
		"prohibit": unix.RTN_PROHIBIT, "throw": unix.RTN_THROW, "nat": unix.RTN_NAT,
	}[f[0]], Prefix: netip.MustParsePrefix(f[1])}
	hop := func() *kernel.Hop {
		if len(r.Hops) == 0 {
			r.Hops = append(r.Hops, kernel.Hop{Weight: 1})
		}
		return &r.Hops[len(r.Hops)-1]
	}
	for f = f[2:]; len(f) > 0; f = f[1:] {
		if f[0] == "nexthop" {
			r.Hops = append(r.Hops, kernel.Hop{Weight: 1})
			continue
		}
		if f[0] == "encap" {
			hop().Encap = true
			continue
		}
		n := 0
		if f[0] != "via" {
			if _, err := fmt.Sscan(f[1], &n); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
		switch f[0] {
		case "via":
			hop().Gateway = netip.MustParseAddr(f[1])
		case "dev":
			hop().Link = n
		case "weight":
			hop().Weight = n
		case "metric":
			r.Metric = uint32(n)
		case "table":
			r.Table = uint32(n)
		case "nhid":
			r.NextHop = uint32(n)
		case "mtu":
			r.MTU = uint32(n)
		case "proto":
			r.Protocol = uint8(n)
		case "tos":
			r.TOS = uint8(n)
		default:
			t.Fatalf("%s: what is %s?", text, f[0])
		}
		f = f[1:]
	}
	return r
}

func (b *bench) add(text string) {
	b.Helper()
	b.SetRoute(route(b, text), Add)
	b.Publish()
}

func (b *bench) change(how Change, text string) {
	b.Helper()
	b.SetRoute(route(b, text), how)
	b.Publish()
}

func (b *bench) del(text string) {
	b.Helper()
	b.DeleteRoute(route(b, text))
	b.Publish()
}

func neighbor(link int, addr string, state uint16) kernel.Neighbor {
	a := netip.MustParseAddr(addr)
	s := a.AsSlice()
	return kernel.Neighbor{Link: link, Addr: a, MAC: kernel.MAC{2, 0, 0, 1, 0, s[len(s)-1]}, HasMAC: state != unix.NUD_FAILED, State: state}
}

func (b *bench) want(prefix, want string) {
	b.Helper()
	b.wantIn(0, prefix, want)
}

func (b *bench) wantIn(vrf int, prefix, want string) {
	b.Helper()
	if got := contents(b, b.RIB, vrf)[netip.MustParsePrefix(prefix)]; got != want {
		b.Errorf("%s: got %q, want %q", prefix, got, want)
	}
	if c := b.Counts(); c.Failed != 0 {
		b.Errorf("%+v", c)
	}
}

// contents says what the image holds for a VRF.
func contents(t testing.TB, r *RIB, vrf int) map[netip.Prefix]string {
	t.Helper()
	table, err := r.Image().Table(vrf)
	if err != nil {
		t.Fatal(err)
	}
	all := map[netip.Prefix]string{}
	for p, id := range table.All() {
		g, err := r.Image().Group(id)
		if err != nil {
			t.Fatal(err)
		}
		all[p] = describe(t, r, g)
	}
	return all
}

func describe(t testing.TB, r *RIB, g fib.Group) string {
	t.Helper()
	switch g.Kind {
	case fib.Local:
		return "local"
	case fib.Glean:
		if g.MTU != 0 {
			return fmt.Sprintf("glean %d mtu %d", g.Port-100, g.MTU)
		}
		return fmt.Sprintf("glean %d", g.Port-100)
	case fib.Blackhole:
		return "blackhole"
	case fib.Reject:
		return fmt.Sprintf("reject %d", g.Code)
	case fib.Punt:
		return fmt.Sprintf("punt %d", g.Reason)
	}
	var members []string
	for _, m := range g.Members {
		a, ok := r.Image().Adjacency(m.Adjacency)
		if !ok {
			t.Fatalf("no adjacency %d", m.Adjacency)
		}
		s := fmt.Sprintf("%d %s x%d", a.Port-100, a.Neighbor, m.Weight)
		if a.MTU != 1500 {
			s += fmt.Sprintf(" mtu %d", a.MTU)
		}
		if a.Complete {
			s += fmt.Sprintf(" %x", a.Rewrite[:a.RewriteLen])
		}
		members = append(members, s)
	}
	slices.Sort(members)
	return strings.Join(members, ", ")
}

func TestAnswers(t *testing.T) {
	b := newBench(t, Options{})
	b.SetNextHop(kernel.NextHop{ID: 1, Hop: kernel.Hop{Link: 1, Gateway: netip.MustParseAddr("192.0.2.1"), Weight: 1}})
	b.SetNextHop(kernel.NextHop{ID: 2, Hop: kernel.Hop{Link: 2, Gateway: netip.MustParseAddr("fe80::2"), Weight: 1}})
	b.SetNextHop(kernel.NextHop{ID: 3, Blackhole: true})
	b.SetNextHop(kernel.NextHop{ID: 10, Members: []kernel.NextHopMember{{ID: 1, Weight: 3}, {ID: 2, Weight: 1}, {ID: 99, Weight: 1}}})
	for _, c := range []struct{ route, want string }{
		{"unicast 10.0.0.0/8 via 192.0.2.1 dev 1", "1 192.0.2.1 x1"},
		{"unicast 10.0.0.0/8 via fe80::2 dev 1", "1 fe80::2 x1"},
		{"unicast 10.0.0.0/8 via 192.0.2.1 dev 1 mtu 1400", "1 192.0.2.1 x1 mtu 1400"},
		{"unicast 10.0.0.0/8 dev 1 mtu 1400", "glean 1 mtu 1400"},
		{"unicast 10.0.0.0/8 via 192.0.2.1 dev 1 mtu 9000", "1 192.0.2.1 x1"},
		{"unicast 2001:db8::/32 via ::ffff:192.0.2.1 dev 1", "punt 10"},
		{"unicast 2001:db8::/32 nexthop via fe80::1 dev 1 nexthop via ::ffff:192.0.2.1 dev 2", "punt 10"},
		{"unicast 10.0.0.0/8 dev 1", "glean 1"},
		{"unicast 10.0.0.0/8 dev 9", "punt 1"},
		{"unicast 10.0.0.0/8 via 192.0.2.1 dev 9", "punt 1"},
		{"unicast 10.0.0.0/8 via 192.0.2.1 dev 7", "punt 2"},
		{"unicast 10.0.0.0/8", "punt 3"},
		{"unicast 10.0.0.0/8 via 192.0.2.1 dev 1 encap", "punt 9"},
		{"unicast 10.0.0.0/8 nexthop via 192.0.2.1 dev 1 weight 2 nexthop via 192.0.2.2 dev 2", "1 192.0.2.1 x2, 2 192.0.2.2 x1"},
		{"unicast 10.0.0.0/8 nexthop via 192.0.2.1 dev 1 weight 2 nexthop via 192.0.2.1 dev 1", "1 192.0.2.1 x3"},
		{"unicast 10.0.0.0/8 nexthop via 192.0.2.1 dev 1 nexthop via 192.0.2.2 dev 7", "1 192.0.2.1 x1"},
		{"unicast 10.0.0.0/8 nexthop via 192.0.2.1 dev 1 nexthop via 192.0.2.2 dev 9", "punt 1"},
		{"unicast 10.0.0.0/8 nexthop via 192.0.2.1 dev 1 nexthop dev 2", "punt 10"},
		{"unicast 10.0.0.0/8 nhid 1", "1 192.0.2.1 x1"},
		{"unicast 10.0.0.0/8 nhid 3", "blackhole"},
		{"unicast 10.0.0.0/8 nhid 10", "1 192.0.2.1 x3, 2 fe80::2 x1"},
		{"unicast 10.0.0.0/8 nhid 77", "punt 3"},
		{"unicast 10.0.0.0/8 via 192.0.2.1 dev 1 tos 8", "punt 10"},
		{"local 10.0.0.0/8 dev 1 table 255", "local"},
		{"anycast 2001:db8::/128 dev 1 table 255", "local"},
		{"broadcast 10.0.0.0/8 dev 1 table 255", "punt 4"},
		{"multicast 10.0.0.0/8 dev 1 table 255", "punt 5"},
		{"blackhole 10.0.0.0/8", "blackhole"},
		{"unreachable 10.0.0.0/8", "reject 1"},
		{"unreachable 2001:db8::/32", "reject 0"},
		{"prohibit 10.0.0.0/8", "reject 13"},
		{"prohibit 2001:db8::/32", "reject 1"},
		{"throw 10.0.0.0/8", "punt 8"},
		{"nat 10.0.0.0/8", "punt 10"},
		{"unicast 10.0.0.0/8 via 192.0.2.1 dev 1 table 100", ""}, // no VRF
		{"unicast ff02::/16 dev 1", ""},                          // ff00::/8 punts
		{"unicast fe80::/64 dev 1", ""},
		{"unicast 127.1.0.0/16 via 192.0.2.1 dev 1", ""},
		{"unicast ::ffff:10.0.0.0/104 via fe80::1 dev 1", ""},
		{"unicast 0.0.0.0/0 via 192.0.2.1 dev 1", "1 192.0.2.1 x1"},
	} {
		prefix := strings.Fields(c.route)[1]
		b.add(c.route)
		b.want(prefix, c.want)
		b.del(c.route)
		b.want(prefix, "")
	}
	for prefix, want := range map[string]string{
		"0.0.0.0/8": "punt 7", "127.0.0.0/8": "punt 7", "224.0.0.0/4": "punt 5", "255.255.255.255/32": "punt 4", "fe80::/10": "punt 6", "ff00::/8": "punt 5",
	} {
		b.want(prefix, want)
	}
	if c := b.Counts(); c.Candidates != len(reserved) || c.Adjacencies != 0 || c.Unmatched != 0 {
		t.Errorf("left over: %+v", c)
	}
}

// Two interfaces bring one address: it is there until both are gone.
func TestAddressOfTwoLinks(t *testing.T) {
	b := newBench(t, Options{})
	for _, c := range []struct{ route, want string }{
		{"anycast 2001:db8::/128 table 255", "local"},
		{"local 10.0.0.1/32 table 255", "local"},
		{"broadcast 10.0.0.255/32 table 255", "punt 4"},
	} {
		prefix := strings.Fields(c.route)[1]
		for _, first := range []int{1, 2} {
			b.add(c.route + " dev 1")
			b.add(c.route + " dev 2")
			b.del(fmt.Sprintf("%s dev %d", c.route, first))
			b.want(prefix, c.want)
			b.del(fmt.Sprintf("%s dev %d", c.route, 3-first))
			b.want(prefix, "")
		}
	}
	if c := b.Counts(); c.Candidates != len(reserved) || c.Unmatched != 0 {
		t.Errorf("left over: %+v", c)
	}
}

// One interface has two subnets that end with the same address.
func TestBroadcastOfTwoSubnets(t *testing.T) {
	b := newBench(t, Options{})
	from := func(source string) *kernel.Route {
		r := route(t, "broadcast 10.2.255.255/32 dev 1 table 255")
		r.Source = netip.MustParseAddr(source)
		return r
	}
	for _, source := range []string{"10.2.0.1", "10.2.240.1"} {
		b.SetRoute(from(source), Add)
	}
	b.DeleteRoute(from("10.2.240.1"))
	b.want("10.2.255.255/32", "punt 4")
	b.DeleteRoute(from("10.2.0.1"))
	b.want("10.2.255.255/32", "")
}

func TestManyMembers(t *testing.T) {
	b := newBench(t, Options{})
	text := "unicast 10.0.0.0/8"
	for i := range fib.MaxMembers {
		text += fmt.Sprintf(" nexthop via 192.0.2.%d dev %d", i%250+1, i/250+1)
	}
	b.add(text)
	if got := strings.Count(contents(t, b.RIB, 0)[netip.MustParsePrefix("10.0.0.0/8")], "x1"); got != fib.MaxMembers {
		t.Errorf("%d members, want %d", got, fib.MaxMembers)
	}
	b.change(Replace, text+" nexthop via 192.0.3.1 dev 1")
	b.want("10.0.0.0/8", "punt 10")
}

func TestOrderOfCandidates(t *testing.T) {
	b := newBench(t, Options{})
	via := func(n int) string { return fmt.Sprintf("unicast 10.0.0.0/8 via 192.0.2.%d dev 1", n) }
	is := func(n int) { t.Helper(); b.want("10.0.0.0/8", fmt.Sprintf("1 192.0.2.%d x1", n)) }
	b.add(via(1) + " metric 20")
	b.add(via(2) + " metric 30")
	is(1)
	b.add(via(3) + " metric 10")
	is(3)
	b.add("local 10.0.0.0/8 dev 1 table 255")
	b.want("10.0.0.0/8", "local")
	b.del("local 10.0.0.0/8 dev 1 table 255")
	is(3)
	b.change(Append, via(4)+" metric 10")
	is(3)
	b.add(via(5) + " metric 10") // ip route prepend
	is(5)
	b.add(via(5) + " metric 10") // again
	b.change(Replace, via(6)+" metric 10")
	is(6)
	b.change(Replace, via(4)+" metric 10") // which is there, further back
	is(4)
	b.del(via(4) + " metric 10")
	is(3)
	b.del(via(3) + " metric 10")
	is(1)
	b.del(via(3) + " metric 10") // not there
	is(1)
	b.del(via(1) + " metric 20")
	is(2)
	b.del(via(2) + " metric 30")
	b.want("10.0.0.0/8", "")
	if c := b.Counts(); c.Unmatched != 1 || c.Candidates != len(reserved) || c.Adjacencies != 0 {
		t.Errorf("%+v", c)
	}
}

func TestIPv6Siblings(t *testing.T) {
	b := newBench(t, Options{})
	one, two := "unicast 2001:db8::/32 via fe80::1 dev 1", "unicast 2001:db8::/32 via fe80::2 dev 2"
	both := "unicast 2001:db8::/32 nexthop via fe80::1 dev 1 nexthop via fe80::2 dev 2"
	b.add(one)
	b.change(Append, both)
	b.want("2001:db8::/32", "1 fe80::1 x1, 2 fe80::2 x1")
	b.del(one)
	b.want("2001:db8::/32", "2 fe80::2 x1")
	b.add("unicast 2001:db8::/32 dev 1") // another entry of the same metric: the kernel chooses
	b.want("2001:db8::/32", "punt 10")
	b.del("unicast 2001:db8::/32 dev 1")
	b.want("2001:db8::/32", "2 fe80::2 x1")
	b.change(Replace, both)
	b.change(Replace, "blackhole 2001:db8::/32")
	b.want("2001:db8::/32", "blackhole")
	b.change(Replace, both)
	b.want("2001:db8::/32", "1 fe80::1 x1, 2 fe80::2 x1")
	// What was before a dump is told behind it.
	b.del(one)
	b.add(two)
	b.change(Append, both)
	b.want("2001:db8::/32", "1 fe80::1 x1, 2 fe80::2 x1")
	b.TakeStale()
	b.add("blackhole 2001:db8::/32")
	b.change(Replace, "prohibit 2001:db8::/32")
	b.change(Replace, both)
	if b.TakeStale() == "" {
		t.Error("two entries of one metric: the table was not asked for again")
	}
	b.BeginSync()
	for _, n := range []int{1, 2, 3, 9} {
		b.SetLink(testLink(n))
	}
	b.SetRoute(route(t, both), Dumped)
	b.EndSync()
	b.want("2001:db8::/32", "1 fe80::1 x1, 2 fe80::2 x1")
	b.del(both)
	b.want("2001:db8::/32", "")
	if c := b.Counts(); c.Unmatched != 0 || c.Candidates != len(reserved) || c.Adjacencies != 0 {
		t.Errorf("%+v", c)
	}
}

// A change of a neighbor, a link or a next-hop object writes once, however many
// prefixes lead there.
func TestChangesDoNotDependOnThePrefixes(t *testing.T) {
	b := newBench(t, Options{})
	b.SetNextHop(kernel.NextHop{ID: 1, Hop: kernel.Hop{Link: 1, Gateway: netip.MustParseAddr("192.0.2.1"), Weight: 1}})
	for i := range 250 {
		b.add(fmt.Sprintf("unicast 10.%d.0.0/16 nhid 1", i))
	}
	groups := map[netip.Prefix]fib.GroupID{}
	for _, k := range b.Keys(nil) {
		groups[k.Prefix()] = b.At(k)[0].Group
	}
	used := b.Image().Used()
	for range 3 {
		b.SetNeighbor(neighbor(1, "192.0.2.1", unix.NUD_REACHABLE))
		b.Publish()
		b.want("10.7.0.0/16", "1 192.0.2.1 x1 0200000100010200000000010800")
		down := testLink(1)
		down.Flags = unix.IFF_UP
		b.SetLink(down)
		b.Publish()
		b.want("10.7.0.0/16", "punt 2")
		b.SetLink(testLink(1))
		b.SetNextHop(kernel.NextHop{ID: 1, Hop: kernel.Hop{Link: 2, Gateway: netip.MustParseAddr("192.0.2.9"), Weight: 1}})
		b.Publish()
		b.want("10.7.0.0/16", "2 192.0.2.9 x1")
		b.SetNextHop(kernel.NextHop{ID: 1, Hop: kernel.Hop{Link: 1, Gateway: netip.MustParseAddr("192.0.2.1"), Weight: 1}})
		b.DeleteNeighbor(neighbor(1, "192.0.2.1", 0))
		b.Publish()
		b.want("10.7.0.0/16", "1 192.0.2.1 x1")
	}
	for p, group := range groups {
		if got := b.At(KeyOf(0, p))[0].Group; got != group {
			t.Errorf("%s has group %d, had %d", p, got, group)
		}
	}
	if got := b.Image().Used(); got != used {
		t.Errorf("image uses %d bytes, before %d", got, used)
	}
	if b.TakeStale() == "" || b.TakeStale() != "" {
		t.Error("a link went down: the kernel may have dropped routes")
	}
	b.DeleteNextHop(1)
	b.Publish()
	b.want("10.7.0.0/16", "")
	if c := b.Counts(); c.Candidates != len(reserved) || c.Groups != len(testReservedGroups()) {
		t.Errorf("%+v", c)
	}
}

// testReservedGroups are the groups of an empty RIB.
func testReservedGroups() map[uint16]bool {
	groups := map[uint16]bool{testReasons.Policy: true}
	for _, r := range reserved {
		groups[r.reason(&testReasons)] = true
	}
	return groups
}

func TestHosts(t *testing.T) {
	b := newBench(t, Options{})
	b.SetNeighbor(neighbor(1, "192.0.2.9", unix.NUD_STALE)) // before its subnet
	b.add("unicast 192.0.2.0/24 dev 1")
	host := "1 192.0.2.9 x1 0200000100090200000000010800"
	b.want("192.0.2.9/32", host)
	b.SetNeighbor(neighbor(2, "192.0.2.10", unix.NUD_REACHABLE)) // not on the subnet's link
	b.SetNeighbor(neighbor(1, "192.0.2.11", unix.NUD_INCOMPLETE))
	b.SetNeighbor(neighbor(1, "198.51.100.1", unix.NUD_REACHABLE)) // in no subnet
	b.Publish()
	b.want("192.0.2.10/32", "")
	b.want("192.0.2.11/32", "")
	b.want("198.51.100.1/32", "")
	b.add("unicast 192.0.2.8/29 via 203.0.113.1 dev 2")
	b.want("192.0.2.9/32", "")
	b.del("unicast 192.0.2.8/29 via 203.0.113.1 dev 2")
	b.want("192.0.2.9/32", host)
	b.add("unicast 192.0.2.9/32 via 203.0.113.1 dev 2")
	b.want("192.0.2.9/32", "2 203.0.113.1 x1")
	b.change(Replace, "unicast 192.0.2.9/32 dev 1")
	b.want("192.0.2.9/32", host)
	b.add("local 192.0.2.9/32 dev 1 table 255")
	b.want("192.0.2.9/32", "local")
	b.del("local 192.0.2.9/32 dev 1 table 255")
	b.del("unicast 192.0.2.9/32 dev 1")
	b.want("192.0.2.9/32", host)
	down := testLink(1)
	down.Flags = 0
	b.SetLink(down)
	b.Publish()
	b.want("192.0.2.9/32", "")
	b.want("192.0.2.0/24", "punt 2")
	b.SetLink(testLink(1))
	b.Publish()
	b.want("192.0.2.9/32", host)
	b.SetNeighbor(neighbor(1, "192.0.2.9", unix.NUD_FAILED))
	b.Publish()
	b.want("192.0.2.9/32", "")
	b.SetNeighbor(neighbor(1, "192.0.2.9", unix.NUD_PERMANENT))
	b.del("unicast 192.0.2.0/24 dev 1")
	b.want("192.0.2.9/32", "")
	b.DeleteLink(1)
	b.DeleteLink(2)
	b.Publish()
	if c := b.Counts(); c.Candidates != len(reserved) || c.Adjacencies != 0 || len(b.peers) != 0 || len(b.hosts) != 0 || len(b.derived) != 0 {
		t.Errorf("left over: %+v, peers %v", c, b.peers)
	}
}

func TestIdleNeighbors(t *testing.T) {
	b := newBench(t, Options{})
	b.add("unicast 10.0.0.0/8 via 192.0.2.1 dev 1")
	b.add("unicast 192.0.2.0/24 dev 1")
	b.SetNeighbor(neighbor(1, "192.0.2.1", unix.NUD_STALE))
	b.SetNeighbor(neighbor(1, "192.0.2.2", unix.NUD_STALE))
	b.SetNeighbor(neighbor(1, "192.0.2.3", unix.NUD_REACHABLE))
	b.SetNeighbor(neighbor(2, "192.0.2.4", unix.NUD_STALE)) // nobody sends there
	idle := func(isUsed func(fib.AdjacencyID) bool) (all []string) {
		b.Idle(isUsed, func(link int, addr netip.Addr) { all = append(all, fmt.Sprint(link, " ", addr)) })
		slices.Sort(all)
		return all
	}
	if got := idle(nil); !slices.Equal(got, []string{"1 192.0.2.1", "1 192.0.2.2"}) {
		t.Errorf("idle: %v", got)
	}
	if got := idle(func(fib.AdjacencyID) bool { return false }); got != nil {
		t.Errorf("idle: %v", got)
	}
}

// TestVRFNumbersOfBefore: a writer that takes over forwarding ports numbers the
// VRFs as they were.
func TestVRFNumbersOfBefore(t *testing.T) {
	r := New(testImage(t, 1<<20), Options{Ports: portsBelow(9), Reasons: testReasons})
	r.BeginSync()
	for i, master := range []int{20, 21, 22} {
		vrf := testLink(master)
		vrf.Kind, vrf.VRFTable = "vrf", uint32(100+i)
		r.SetLink(vrf)
		port := testLink(i + 1)
		port.Master = master
		r.SetLink(port)
	}
	r.NumberVRFs(func(link int) (int, bool) { return map[int]int{1: 3, 3: 1}[link], link != 2 })
	for link, want := range map[int]int{1: 3, 2: 2, 3: 1} {
		if vrf, _ := r.Place(link); vrf != want {
			t.Errorf("port %d is in VRF %d, want %d", link, vrf, want)
		}
	}
	if got := r.Table(3); got != 100 {
		t.Errorf("VRF 3 is table %d, want 100", got)
	}
}

func TestVRF(t *testing.T) {
	b := newBench(t, Options{})
	b.add("unicast 10.0.0.0/8 via 192.0.2.1 dev 1 table 100")
	red := testLink(20)
	red.Kind, red.VRFTable = "vrf", 100
	b.SetLink(red)
	if b.TakeStale() == "" {
		t.Error("a new VRF's routes were not asked for")
	}
	slave := testLink(2)
	slave.Master = 20
	b.SetLink(slave)
	for link, want := range map[int]int{1: 0, 2: 1} {
		if vrf, member := b.Place(link); vrf != want || member {
			t.Errorf("port %d is in VRF %d, member %v, want VRF %d", link, vrf, member, want)
		}
	}
	b.add("unicast 10.0.0.0/8 via 192.0.2.1 dev 2 table 100")
	b.add("unicast 10.0.0.0/8 via 192.0.2.1 dev 1")
	b.add("unicast 192.0.2.0/24 dev 2 table 100")
	b.SetNeighbor(neighbor(2, "192.0.2.1", unix.NUD_REACHABLE))
	b.Publish()
	b.wantIn(1, "10.0.0.0/8", "2 192.0.2.1 x1 0200000100010200000000020800")
	b.wantIn(1, "192.0.2.1/32", "2 192.0.2.1 x1 0200000100010200000000020800")
	b.wantIn(1, "fe80::/10", "punt 6")
	b.want("192.0.2.1/32", "")
	b.want("10.0.0.0/8", "1 192.0.2.1 x1")
	b.SetLink(testLink(2)) // leaves the VRF
	b.Publish()
	b.wantIn(1, "192.0.2.1/32", "")
}

func TestGrow(t *testing.T) {
	grown := 0
	grow := func(im *fib.Image, size int) (*fib.Image, error) {
		grown++
		return im.CopyTo(make([]byte, (size+4095)&^4095), fib.Options{})
	}
	options := Options{Ports: portsBelow(9), Reasons: testReasons, Grow: grow}
	for _, atOnce := range []bool{false, true} {
		grown = 0
		fill := func(im *fib.Image) *bench {
			b := &bench{t, New(im, options)}
			b.BeginSync()
			b.SetLink(testLink(1))
			if !atOnce {
				b.EndSync()
			}
			for i := range 5000 {
				b.SetRoute(route(t, fmt.Sprintf("unicast 10.%d.%d.0/24 via 192.0.2.%d dev 1", i>>8, i&255, i%200)), Add)
			}
			if atOnce {
				b.EndSync()
			}
			return b
		}
		b := fill(testImage(t, fib.MinSize))
		b.want("10.3.8.0/24", fmt.Sprintf("1 192.0.2.%d x1", (3<<8+8)%200))
		if c := b.Counts(); grown == 0 || atOnce && grown != 1 || c.NotInstalled != 0 {
			t.Errorf("at once %v: grown %d times, %+v", atOnce, grown, c)
		}
		if !atOnce {
			continue
		}
		// The next writer finds in it what it wants: there is room enough.
		b = fill(b.Image())
		b.want("10.3.8.0/24", fmt.Sprintf("1 192.0.2.%d x1", (3<<8+8)%200))
		if grown != 1 {
			t.Errorf("grown again for the same routes")
		}
	}
}

func TestFullImage(t *testing.T) {
	reported, refusal := 0, errors.New("no memory")
	options := Options{Ports: portsBelow(9), Reasons: testReasons, NotInstalled: func(n int, _ bool) { reported = n },
		Grow: func(*fib.Image, int) (*fib.Image, error) { return nil, refusal }}
	for _, atOnce := range []bool{false, true} {
		b := &bench{t, New(testImage(t, fib.MinSize), options)}
		reported = 0
		b.BeginSync()
		b.SetLink(testLink(1))
		if !atOnce {
			b.EndSync()
		}
		text := func(i int) string {
			return fmt.Sprintf("unicast 10.%d.%d.0/24 via 192.0.2.%d dev 1", i>>8, i&255, i%200)
		}
		const routes = 5000
		for i := range routes {
			b.SetRoute(route(t, text(i)), Add)
		}
		if atOnce {
			b.EndSync()
		}
		b.Publish()
		if got := len(contents(t, b.RIB, 0)); reported == 0 || got+reported != routes+len(reserved) || b.Counts().NotInstalled != reported {
			t.Fatalf("at once %v: %d of %d routes installed, %d reported", atOnce, got, routes, reported)
		}
		for i := range routes {
			if i%100 != 7 {
				b.DeleteRoute(route(t, text(i)))
				b.Publish()
			}
		}
		b.Retry()
		if got := len(contents(t, b.RIB, 0)); reported != 0 || got != routes/100+len(reserved) {
			t.Errorf("at once %v: after making room %d routes installed, %d reported as missing", atOnce, got, reported)
		}
		b.want("10.0.7.0/24", "1 192.0.2.7 x1")
	}
}
