package agreement

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"weft/test/model"
)

// Packet is a frame that comes in by a port of a State.
type Packet struct {
	Port  int // its index in State.Ports
	Frame []byte
}

// maxFrame is the longest that a Generator makes.
const maxFrame = l3 + 9000

// Generator makes packets for a State: most of them nearly right, so that they come
// far. It allocates nothing for each.
type Generator struct {
	rand.PCG
	*rand.Rand
	s        *model.State
	in       []int // ports that packets come in by
	dst, src [2]addresses
	own      [2][][]byte
	hosts    [][2][][]byte // in subnets of a port: senders
}

// addresses are of one family, by what is special in them.
type addresses struct {
	edges   [][]byte // first and last of prefixes of the State, and their neighbors
	hosts   [][]byte // neighbors of the router
	subnets []netip.Prefix
	routes  []netip.Prefix
	special [][]byte
}

var (
	special4 = []string{
		"0.0.0.0", "0.0.0.1", "0.255.255.255", "1.0.0.0", "126.255.255.255", "127.0.0.1", "127.255.255.255", "128.0.0.0", "223.255.255.255",
		"224.0.0.1", "224.0.0.5", "239.255.255.255", "240.0.0.0", "255.255.255.254", "255.255.255.255", "169.254.1.1", "192.0.2.1", "192.88.99.1",
		"198.18.0.5", "100.64.0.1",
	}
	special6 = []string{
		"::", "::1", "::2", "::ffff:192.0.2.1", "::ffff:0:0", "::fffe:ffff:ffff", "::1:0:0:0", "::192.0.2.1", "64:ff9b::192.0.2.1", "100::1", "2001::1", "2002:c000:201::1",
		"fc00::1", "fdff::1", "fe00::1", "fe7f:ffff::1", "fe80::", "fe80::1", "fe80::99", "febf:ffff::1", "fec0::1", "feff::1",
		"ff00::1", "ff01::1", "ff02::1", "ff02::1:ff00:1", "ff05::2", "ff0e::1", "ff10::1", "ff31::1", "ffff::1", "1fff:ffff::1", "4000::1", "3fff:ffff::1",
	}
)

// NewGenerator makes one whose packets are a function of State and seed.
func NewGenerator(s *model.State, seed uint64) *Generator {
	g := &Generator{s: s, hosts: make([][2][][]byte, len(s.Ports))}
	g.Seed(seed, 0x9ac4e7)
	g.Rand = rand.New(&g.PCG)
	for f, all := range [][]string{special4, special6} {
		for _, a := range all {
			b := netip.MustParseAddr(a).AsSlice()
			g.dst[f].special, g.src[f].special = append(g.dst[f].special, b), append(g.src[f].special, b)
		}
	}
	for i, p := range s.Ports {
		if !p.Down {
			g.in = append(g.in, i)
		}
		for _, a := range p.Addrs {
			f := family(a.Addr())
			g.own[f] = append(g.own[f], a.Addr().AsSlice())
			if a.Addr().IsLinkLocalUnicast() {
				continue // there are enough of them among special addresses
			}
			g.dst[f].subnets = append(g.dst[f].subnets, a)
			g.addEdges(a)
		}
	}
	for _, n := range s.Neighbors {
		f, port := family(n.Addr), g.port(n.Port)
		if n.Addr.IsLinkLocalUnicast() {
			continue
		}
		g.dst[f].hosts = append(g.dst[f].hosts, n.Addr.AsSlice())
		g.hosts[port][f] = append(g.hosts[port][f], n.Addr.AsSlice())
	}
	for _, r := range s.Routes {
		f := family(r.Prefix.Addr())
		g.dst[f].routes = append(g.dst[f].routes, r.Prefix)
		g.addEdges(r.Prefix)
	}
	return g
}

// family is an index: 0 IPv4, 1 IPv6.
func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

func (g *Generator) port(name string) int {
	for i, p := range g.s.Ports {
		if p.Name == name {
			return i
		}
	}
	return 0
}

func (g *Generator) addEdges(p netip.Prefix) {
	f := family(p.Addr())
	first, last := p.Masked().Addr(), last(p)
	for _, a := range []netip.Addr{first, first.Next(), first.Prev(), last, last.Prev(), last.Next()} {
		if a.IsValid() {
			g.dst[f].edges = append(g.dst[f].edges, a.AsSlice())
		}
	}
}

func (g *Generator) oneIn(n int) bool { return g.IntN(n) == 0 }

func (g *Generator) oneOf(all [][]byte) []byte {
	if len(all) == 0 {
		return nil
	}
	return all[g.IntN(len(all))]
}

// draft is a packet on its way to be one.
type draft struct {
	b      []byte // the frame
	family int    // 4, 6 or 0
	hlen   int    // of the fixed header and IPv4 options
	in     int
}

// Next makes a packet in the memory of buf, which has room for maxFrame bytes and
// some tags.
func (g *Generator) Next(buf []byte) Packet {
	t := &templates[templateByDraw[g.IntN(len(templateByDraw))]]
	d := draft{b: append(buf[:0], t.frame...), family: t.family, in: g.in[g.IntN(len(g.in))]}
	if g.oneIn(2) {
		d.in = g.in[0]
	}
	copy(d.b[:6], g.s.Ports[d.in].MAC[:])
	switch d.family {
	case 4:
		d.hlen = int(d.b[l3]&15) * 4
		g.address(d.b[l3+16:l3+20], d.b[l3+12:l3+16], 0, d.in)
		d.b[l3+8] = g.ttl(d.b[l3+8])
	case 6:
		d.hlen = 40
		g.address(d.b[l3+24:l3+40], d.b[l3+8:l3+24], 1, d.in)
		d.b[l3+7] = g.ttl(d.b[l3+7])
	}
	if d.family != 0 {
		g.vary(&d)
	}
	if g.oneIn(4) {
		g.mutate(&d)
	}
	g.pad(&d)
	if g.oneIn(16) {
		g.mutateLink(&d)
	}
	if most := l3 + g.s.Ports[d.in].MTU; len(d.b) > most {
		d.b = d.b[:most] // a wire takes no more
	}
	return Packet{d.in, d.b}
}

func (g *Generator) ttl(usual byte) byte {
	switch g.IntN(24) {
	case 0:
		return byte(g.IntN(3))
	case 1:
		return []byte{2, 128, 254, 255}[g.IntN(4)]
	}
	return usual
}

// address draws where a packet goes and whence it comes.
func (g *Generator) address(dst, src []byte, f, in int) {
	g.destination(dst, f)
	switch n := g.IntN(64); {
	case n < 20 && len(g.hosts[in][f]) > 0:
		copy(src, g.oneOf(g.hosts[in][f]))
	case n == 20:
		copy(src, g.oneOf(g.src[f].special))
	case n == 21:
		copy(src, g.oneOf(g.own[f]))
	case n == 22:
		copy(src, dst)
	case n == 23:
		g.random(src, 0)
	default:
		g.random(src, len(src)-2) // in documentation space, a host
	}
}

func (g *Generator) destination(dst []byte, f int) {
	a := &g.dst[f]
	switch n := g.IntN(64); {
	case n < 34 && len(a.routes) > 0:
		g.within(dst, a.routes[g.IntN(len(a.routes))])
	case n < 46:
		copy(dst, g.oneOf(a.edges))
	case n < 56:
		copy(dst, g.oneOf(a.hosts))
	case n < 57 && len(a.subnets) > 0:
		g.within(dst, a.subnets[g.IntN(len(a.subnets))])
	case n < 59:
		copy(dst, g.oneOf(g.own[f]))
	case n < 61:
		copy(dst, g.oneOf(a.special))
	case n < 62:
		g.random(dst, 0)
	} // else as the template has it
}

func (g *Generator) within(dst []byte, p netip.Prefix) {
	if p.Addr().Is4() {
		b := p.Addr().As4()
		copy(dst, b[:])
	} else {
		b := p.Addr().As16()
		copy(dst, b[:])
	}
	from := p.Bits()
	if g.oneIn(2) {
		from = max(from, len(dst)*8-8)
	}
	for bit := from; bit < len(dst)*8; bit++ {
		if mask := byte(0x80 >> (bit % 8)); g.oneIn(2) {
			dst[bit/8] |= mask
		} else {
			dst[bit/8] &^= mask
		}
	}
}

// random fills b from a place on.
func (g *Generator) random(b []byte, from int) {
	for i := from; i < len(b); i++ {
		b[i] = byte(g.Uint32())
	}
}

// vary changes what a right packet may be, and makes lengths and checksum right.
func (g *Generator) vary(d *draft) {
	if g.oneIn(8) {
		g.grow(d)
	}
	ip := d.b[l3:]
	if d.family == 4 {
		if g.oneIn(4) {
			ip[1] = byte(g.Uint32())
		}
		binary.BigEndian.PutUint16(ip[4:], uint16(g.Uint32()))
	} else if g.oneIn(4) {
		g.random(ip[1:4], 0)
		ip[0] = 0x60 | byte(g.Uint32())&15
	}
	if len(ip) >= d.hlen+4 && g.oneIn(2) {
		g.random(ip[d.hlen:d.hlen+4], 0) // ports: another flow
	}
	setLength(d)
	if d.family == 4 && g.oneIn(16) {
		g.aimChecksum(d)
	}
	setChecksum(d)
	if g.oneIn(40) {
		leaveChecksum(d)
	}
}

// grow makes a packet as long as some MTU, a byte more or less.
func (g *Generator) grow(d *draft) {
	mtu := g.s.Ports[g.IntN(len(g.s.Ports))].MTU
	if n := len(g.s.Routes); n > 0 && g.oneIn(3) {
		if m := g.s.Routes[g.IntN(n)].MTU; m != 0 {
			mtu = m
		}
	}
	n := min(mtu+g.IntN(3)-1, g.s.Ports[d.in].MTU, maxFrame-l3) + l3
	if g.oneIn(4) && n > len(d.b) {
		n = len(d.b) + g.IntN(n-len(d.b))
	}
	for have := len(d.b); have < n; have = len(d.b) {
		d.b = append(d.b, d.b[l3:min(have, l3+n-have)]...)
	}
}

// setLength makes a header say that the packet is as long as the frame.
func setLength(d *draft) {
	if d.family == 4 {
		binary.BigEndian.PutUint16(d.b[l3+2:], uint16(len(d.b)-l3))
	} else {
		binary.BigEndian.PutUint16(d.b[l3+4:], uint16(len(d.b)-l3-40))
	}
}

// setChecksum makes an IPv4 header's checksum right.
func setChecksum(d *draft) {
	if d.family != 4 {
		return
	}
	h := d.b[l3:min(len(d.b), l3+max(int(d.b[l3]&15)*4, 20))]
	h[10], h[11] = 0, 0
	binary.BigEndian.PutUint16(h[10:], ^sum(h, 0))
}

// sum is the ones' complement sum of RFC 1071.
func sum(b []byte, start uint32) uint16 {
	for ; len(b) > 1; b = b[2:] {
		start += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		start += uint32(b[0]) << 8
	}
	for start > 0xffff {
		start = start&0xffff + start>>16
	}
	return uint16(start)
}

// aimChecksum makes the identification such that the checksum is one of those at
// which RFC 1624 goes wrong when it is not minded.
func (g *Generator) aimChecksum(d *draft) {
	want := []uint16{0x0000, 0xfeff, 0xfefe, 0xff00, 0xffff, 0x00ff, 0xfdff}[g.IntN(7)]
	h := d.b[l3 : l3+20]
	h[4], h[5], h[10], h[11] = 0, 0, 0, 0
	if int(h[0]&15) == 5 {
		binary.BigEndian.PutUint16(h[4:], sum([]byte{byte(^want >> 8), byte(^want)}, uint32(^sum(h, 0))))
	}
}

// leaveChecksum makes the checksum of a UDP or TCP packet what hosts leave to
// hardware: the sum of the pseudo-header.
func leaveChecksum(d *draft) {
	ip := d.b[l3:]
	protocol, addrs := ip[6], ip[8:40]
	if d.family == 4 {
		protocol, addrs = ip[9], ip[12:20]
	}
	at := d.hlen + map[byte]int{17: 6, 6: 16}[protocol]
	if at == d.hlen || at+2 > len(ip) {
		return
	}
	binary.BigEndian.PutUint16(ip[at:], sum(addrs, uint32(protocol)+uint32(len(ip)-d.hlen)))
}

// pad makes a frame as long as Ethernet wants it, or longer.
func (g *Generator) pad(d *draft) {
	const shortest = 60
	n := 0
	if len(d.b) < shortest && g.oneIn(2) {
		n = shortest - len(d.b)
	} else if g.oneIn(16) {
		n = 1 + g.IntN(40)
	}
	for range n {
		d.b = append(d.b, byte(g.Uint32()))
	}
}
