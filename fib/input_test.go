package fib

import (
	"fmt"
	"net/netip"
	"testing"
)

func TestBadInput(t *testing.T) {
	im := newTestImage(t, 1<<20, 2, Options{})
	adj := addAdjacencies(t, im, 300)
	tab := mustTable(t, im, 0)
	mustInsert(t, tab, 1, "10.0.0.0/8")
	used, err := im.AddGroup(equalMembers(HashThreshold, adj[0], adj[1]))
	if err != nil {
		t.Fatal(err)
	}

	good := testAdjacency(1)
	// Each runs alone, so that the one that changes the image is known.
	run := func(name string, is error, f func() error, text ...string) {
		t.Run(name, func(t *testing.T) {
			var err error
			wantUnchanged(t, im, func() { err = f() })
			wantError(t, err, is, text...)
		})
	}

	p := netip.MustParsePrefix
	for _, bad := range []struct {
		name   string
		prefix netip.Prefix
		text   []string
	}{
		{"zero prefix", netip.Prefix{}, []string{"zero value"}},
		{"no address", netip.PrefixFrom(netip.Addr{}, 8), nil},
		{"length over 32", netip.PrefixFrom(netip.MustParseAddr("10.0.0.0"), 33), nil},
		{"length over 128", netip.PrefixFrom(netip.MustParseAddr("2001:db8::"), 129), nil},
		{"negative length", netip.PrefixFrom(netip.MustParseAddr("10.0.0.0"), -1), nil},
		{"unmasked IPv4", p("10.1.0.0/8"), []string{"10.1.0.0/8", "10.0.0.0/8 is the prefix"}},
		{"unmasked IPv6", p("2001:db8::1/64"), []string{"2001:db8::1/64", "2001:db8::/64 is the prefix"}},
		{"unmasked default", netip.PrefixFrom(netip.MustParseAddr("1.0.0.0"), 0), []string{"0.0.0.0/0 is the prefix"}},
		{"IPv4-mapped", netip.PrefixFrom(netip.MustParseAddr("::ffff:10.0.0.0"), 104), []string{"IPv4-mapped"}},
	} {
		run("insert "+bad.name, ErrPrefix, func() error { return tab.Insert(bad.prefix, 1) }, append(bad.text, "insert")...)
		run("delete "+bad.name, ErrPrefix, func() error { return tab.Delete(bad.prefix) }, append(bad.text, "delete")...)
		run("get "+bad.name, ErrPrefix, func() error { _, err := tab.Get(bad.prefix); return err }, append(bad.text, "get")...)
		run("replace "+bad.name, ErrPrefix, func() error {
			_, err := tab.Replace([]Route{{p("10.0.0.0/8"), 2}, {p("11.0.0.0/8"), 2}, {bad.prefix, 1}})
			return err
		}, append(bad.text, "replace table 0")...)
	}

	for _, g := range []GroupID{0, used + 1, 255, 256, 1 << 20, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
		text := fmt.Sprint(g)
		run("insert into group "+text, ErrNoGroup, func() error { return tab.Insert(p("11.0.0.0/8"), g) }, "11.0.0.0/8", text)
		run("change to group "+text, ErrNoGroup, func() error { return tab.Insert(p("10.0.0.0/8"), g) }, "10.0.0.0/8", text)
		run("replace with group "+text, ErrNoGroup, func() error {
			_, err := tab.Replace([]Route{{p("12.0.0.0/8"), 1}, {p("11.0.0.0/8"), g}})
			return err
		}, "11.0.0.0/8", text)
		run("set group "+text, ErrNoGroup, func() error { return im.SetGroup(g, Group{Kind: Local}) }, "set group", text)
		run("delete group "+text, ErrNoGroup, func() error { return im.DeleteGroup(g) }, "delete group", text)
		run("read group "+text, ErrNoGroup, func() error { _, err := im.Group(g); return err }, text)
	}
	// No netip.Prefix has a zone: this is why none of the above has.
	if z := netip.PrefixFrom(netip.MustParseAddr("fe80::%eth0"), 64); z.Addr().Zone() != "" {
		t.Errorf("%s has a zone: insert must be seen to refuse it", z)
	}
	run("delete what is not there", ErrNoRoute, func() error { return tab.Delete(p("10.0.0.0/9")) }, "delete 10.0.0.0/9")
	run("get what is not there", ErrNoRoute, func() error { _, err := tab.Get(p("10.0.0.0/9")); return err }, "get 10.0.0.0/9")
	run("delete the other family's", ErrNoRoute, func() error { return tab.Delete(p("a00::/8")) }, "delete a00::/8")
	run("delete another VRF's", ErrNoRoute, func() error { return mustTable(t, im, 1).Delete(p("10.0.0.0/8")) }, "10.0.0.0/8")

	weighted := func(weights ...int) Group {
		g := Group{Kind: Forward}
		for i, w := range weights {
			g.Members = append(g.Members, Member{adj[i], w})
		}
		return g
	}
	for _, bad := range []struct {
		name  string
		group Group
		is    error
		text  []string
	}{
		{"zero group", Group{}, ErrGroup, []string{"kind 0"}},
		{"unknown kind", Group{Kind: Punt + 1}, ErrGroup, []string{"kind 7"}},
		{"unknown mode", Group{Kind: Forward, Mode: 2, Members: []Member{{adj[0], 1}}}, ErrGroup, []string{"mode 2"}},
		{"no members", Group{Kind: Forward}, ErrGroup, []string{"0 members", "1 to 256"}},
		{"257 members", equalMembers(HashThreshold, adj[:257]...), ErrGroup, []string{"257 members", "1 to 256"}},
		{"257 members, resilient", equalMembers(Resilient, adj[:257]...), ErrGroup, []string{"257 members"}},
		{"weight 0", weighted(1, 0), ErrGroup, []string{"member 1", "weight 0"}},
		{"weight below 0", weighted(-1), ErrGroup, []string{"member 0", "weight -1"}},
		{"weight over the most", weighted(1, 1, MaxWeight+1), ErrGroup, []string{"member 2", "weight 65537", "1 to 65536"}},
		{"same adjacency twice", equalMembers(Resilient, adj[3], adj[4], adj[3]), ErrGroup, []string{"members 0 and 2", fmt.Sprintf("adjacency %d", adj[3])}},
		{"adjacency 0", equalMembers(HashThreshold, 0), ErrNoAdjacency, []string{"member 0", ": 0"}},
		{"adjacency that is not there", equalMembers(HashThreshold, adj[0], 301), ErrNoAdjacency, []string{"member 1", "301"}},
		{"adjacency beyond the table", equalMembers(HashThreshold, 1<<32-1), ErrNoAdjacency, []string{"member 0", "4294967295"}},
		{"special with members", Group{Kind: Local, Members: []Member{{adj[0], 1}}}, ErrGroup, []string{"members"}},
		{"special with a mode", Group{Kind: Blackhole, Mode: Resilient}, ErrGroup, []string{"mode"}},
		{"glean without a port", Group{Kind: Glean}, ErrGroup, []string{"port 0"}},
		{"code of no message", Group{Kind: Reject, Code: 16}, ErrGroup, []string{"code 16", "0 to 15"}},
	} {
		run("add group: "+bad.name, bad.is, func() error { _, err := im.AddGroup(bad.group); return err }, append(bad.text, "add group")...)
		run("set group: "+bad.name, bad.is, func() error { return im.SetGroup(used, bad.group) }, append(bad.text, fmt.Sprintf("set group %d", used))...)
	}

	for _, bad := range []struct {
		name string
		do   func(a *Adjacency)
		text []string
	}{
		{"port 0", func(a *Adjacency) { a.Port = 0 }, []string{"port 0"}},
		{"MTU below RFC 791's least", func(a *Adjacency) { a.MTU = 67 }, []string{"MTU of 67", "68"}},
		{"rewrite too long", func(a *Adjacency) { a.RewriteLen = uint8(MaxRewrite + 1) }, []string{"rewrite of 25", "24"}},
		{"IPv4-mapped neighbor", func(a *Adjacency) { a.Neighbor = netip.MustParseAddr("::ffff:1.2.3.4") }, []string{"::ffff:1.2.3.4"}},
		{"zoned neighbor", func(a *Adjacency) { a.Neighbor = netip.MustParseAddr("fe80::1%eth0") }, []string{"fe80::1%eth0"}},
	} {
		a := good
		bad.do(&a)
		run("add adjacency: "+bad.name, ErrAdjacency, func() error { _, err := im.AddAdjacency(a); return err }, append(bad.text, "add adjacency")...)
		run("set adjacency: "+bad.name, ErrAdjacency, func() error { return im.SetAdjacency(adj[0], a) }, append(bad.text, "set adjacency 1")...)
	}
	for _, id := range []AdjacencyID{0, 301, 511, 512, 1<<32 - 1} {
		text := fmt.Sprint(id)
		run("set adjacency "+text, ErrNoAdjacency, func() error { return im.SetAdjacency(id, good) }, "set adjacency "+text)
		run("delete adjacency "+text, ErrNoAdjacency, func() error { return im.DeleteAdjacency(id) }, "delete adjacency "+text)
		if _, ok := im.Adjacency(id); ok {
			t.Errorf("adjacency %d is there", id)
		}
	}
	run("delete a group in use", ErrInUse, func() error { return im.DeleteGroup(1) }, "delete group 1", "routes that name it: 1")
	run("delete an adjacency in use", ErrInUse, func() error { return im.DeleteAdjacency(adj[1]) }, "delete adjacency 2", "members of groups: 1")

	// All of it is still usable.
	mustDelete(t, tab, "10.0.0.0/8")
	if err := im.DeleteGroup(1); err != nil {
		t.Error(err)
	}
	if err := im.DeleteGroup(used); err != nil {
		t.Error(err)
	}
	if err := im.DeleteAdjacency(adj[1]); err != nil {
		t.Error(err)
	}
	checkOwners(t, im)
}

func TestBadSize(t *testing.T) {
	whole := make([]byte, 2*MinSize+8)
	for _, c := range []struct {
		name string
		mem  []byte
		opts Options
		text string
	}{
		{"nothing", nil, Options{}, "0 bytes"},
		{"below the least", whole[:MinSize-4096], Options{}, "65536 to"},
		{"no multiple of a page", whole[:MinSize+8], Options{}, "multiple of 4096"},
		{"not aligned", whole[4 : MinSize+4], Options{}, "aligned"},
		{"too many VRFs", whole[:MinSize], Options{VRFs: 1<<16 + 1}, "65537 VRFs"},
		{"VRFs below 0", whole[:MinSize], Options{VRFs: -1}, "-1 VRFs"},
		{"more VRFs than the size has room for", whole[:MinSize], Options{VRFs: 5000}, "5000 VRFs"},
	} {
		im, err := Create(c.mem, c.opts)
		if im != nil {
			t.Errorf("%s: made an image", c.name)
		}
		wantError(t, err, ErrSize, "create image", c.text)
		for i, b := range whole {
			if b != 0 {
				t.Fatalf("%s: byte %d has changed", c.name, i)
			}
		}
	}
	im, err := Create(whole[:MinSize], Options{})
	if err != nil {
		t.Fatalf("the least size: %v", err)
	}
	checkOwners(t, im)
}
