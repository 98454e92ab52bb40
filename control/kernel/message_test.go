package kernel

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// message builds the payload of a netlink message.
type message []byte

func (m message) attr(kind uint16, value []byte) message {
	m = binary.NativeEndian.AppendUint16(m, uint16(4+len(value)))
	m = append(binary.NativeEndian.AppendUint16(m, kind), value...)
	for len(m)%4 != 0 {
		m = append(m, 0)
	}
	return m
}

func (m message) num(kind uint16, n uint32) message { return m.attr(kind, u32(n)) }

func (m message) addr(kind uint16, a string) message {
	return m.attr(kind, netip.MustParseAddr(a).AsSlice())
}

func u32(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
func u16(n uint16) []byte { return binary.NativeEndian.AppendUint16(nil, n) }

func routeHead(family, bits, table, kind byte) message {
	return message{family, bits, 0, 0, table, unix.RTPROT_STATIC, unix.RT_SCOPE_UNIVERSE, kind, 0, 0, 0, 0}
}

// hopBytes builds a struct rtnexthop with attributes.
func hopBytes(flags, hops byte, link uint32, attrs message) []byte {
	b := append(u16(uint16(8+len(attrs))), flags, hops)
	return append(append(b, u32(link)...), attrs...)
}

func p(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func a(s string) netip.Addr   { return netip.MustParseAddr(s) }

var routes = []struct {
	name string
	in   message
	want Route
}{
	{"ipv4 gateway", routeHead(unix.AF_INET, 24, 254, unix.RTN_UNICAST).addr(unix.RTA_DST, "192.0.2.0").
		addr(unix.RTA_GATEWAY, "198.51.100.1").num(unix.RTA_OIF, 3).num(unix.RTA_PRIORITY, 20),
		Route{Prefix: p("192.0.2.0/24"), Table: 254, Type: unix.RTN_UNICAST, Metric: 20,
			Hops: []Hop{{Link: 3, Gateway: a("198.51.100.1"), Weight: 1}}}},
	{"source", routeHead(unix.AF_INET, 24, 254, unix.RTN_UNICAST).addr(unix.RTA_DST, "192.0.2.0").
		addr(unix.RTA_PREFSRC, "192.0.2.1").num(unix.RTA_OIF, 3),
		Route{Prefix: p("192.0.2.0/24"), Table: 254, Type: unix.RTN_UNICAST, Source: a("192.0.2.1"), Hops: []Hop{{Link: 3, Weight: 1}}}},
	{"bits after the length", routeHead(unix.AF_INET, 24, 254, unix.RTN_UNICAST).addr(unix.RTA_DST, "192.0.2.9").num(unix.RTA_OIF, 3),
		Route{Prefix: p("192.0.2.0/24"), Table: 254, Type: unix.RTN_UNICAST, Hops: []Hop{{Link: 3, Weight: 1}}}},
	{"ipv6 default, large table", routeHead(unix.AF_INET6, 0, 0, unix.RTN_UNICAST).num(unix.RTA_TABLE, 1000).
		addr(unix.RTA_GATEWAY, "fe80::1").num(unix.RTA_OIF, 3),
		Route{Prefix: p("::/0"), Table: 1000, Type: unix.RTN_UNICAST, Hops: []Hop{{Link: 3, Gateway: a("fe80::1"), Weight: 1}}}},
	{"blackhole", routeHead(unix.AF_INET, 0, 254, unix.RTN_BLACKHOLE), Route{Prefix: p("0.0.0.0/0"), Table: 254, Type: unix.RTN_BLACKHOLE}},
	{"ipv4 through ipv6", routeHead(unix.AF_INET, 8, 254, unix.RTN_UNICAST).addr(unix.RTA_DST, "10.0.0.0").
		attr(unix.RTA_VIA, append(u16(unix.AF_INET6), a("fe80::2").AsSlice()...)).num(unix.RTA_OIF, 4),
		Route{Prefix: p("10.0.0.0/8"), Table: 254, Type: unix.RTN_UNICAST, Hops: []Hop{{Link: 4, Gateway: a("fe80::2"), Weight: 1}}}},
	{"multipath", routeHead(unix.AF_INET, 8, 254, unix.RTN_UNICAST).addr(unix.RTA_DST, "10.0.0.0").attr(unix.RTA_MULTIPATH, append(
		hopBytes(0, 2, 4, message{}.addr(unix.RTA_GATEWAY, "192.0.2.1")),
		hopBytes(unix.RTNH_F_LINKDOWN|unix.RTNH_F_DEAD, 255, 5, message{}.attr(unix.RTA_VIA, append(u16(unix.AF_INET6), a("fe80::2").AsSlice()...)).
			attr(unix.RTA_ENCAP_TYPE, u16(1)).attr(unix.RTA_ENCAP|unix.NLA_F_NESTED, nil))...)),
		Route{Prefix: p("10.0.0.0/8"), Table: 254, Type: unix.RTN_UNICAST, Hops: []Hop{
			{Link: 4, Gateway: a("192.0.2.1"), Weight: 3},
			{Link: 5, Gateway: a("fe80::2"), Weight: 256, Flags: unix.RTNH_F_LINKDOWN | unix.RTNH_F_DEAD, Encap: true},
		}}},
	{"next-hop object before what is for others", routeHead(unix.AF_INET, 8, 254, unix.RTN_UNICAST).addr(unix.RTA_DST, "10.0.0.0").
		num(rtaNHID, 77).addr(unix.RTA_GATEWAY, "192.0.2.1").num(unix.RTA_OIF, 4),
		Route{Prefix: p("10.0.0.0/8"), Table: 254, Type: unix.RTN_UNICAST, NextHop: 77}},
	{"mtu", routeHead(unix.AF_INET, 8, 254, unix.RTN_UNICAST).addr(unix.RTA_DST, "10.0.0.0").
		attr(unix.RTA_METRICS, message{}.num(unix.RTAX_WINDOW, 5).num(unix.RTAX_MTU, 1400)).num(unix.RTA_OIF, 4),
		Route{Prefix: p("10.0.0.0/8"), Table: 254, Type: unix.RTN_UNICAST, MTU: 1400, Hops: []Hop{{Link: 4, Weight: 1}}}},
	{"tos, source, cached", message{unix.AF_INET6, 8, 64, 0x10, 254, unix.RTPROT_STATIC, 0, unix.RTN_UNICAST, 0, 2, 0, 0}.addr(unix.RTA_DST, "2000::"),
		Route{Prefix: p("2000::/8"), Table: 254, Type: unix.RTN_UNICAST, TOS: 0x10, Sourced: true, Cached: true}},
}

func TestRouteDecode(t *testing.T) {
	r := Route{Hops: make([]Hop, 3)}
	for _, c := range routes {
		if err := r.Decode(c.in); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := r
		if len(got.Hops) == 0 {
			got.Hops = nil
		}
		c.want.Protocol = unix.RTPROT_STATIC
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", c.name, got, c.want)
		}
	}
}

func TestRouteDecodeRefuses(t *testing.T) {
	good := slices.Clip(routeHead(unix.AF_INET, 8, 254, unix.RTN_UNICAST).addr(unix.RTA_DST, "10.0.0.0"))
	for _, c := range []struct {
		name, part string
		in         message
		want       error
	}{
		{"empty", "0 bytes", nil, ErrMessage},
		{"short", "11 bytes", good[:11], ErrMessage},
		{"mpls", "family 28", routeHead(28, 20, 254, unix.RTN_UNICAST), ErrForeign},
		{"length of 33", "length of 33", routeHead(unix.AF_INET, 33, 254, unix.RTN_UNICAST), ErrMessage},
		{"ipv6 address in an ipv4 route", "not an address", routeHead(unix.AF_INET, 8, 254, 1).addr(unix.RTA_DST, "::"), ErrMessage},
		{"cut attribute", "attribute of 8 bytes in 5", append(good, good[12:17]...), ErrMessage},
		{"attribute of length 3", "of 3 bytes", append(good, 3, 0, 1, 0), ErrMessage},
		{"metric of 3 bytes", "not a number", good.attr(unix.RTA_PRIORITY, []byte{1, 2, 3}), ErrMessage},
		{"negative link", "number of a link", good.num(unix.RTA_OIF, 1<<31), ErrMessage},
		{"via of 1 byte", "gateway", good.attr(unix.RTA_VIA, []byte{2}), ErrMessage},
		{"hop of length 0", "next hop of 0 bytes", good.attr(unix.RTA_MULTIPATH, make([]byte, 8)), ErrMessage},
		{"hop too long", "next hop of 9 bytes in 8", good.attr(unix.RTA_MULTIPATH, []byte{9, 0, 0, 0, 1, 0, 0, 0}), ErrMessage},
		{"half a hop", "4 bytes where a next hop", good.attr(unix.RTA_MULTIPATH, make([]byte, 4)), ErrMessage},
		{"hop on a negative link", "link -1", good.attr(unix.RTA_MULTIPATH, hopBytes(0, 0, 1<<32-1, nil)), ErrMessage},
	} {
		var r Route
		err := r.Decode(c.in)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.part) {
			t.Errorf("%s: %v, want %v and %q", c.name, err, c.want, c.part)
		}
	}
}

func TestRouteDecodeDoesNotAllocate(t *testing.T) {
	var r Route
	n := testing.AllocsPerRun(100, func() {
		for _, c := range routes {
			_ = r.Decode(c.in)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestNextHopDecode(t *testing.T) {
	head := func(family byte) message { return message{family, 0, unix.RTPROT_ZEBRA, 0, 0, 0, 0, 0} }
	for _, c := range []struct {
		name string
		in   message
		want NextHop
		err  error
	}{
		{"gateway", head(unix.AF_INET).num(unix.NHA_ID, 7).num(unix.NHA_OIF, 3).addr(unix.NHA_GATEWAY, "192.0.2.1"),
			NextHop{ID: 7, Family: unix.AF_INET, Hop: Hop{Link: 3, Gateway: a("192.0.2.1"), Weight: 1}}, nil},
		{"link only", head(unix.AF_INET6).num(unix.NHA_ID, 7).num(unix.NHA_OIF, 3),
			NextHop{ID: 7, Family: unix.AF_INET6, Hop: Hop{Link: 3, Weight: 1}}, nil},
		{"blackhole", head(unix.AF_INET).num(unix.NHA_ID, 7).attr(unix.NHA_BLACKHOLE, nil),
			NextHop{ID: 7, Family: unix.AF_INET, Blackhole: true, Hop: Hop{Weight: 1}}, nil},
		{"group", head(0).num(unix.NHA_ID, 8).attr(unix.NHA_GROUP, []byte{1, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 255, 1, 0, 0}).attr(unix.NHA_GROUP_TYPE, u16(1)),
			NextHop{ID: 8, Hop: Hop{Weight: 1}, Members: []NextHopMember{{1, 3}, {2, 512}}, Resilient: true}, nil},
		{"encapsulation", head(unix.AF_INET).num(unix.NHA_ID, 7).attr(unix.NHA_ENCAP_TYPE, u16(1)),
			NextHop{ID: 7, Family: unix.AF_INET, Hop: Hop{Weight: 1, Encap: true}}, nil},
		{"forwarding database", head(unix.AF_INET).num(unix.NHA_ID, 7).attr(nhaFDB, nil), NextHop{}, ErrForeign},
		{"no identifier", head(unix.AF_INET).num(unix.NHA_OIF, 7), NextHop{}, ErrMessage},
		{"half a member", head(0).num(unix.NHA_ID, 8).attr(unix.NHA_GROUP, make([]byte, 12)), NextHop{}, ErrMessage},
		{"no member", head(0).num(unix.NHA_ID, 8).attr(unix.NHA_GROUP, nil), NextHop{}, ErrMessage},
		{"short", head(0)[:7], NextHop{}, ErrMessage},
	} {
		var n NextHop
		err := n.Decode(c.in)
		c.want.Protocol = unix.RTPROT_ZEBRA
		if !errors.Is(err, c.err) || err == nil && !reflect.DeepEqual(n, c.want) {
			t.Errorf("%s:\ngot  %+v %v\nwant %+v %v", c.name, n, err, c.want, c.err)
		}
	}
}

func linkHead(family byte, index, flags uint32) message {
	return append(append(message{family, 0, 1, 0}, u32(index)...), append(u32(flags), 0, 0, 0, 0)...)
}

func TestLinkDecode(t *testing.T) {
	kind := func(name string, data message) message {
		return message{}.attr(unix.IFLA_INFO_KIND, []byte(name)).attr(unix.IFLA_INFO_DATA, data)
	}
	for _, c := range []struct {
		name string
		in   message
		want Link
		err  error
	}{
		{"veth", linkHead(0, 5, unix.IFF_UP|unix.IFF_LOWER_UP).attr(unix.IFLA_IFNAME, []byte("eth0\x00")).num(unix.IFLA_MTU, 1500).
			attr(unix.IFLA_ADDRESS, []byte{2, 0, 0, 0, 0, 1}).num(unix.IFLA_MASTER, 9).num(unix.IFLA_LINK, 6).num(unix.IFLA_LINK_NETNSID, 0).
			attr(unix.IFLA_LINKINFO, kind("veth", nil)),
			Link{Index: 5, Name: "eth0", Kind: "veth", Type: 1, Flags: unix.IFF_UP | unix.IFF_LOWER_UP, MTU: 1500,
				MAC: MAC{2, 0, 0, 0, 0, 1}, HasMAC: true, Master: 9}, nil},
		{"vrf", linkHead(0, 5, 0).attr(unix.IFLA_LINKINFO, kind("vrf\x00", message{}.num(unix.IFLA_VRF_TABLE, 100))),
			Link{Index: 5, Kind: "vrf", Type: 1, VRFTable: 100}, nil},
		{"vlan", linkHead(0, 5, 0).num(unix.IFLA_LINK, 3).attr(unix.IFLA_LINKINFO, kind("vlan", message{}.attr(iflaVLANID, u16(42)))),
			Link{Index: 5, Kind: "vlan", Type: 1, Parent: 3, VLAN: 42, TPID: 0x8100}, nil},
		{"802.1ad vlan", linkHead(0, 5, 0).num(unix.IFLA_LINK, 3).attr(unix.IFLA_LINKINFO, kind("vlan", message{}.attr(iflaVLANID, u16(42)).
			attr(iflaVLANProtocol, []byte{0x88, 0xa8}))),
			Link{Index: 5, Kind: "vlan", Type: 1, Parent: 3, VLAN: 42, TPID: 0x88a8}, nil},
		{"vlan of attributes of 1 byte", linkHead(0, 5, 0).attr(unix.IFLA_LINKINFO, kind("vlan", message{}.attr(iflaVLANID, []byte{1}).
			attr(iflaVLANProtocol, []byte{0x88}))),
			Link{Index: 5, Kind: "vlan", Type: 1, TPID: 0x8100}, nil},
		{"vlan of 13 bits", linkHead(0, 5, 0).attr(unix.IFLA_LINKINFO, kind("vlan", message{}.attr(iflaVLANID, u16(1<<12)))), Link{}, ErrMessage},
		{"vlan in another namespace", linkHead(0, 5, 0).num(unix.IFLA_LINK, 3).num(unix.IFLA_LINK_NETNSID, 0).
			attr(unix.IFLA_LINKINFO, kind("vlan", message{}.attr(iflaVLANID, u16(42)))),
			Link{Index: 5, Kind: "vlan", Type: 1, VLAN: 42, TPID: 0x8100}, nil},
		{"of a bridge", linkHead(unix.AF_BRIDGE, 5, 0), Link{}, ErrForeign},
		{"no index", linkHead(0, 0, 0), Link{}, ErrMessage},
		{"short", linkHead(0, 1, 0)[:15], Link{}, ErrMessage},
		{"bad kind", linkHead(0, 5, 0).attr(unix.IFLA_LINKINFO, []byte{9, 0, 1, 0}), Link{}, ErrMessage},
	} {
		var l Link
		err := l.Decode(c.in)
		if !errors.Is(err, c.err) || err == nil && l != c.want {
			t.Errorf("%s:\ngot  %+v %v\nwant %+v %v", c.name, l, err, c.want, c.err)
		}
	}
}

func neighborHead(family byte, link uint32, state uint16, flags byte) message {
	return append(append(append(message{family, 0, 0, 0}, u32(link)...), u16(state)...), flags, 0)
}

func TestNeighborDecode(t *testing.T) {
	mac := MAC{2, 0, 0, 0, 0, 9}
	for _, c := range []struct {
		name string
		in   message
		want Neighbor
		err  error
	}{
		{"reachable", neighborHead(unix.AF_INET, 3, unix.NUD_REACHABLE, 0).addr(unix.NDA_DST, "192.0.2.9").attr(unix.NDA_LLADDR, mac[:]),
			Neighbor{3, a("192.0.2.9"), mac, true, unix.NUD_REACHABLE, 0}, nil},
		{"of weft", neighborHead(unix.AF_INET, 3, unix.NUD_PERMANENT, 0).addr(unix.NDA_DST, "192.0.2.9").attr(ndaProtocol, []byte{119}),
			Neighbor{3, a("192.0.2.9"), MAC{}, false, unix.NUD_PERMANENT, 119}, nil},
		{"incomplete", neighborHead(unix.AF_INET6, 3, unix.NUD_INCOMPLETE, 0).addr(unix.NDA_DST, "fe80::9"),
			Neighbor{3, a("fe80::9"), MAC{}, false, unix.NUD_INCOMPLETE, 0}, nil},
		{"of a tunnel", neighborHead(unix.AF_INET, 3, unix.NUD_NOARP, 0).addr(unix.NDA_DST, "192.0.2.9").attr(unix.NDA_LLADDR, mac[:4]),
			Neighbor{3, a("192.0.2.9"), MAC{}, false, unix.NUD_NOARP, 0}, nil},
		{"of a bridge", neighborHead(unix.AF_BRIDGE, 3, unix.NUD_REACHABLE, 0).attr(unix.NDA_LLADDR, mac[:]), Neighbor{}, ErrForeign},
		{"proxy", neighborHead(unix.AF_INET, 3, 0, unix.NTF_PROXY).addr(unix.NDA_DST, "192.0.2.9"), Neighbor{}, ErrForeign},
		{"no address", neighborHead(unix.AF_INET, 3, 0, 0), Neighbor{}, ErrMessage},
		{"no link", neighborHead(unix.AF_INET, 0, 0, 0).addr(unix.NDA_DST, "192.0.2.9"), Neighbor{}, ErrMessage},
		{"short", neighborHead(unix.AF_INET, 0, 0, 0)[:11], Neighbor{}, ErrMessage},
	} {
		var n Neighbor
		err := n.Decode(c.in)
		if !errors.Is(err, c.err) || err == nil && n != c.want {
			t.Errorf("%s:\ngot  %+v %v\nwant %+v %v", c.name, n, err, c.want, c.err)
		}
	}
}

func TestNeighborIsUsable(t *testing.T) {
	for state, want := range map[uint16]bool{
		unix.NUD_NONE: false, unix.NUD_INCOMPLETE: false, unix.NUD_FAILED: false, unix.NUD_REACHABLE: true, unix.NUD_STALE: true,
		unix.NUD_DELAY: true, unix.NUD_PROBE: true, unix.NUD_PERMANENT: true, unix.NUD_NOARP: true,
	} {
		if n := (Neighbor{State: state, HasMAC: true}); n.IsUsable() != want {
			t.Errorf("state %#x: usable %v", state, !want)
		}
		if n := (Neighbor{State: state}); n.IsUsable() {
			t.Errorf("state %#x without an address: usable", state)
		}
	}
}

func TestAddrDecode(t *testing.T) {
	head := func(family, bits byte) message { return append(message{family, bits, 0, 253}, u32(4)...) }
	for _, c := range []struct {
		name string
		in   message
		want Addr
		err  error
	}{
		{"point to point", head(unix.AF_INET, 24).addr(unix.IFA_ADDRESS, "192.0.2.2").addr(unix.IFA_LOCAL, "192.0.2.1"), Addr{4, p("192.0.2.1/24"), 253}, nil},
		{"ipv6", head(unix.AF_INET6, 64).addr(unix.IFA_ADDRESS, "2001:db8::1"), Addr{4, p("2001:db8::1/64"), 253}, nil},
		{"length of 40", head(unix.AF_INET, 40).addr(unix.IFA_ADDRESS, "192.0.2.2"), Addr{}, ErrMessage},
		{"none", head(unix.AF_INET, 24), Addr{}, ErrMessage},
		{"no link", append(message{unix.AF_INET, 24, 0, 253}, 0, 0, 0, 0).addr(unix.IFA_ADDRESS, "192.0.2.2"), Addr{}, ErrMessage},
		{"negative link", append(message{unix.AF_INET, 24, 0, 253}, u32(1<<31)...).addr(unix.IFA_ADDRESS, "192.0.2.2"), Addr{}, ErrMessage},
		{"phonet", head(35, 24), Addr{}, ErrForeign},
		{"short", head(unix.AF_INET, 24)[:7], Addr{}, ErrMessage},
	} {
		var d Addr
		err := d.Decode(c.in)
		if !errors.Is(err, c.err) || err == nil && d != c.want {
			t.Errorf("%s:\ngot  %+v %v\nwant %+v %v", c.name, d, err, c.want, c.err)
		}
	}
}

func netconfHead(family byte, link int32) message {
	return message{family, 0, 0, 0}.num(netconfIfindex, uint32(link))
}

func TestNetconfDecode(t *testing.T) {
	const rpFilter = 3 // NETCONFA_RP_FILTER
	for _, c := range []struct {
		name string
		in   message
		want Netconf
		err  error
	}{
		{"forwards", netconfHead(unix.AF_INET, 3).num(netconfForwarding, 1).num(rpFilter, 0), Netconf{3, unix.AF_INET, true, true}, nil},
		{"does not", netconfHead(unix.AF_INET6, 3).num(netconfForwarding, 0), Netconf{3, unix.AF_INET6, false, true}, nil},
		{"as routers that hear no advertisements", netconfHead(unix.AF_INET6, 3).num(netconfForwarding, 2), Netconf{3, unix.AF_INET6, true, true}, nil},
		{"another setting", netconfHead(unix.AF_INET, 3).num(rpFilter, 1), Netconf{3, unix.AF_INET, false, false}, nil},
		{"goes", netconfHead(unix.AF_INET6, 3), Netconf{3, unix.AF_INET6, false, false}, nil},
		{"all links", netconfHead(unix.AF_INET, -1).num(netconfForwarding, 1), Netconf{}, ErrForeign},
		{"new links", netconfHead(unix.AF_INET, -2).num(netconfForwarding, 1), Netconf{}, ErrForeign},
		{"no link", message{unix.AF_INET, 0, 0, 0}.num(netconfForwarding, 1), Netconf{}, ErrForeign},
		{"mpls", netconfHead(28, 3).num(netconfForwarding, 1), Netconf{}, ErrForeign},
		{"empty", nil, Netconf{}, ErrMessage},
		{"half an attribute", append(netconfHead(unix.AF_INET, 3), 8, 0), Netconf{}, ErrMessage},
		{"a setting of 2 bytes", netconfHead(unix.AF_INET, 3).attr(netconfForwarding, u16(1)), Netconf{}, ErrMessage},
	} {
		n := Netconf{Link: 9, Forwarding: true, Known: true} // of an earlier message
		err := n.Decode(c.in)
		if !errors.Is(err, c.err) || err == nil && n != c.want {
			t.Errorf("%s:\ngot  %+v %v\nwant %+v %v", c.name, n, err, c.want, c.err)
		}
	}
}
