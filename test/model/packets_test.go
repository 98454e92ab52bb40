package model

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"weft/dataplane"
)

var (
	hostMAC  = dataplane.MAC{2, 0, 0, 0, 0, 0xaa}
	nextMAC  = dataplane.MAC{2, 0, 0, 0, 0, 0xbb}
	otherMAC = dataplane.MAC{2, 0, 0, 0, 0, 0x77}
	allMAC   = dataplane.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	groupMAC = dataplane.MAC{1, 0, 0x5e, 0, 0, 5}
)

func macOf(port string) dataplane.MAC {
	return dataplane.MAC{2, 0, 0, 0, 1, map[string]byte{"in": 1, "out": 2, "narrow": 3, "bare": 4, "off": 5, "down": 6, "tiny": 7, "mark": 8, "marked": 9}[port]}
}

func prefixes(text ...string) (all []netip.Prefix) {
	for _, p := range text {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

// table is the state that the packets of the tables meet.
func table() *State {
	s := &State{HashSeed: 0x5eed}
	port := func(name string, mtu int, addrs ...string) {
		s.Ports = append(s.Ports, Port{Name: name, MAC: macOf(name), MTU: mtu, Addrs: prefixes(addrs...), IPv4: name != "off", IPv6: name != "off"})
	}
	port("in", 1500, "10.1.0.1/24", "10.1.1.1/30", "10.1.0.129/24", "2001:db8:1::1/64")
	port("out", 1500, "10.2.0.1/24", "10.2.3.0/31", "10.2.4.1/32", "2001:db8:2::1/64", "2001:db8:2:1::/127", "fd02::1/64")
	port("narrow", 1300, "10.3.0.1/24", "2001:db8:3::1/64")
	port("bare", 1500)
	port("off", 1500, "10.5.0.1/24", "2001:db8:5::1/64")
	port("down", 1500, "10.6.0.1/24", "2001:db8:6::1/64")
	s.Ports[5].Down = true
	port("tiny", 68, "10.7.0.1/24")
	port("mark", 1500, "10.8.0.1/24")
	port("marked", 1500, "10.9.0.1/24")
	neighbor := func(port, a string, m dataplane.MAC, state NeighborState) {
		s.Neighbors = append(s.Neighbors, Neighbor{port, addr(a), m, state})
	}
	neighbor("in", "10.1.0.2", hostMAC, Permanent)
	neighbor("in", "2001:db8:1::2", hostMAC, Permanent)
	for i, port := range []string{"out", "narrow", "", "off", "", "tiny"} {
		if port != "" {
			mac := nextMAC
			mac[4] = byte(i + 2)
			neighbor(port, "10."+string(rune('2'+i))+".0.2", mac, Permanent)
			if port != "tiny" {
				neighbor(port, "2001:db8:"+string(rune('2'+i))+"::2", mac, Permanent)
			}
		}
	}
	neighbor("out", "fe80::2", nextMAC, Permanent)
	neighbor("marked", "10.9.0.2", nextMAC, Permanent)
	neighbor("bare", "10.4.0.2", nextMAC, Permanent)
	neighbor("bare", "2001:db8:4::2", nextMAC, Permanent)
	neighbor("out", "10.2.0.3", otherMAC, Permanent)
	neighbor("out", "2001:db8:2::3", otherMAC, Permanent)
	neighbor("out", "10.2.0.4", dataplane.MAC{}, Failed)
	neighbor("out", "2001:db8:2::4", dataplane.MAC{}, Failed)
	route := func(prefix string, kind RouteKind, mtu int, hops ...Hop) {
		s.Routes = append(s.Routes, Route{Prefix: netip.MustParsePrefix(prefix), Kind: kind, MTU: mtu, Hops: hops})
	}
	via := func(gateway, port string) Hop {
		h := Hop{Port: port, Weight: 1}
		if gateway != "" {
			h.Gateway = addr(gateway)
		}
		return h
	}
	twice := []Hop{via("10.2.0.2", "out"), via("10.3.0.2", "narrow")}
	twice6 := []Hop{via("2001:db8:2::2", "out"), via("2001:db8:3::2", "narrow")}
	twice[1].Weight, twice6[1].Weight = 2, 2
	for _, r := range []struct {
		four, six string
		kind      RouteKind
		mtu       int
		hops      []Hop
	}{
		{"20.0.0.0/16", "2001:db8:20::/48", Unicast, 0, []Hop{via("10.2.0.2", "out")}},
		{"20.1.0.0/16", "2001:db8:21::/48", Unicast, 0, []Hop{via("10.3.0.2", "narrow")}},
		{"20.2.0.0/16", "2001:db8:22::/48", Unicast, 0, []Hop{via("10.4.0.2", "bare")}},
		{"20.3.0.0/16", "2001:db8:23::/48", Unicast, 0, twice},
		{"20.4.0.0/16", "2001:db8:24::/48", Unicast, 1400, []Hop{via("10.2.0.2", "out")}},
		{"20.5.0.0/16", "2001:db8:25::/48", Blackhole, 0, nil},
		{"20.6.0.0/16", "2001:db8:26::/48", Unreachable, 0, nil},
		{"20.7.0.0/16", "2001:db8:27::/48", Prohibit, 0, nil},
		{"20.8.0.0/16", "2001:db8:28::/48", Unicast, 0, []Hop{via("10.2.0.4", "out")}},
		{"20.9.0.0/16", "2001:db8:29::/48", Unicast, 0, []Hop{via("10.2.0.9", "out")}},
		{"20.10.0.0/16", "2001:db8:2a::/48", Unicast, 0, []Hop{via("", "out")}},
		{"20.11.0.0/16", "2001:db8:2b::/48", Unicast, 0, []Hop{via("10.1.0.2", "in")}},
		{"20.12.0.0/16", "", Unicast, 0, []Hop{via("fe80::2", "out")}},
		{"20.13.0.0/16", "", Unicast, 0, []Hop{via("10.7.0.2", "tiny")}},
		{"20.14.0.0/16", "2001:db8:2e::/48", Unicast, 0, []Hop{via("10.6.0.2", "down")}},
		{"20.0.0.0/24", "2001:db8:20::/64", Unicast, 0, []Hop{via("10.3.0.2", "narrow")}},
		{"0.0.0.0/8", "::/96", Unicast, 0, []Hop{via("10.2.0.2", "out")}},
		{"240.0.0.0/4", "::ffff:0:0/96", Unicast, 0, []Hop{via("10.2.0.2", "out")}},
		{"198.51.100.0/24", "fd99::/16", Unicast, 0, []Hop{via("10.1.0.2", "in")}},
	} {
		if r.four != "" {
			route(r.four, r.kind, r.mtu, r.hops...)
		}
		if r.six != "" {
			hops := slices.Clone(r.hops)
			for i := range hops {
				switch {
				case len(hops) == 2:
					hops[i] = twice6[i]
				case hops[i].Gateway.IsValid():
					b := hops[i].Gateway.As4()
					hops[i].Gateway = addr("2001:db8:" + string(rune('0'+b[1])) + "::" + string(rune('0'+b[3])))
				}
			}
			route(r.six, r.kind, r.mtu, hops...)
		}
	}
	return s
}

type edit func(ip []byte)

func id(n uint16) edit         { return func(b []byte) { put16(b[4:], int(n)) } }
func at(i int, v ...byte) edit { return func(b []byte) { copy(b[i:], v) } }

// ip4 makes a packet of UDP with 8 bytes, TTL 64, and the right checksum.
func ip4(src, dst string, edits ...edit) []byte {
	return raw4(src, dst, nil, []byte{0x12, 0x34, 0, 53, 0, 16, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}, edits...)
}

// raw4 makes a packet with options and a payload.
func raw4(src, dst string, options, payload []byte, edits ...edit) []byte {
	b := make([]byte, header4, header4+len(options)+len(payload))
	b[0] = byte(0x45 + len(options)/4)
	put16(b[2:], header4+len(options)+len(payload))
	put16(b[4:], 0x1234)
	b[8], b[9] = 64, 17
	copy(b[12:], addr(src).AsSlice())
	copy(b[16:], addr(dst).AsSlice())
	b = append(append(b, options...), payload...)
	for _, e := range edits {
		e(b)
	}
	if h := ipv4(b); h.hlen() >= header4 && h.hlen() <= len(b) {
		h.setChecksum()
	}
	return b
}

// ip6 makes a packet of UDP with 8 bytes, hop limit 64.
func ip6(src, dst string, edits ...edit) []byte {
	return raw6(src, dst, 17, []byte{0x12, 0x34, 0, 53, 0, 16, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8}, edits...)
}

func raw6(src, dst string, next byte, payload []byte, edits ...edit) []byte {
	b := make([]byte, header6, header6+len(payload))
	binary.BigEndian.PutUint32(b, 6<<28|0x12345)
	put16(b[4:], len(payload))
	b[6], b[7] = next, 64
	s, d := netip.MustParseAddr(src).As16(), netip.MustParseAddr(dst).As16()
	copy(b[8:], s[:])
	copy(b[24:], d[:])
	b = append(b, payload...)
	for _, e := range edits {
		e(b)
	}
	return b
}

func bytesOf(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}
