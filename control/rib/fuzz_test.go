package rib

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
)

// FuzzMessages feeds a RIB with messages as a kernel would send them, or as it never would: 4 bytes each (type, flags,
// length in 16 bits), and a payload. Whatever they say, the image holds what the RIB thinks it does.
func FuzzMessages(f *testing.F) {
	link := func(index uint32, attributes ...[]byte) []byte {
		return join(binary.NativeEndian.AppendUint32([]byte{0, 0, 1, 0}, index), num(upAndRunning), num(0), join(attributes...),
			attr(unix.IFLA_ADDRESS, []byte{2, 0, 0, 0, 0, byte(index), 0, 0}[:6]), attr(unix.IFLA_MTU, num(1500)))
	}
	neighbor := func(index uint32, ip string) []byte {
		a := netip.MustParseAddr(ip)
		return join([]byte{family(a), 0, 0, 0}, num(index), []byte{unix.NUD_REACHABLE, 0, 0, 1},
			attr(unix.NDA_DST, a.AsSlice()), attr(unix.NDA_LLADDR, []byte{2, 0, 0, 0, 1, 1}))
	}
	route := func(prefix string, attributes ...[]byte) []byte {
		p := netip.MustParsePrefix(prefix)
		return join([]byte{family(p.Addr()), byte(p.Bits()), 0, 0, tableMain, unix.RTPROT_STATIC, 0, unix.RTN_UNICAST}, num(0),
			attr(unix.RTA_DST, p.Addr().AsSlice()), join(attributes...))
	}
	hop := func(index uint32, ip string) []byte {
		gateway := attr(unix.RTA_GATEWAY, netip.MustParseAddr(ip).AsSlice())
		return join([]byte{byte(8 + len(gateway)), 0, 0, 1}, num(index), gateway)
	}
	via := func(ip string) []byte { return attr(unix.RTA_GATEWAY, netip.MustParseAddr(ip).AsSlice()) }
	const nhid = 30 // RTA_NH_ID
	two := join(event(unix.RTM_NEWLINK, link(1)), event(unix.RTM_NEWLINK, link(2)), event(unix.RTM_NEWNEIGH, neighbor(1, "192.0.2.1")),
		event(unix.RTM_NEWNEIGH, neighbor(2, "2001:db8::1")))
	subnet := event(unix.RTM_NEWROUTE, route("192.0.2.0/24", attr(unix.RTA_OIF, num(1))))
	gone := event(unix.RTM_DELROUTE, route("192.0.2.0/24", attr(unix.RTA_OIF, num(1))))
	f.Add(join(two, subnet, event(unix.RTM_NEWROUTE, route("0.0.0.0/0", via("192.0.2.1"), attr(unix.RTA_OIF, num(1)))), gone))
	f.Add(join(two, event(unix.RTM_NEWROUTE, route("10.0.0.0/8", attr(unix.RTA_MULTIPATH, join(hop(1, "192.0.2.1"), hop(2, "192.0.2.7"))))),
		event(unix.RTM_DELLINK, link(1))))
	f.Add(join(two, event(unix.RTM_NEWNEXTHOP, join([]byte{2, 0, 0, 0}, num(0), attr(unix.NHA_ID, num(7)), attr(unix.NHA_OIF, num(1)),
		attr(unix.NHA_GATEWAY, []byte{192, 0, 2, 1}))),
		event(unix.RTM_NEWNEXTHOP, join([]byte{0, 0, 0, 0}, num(0), attr(unix.NHA_ID, num(8)), attr(unix.NHA_GROUP, join(num(7), num(2), num(8), num(1))))),
		event(unix.RTM_NEWROUTE, route("10.0.0.0/8", attr(nhid, num(8)))), event(unix.RTM_DELNEXTHOP, join(num(0), num(0), attr(unix.NHA_ID, num(7))))))
	f.Add(join(two, event(unix.RTM_NEWROUTE, route("2001:db8:1::/48", via("::ffff:192.0.2.1"), attr(unix.RTA_OIF, num(2))))))
	info := func(kind string, data ...[]byte) []byte {
		return attr(unix.IFLA_LINKINFO, join(attr(unix.IFLA_INFO_KIND, []byte(kind)), attr(unix.IFLA_INFO_DATA, join(data...))))
	}
	vlan := link(3, attr(unix.IFLA_LINK, num(1)), info("vlan", attr(1, []byte{42, 0})))
	f.Add(join(two, event(unix.RTM_NEWLINK, link(4, info("vrf", attr(unix.IFLA_VRF_TABLE, num(100))))), event(unix.RTM_NEWLINK, vlan),
		event(unix.RTM_NEWLINK, link(2, attr(unix.IFLA_MASTER, num(4)))), event(unix.RTM_NEWROUTE, route("10.0.0.0/8", via("192.0.2.9"),
			attr(unix.RTA_OIF, num(3)), attr(unix.RTA_TABLE, num(100)))), event(unix.RTM_NEWNEIGH, neighbor(3, "192.0.2.9")), []byte{0, 0, 0, 0}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<13 {
			return
		}
		p := &programmed{groups: map[uint32]ExportGroup{}, routes: map[string]ExportRoute{}, bench: &bench{TB: t}}
		r := New(testImage(t, 1<<18), Options{Ports: portsBelow(9), Reasons: testReasons, Export: p.take})
		r.BeginSync()
		r.EndSync()
		for _, own := range []string{
			"static 10.0.0.0/8 pref 1 via 192.0.2.1", "bgp:1 192.0.2.0/24 pref 20 via 10.0.0.1", "bgp:2 192.0.2.0/24 pref 20 via 2001:db8::1",
			"fpm 2001:db8::/32 nhid 7", "static 2001:db8:1::/48 dev 2",
		} {
			if err := r.Set(offer(t, own)); err != nil {
				t.Fatal(err)
			}
		}
		r.Publish()
		syncing := false
		for len(data) >= 4 {
			kind, flags := uint16(data[0]), uint16(data[1])<<8
			n := min(int(binary.LittleEndian.Uint16(data[2:])), len(data)-4)
			if kind == 0 { // a dump begins, or ends
				if syncing = !syncing; syncing {
					r.BeginSync()
				} else {
					r.EndSync()
				}
			}
			r.hear(kind, flags, data[4:4+n])
			data = data[4+n:]
		}
		if syncing {
			r.EndSync()
		}
		r.Publish()
		checkImage(t, r)
	})
}

// hear takes a message in, as control.Follower does.
func (r *RIB) hear(kind, flags uint16, payload []byte) {
	var l kernel.Link
	var a kernel.Addr
	var n kernel.Neighbor
	var o kernel.NextHop
	var m kernel.Route
	how := Add
	switch {
	case flags&unix.NLM_F_REPLACE != 0:
		how = Replace
	case flags&unix.NLM_F_APPEND != 0:
		how = Append
	case flags&unix.NLM_F_EXCL != 0: // as good as any other
		how = Dumped
	}
	set := kind&1 == 0 // RTM_NEW* are even
	switch kind &^ 1 {
	case unix.RTM_NEWLINK:
		if l.Decode(payload) != nil {
			return
		}
		if set {
			r.SetLink(l)
		} else {
			r.DeleteLink(l.Index)
		}
	case unix.RTM_NEWADDR:
		if a.Decode(payload) != nil {
			return
		}
		if set {
			r.SetAddr(a)
		} else {
			r.DeleteAddr(a)
		}
	case unix.RTM_NEWNEIGH:
		if n.Decode(payload) != nil {
			return
		}
		if set {
			r.SetNeighbor(n)
		} else {
			r.DeleteNeighbor(n)
		}
	case unix.RTM_NEWNEXTHOP:
		if o.Decode(payload) != nil {
			return
		}
		if set {
			r.SetNextHop(o)
		} else {
			r.DeleteNextHop(o.ID)
		}
	case unix.RTM_NEWROUTE:
		if m.Decode(payload) != nil {
			return
		}
		if set {
			r.SetRoute(&m, how)
		} else {
			r.DeleteRoute(&m)
		}
	}
}

// checkImage compares the image with the RIB: prefix by prefix, and group by group.
func checkImage(t testing.TB, r *RIB) {
	t.Helper()
	if c := r.Counts(); c.Failed != 0 || c.NotInstalled != 0 {
		t.Errorf("%+v", c)
	}
	for _, d := range r.CheckGroups() {
		t.Error(d)
	}
	check := func(k key) {
		if want, have, err := r.CheckPrefix(Key{k}); err != nil || want != have {
			t.Errorf("%s in VRF %d: group %d, want %d (%v)", k.prefix(), k.vrf, have, want, err)
		}
		table, err := r.image.Table(int(k.vrf))
		if err != nil {
			t.Fatal(err)
		}
		if want, have := r.Lookup(int(k.vrf), k.addr()), table.Lookup(k.addr()); want != have {
			t.Errorf("%s in VRF %d: found group %d, want %d", k.addr(), k.vrf, have, want)
		}
	}
	for k := range r.routes.all() {
		check(k)
	}
	for k := range r.derived {
		check(k)
	}
	for vrf := range r.VRFs {
		table, err := r.image.Table(vrf)
		if err != nil {
			t.Fatal(err)
		}
		if v4, v6 := table.Len(); v4+v6 != r.Len(vrf) {
			t.Errorf("VRF %d: %d prefixes, want %d", vrf, v4+v6, r.Len(vrf))
		}
	}
}

func event(kind uint16, payload []byte) []byte {
	return append(binary.LittleEndian.AppendUint16([]byte{byte(kind), 0}, uint16(len(payload))), payload...)
}

func family(a netip.Addr) byte {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func num(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

func attr(kind uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	return append(b, make([]byte, -len(b)&3)...)
}

func join(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
