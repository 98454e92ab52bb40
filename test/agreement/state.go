package agreement

import (
	"math/rand/v2"
	"net/netip"

	"weft/dataplane"
	"weft/test/model"
)

// sharedSeeds is how many States in a row have one seed of the flow hash: with
// another one weft starts anew.
const sharedSeeds = 8

// NewState draws a router: a function of the seed.
func NewState(seed uint64) *model.State {
	d := &drawing{Rand: rand.New(rand.NewPCG(seed, 0x57a7e)), s: new(model.State), addrs: map[netip.Addr]bool{}, subnets: map[netip.Prefix]bool{}}
	d.s.HashSeed = rand.New(rand.NewPCG(seed/sharedSeeds, 0x4a54)).Uint32()
	d.ports()
	d.neighbors()
	d.routes()
	return d.s
}

// drawing is a State that is being drawn.
type drawing struct {
	*rand.Rand
	s       *model.State
	addrs   map[netip.Addr]bool   // of the router
	subnets map[netip.Prefix]bool // of its ports
	hops    []model.Hop           // neighbors that routes may lead to, those that are missing, too
}

// oneIn tells whether something happens that does once in n times.
func (d *drawing) oneIn(n int) bool { return d.IntN(n) == 0 }

var (
	mtus     = []int{68, 576, 1280, 1281, 1300, 1492, 1500, 1500, 1500, 1500, 9000}
	subnets4 = []int{8, 16, 20, 22, 24, 24, 24, 25, 28, 29, 30, 31, 32}
	subnets6 = []int{32, 48, 56, 64, 64, 64, 112, 120, 126, 127, 128}
)

const minMTU6 = 1280 // RFC 8200 5

func (d *drawing) ports() {
	for n := range 3 + d.IntN(maxPorts-2) {
		p := model.Port{Name: portName(n), MAC: d.mac(), MTU: mtus[d.IntN(len(mtus))], IPv4: true, IPv6: true}
		if d.oneIn(4) {
			p.MTU = 68 + d.IntN(8933)
		}
		if n < 2 { // most packets are to have a way through
			p.MTU = max(p.MTU, minMTU6)
		} else {
			p.Down = d.oneIn(12)
			switch d.IntN(16) {
			case 0:
				p.IPv4 = false
			case 1:
				p.IPv6 = false
			}
		}
		for range 1 + d.IntN(3) {
			p.Addrs = append(p.Addrs, d.own(netip.AddrFrom4([4]byte{10, byte(1 + n), d.byte(), d.byte()}), subnets4)...)
		}
		if p.MTU < minMTU6 {
			p.IPv6 = false
		} else {
			p.Addrs = append(p.Addrs, netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfe, 0x80, 15: byte(1 + n)}), 64))
			for range 1 + d.IntN(3) {
				p.Addrs = append(p.Addrs, d.own(d.addr6(byte(n)), subnets6)...)
			}
		}
		p.IPv4 = p.IPv4 || !p.IPv6 // one that forwards nothing is no port
		d.s.Ports = append(d.s.Ports, p)
	}
}

// own makes an address one of the router's: in a subnet that no other is in.
func (d *drawing) own(a netip.Addr, lengths []int) []netip.Prefix {
	p := netip.PrefixFrom(a, lengths[d.IntN(len(lengths))])
	if d.addrs[a] || d.subnets[p.Masked()] || isEnd(p) {
		return nil
	}
	d.addrs[a], d.subnets[p.Masked()] = true, true
	return []netip.Prefix{p}
}

// isEnd tells whether an address is the first or the last of a subnet that gives
// these another meaning.
func isEnd(p netip.Prefix) bool {
	if p.Bits() >= p.Addr().BitLen()-1 {
		return false
	}
	return p.Addr() == p.Masked().Addr() || p.Addr() == last(p)
}

// last is the highest address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func (d *drawing) byte() byte { return byte(d.Uint32()) }

func (d *drawing) mac() dataplane.MAC {
	return dataplane.MAC{0x02 | d.byte()&0xfc, d.byte(), d.byte(), d.byte(), d.byte(), d.byte()}
}

// addr6 is in documentation or unique local space.
func (d *drawing) addr6(port byte) netip.Addr {
	a := [16]byte{0x20, 0x01, 0x0d, 0xb8}
	if d.oneIn(4) {
		a = [16]byte{0xfd, 0x00, 0xf1, 0xb0}
	}
	a[5], a[7] = port, d.byte()
	for i := 8; i < 16; i++ {
		if d.oneIn(3) {
			a[i] = d.byte()
		}
	}
	return netip.AddrFrom16(a)
}

// within draws an address of a prefix.
func (d *drawing) within(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	random := d.IntN(4)
	for bit := max(p.Bits(), len(b)*8-[]int{4, 8, 16, 128}[random]); bit < len(b)*8; bit++ {
		if d.oneIn(2) {
			b[bit/8] |= 0x80 >> (bit % 8)
		}
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// neighbors draws some hosts for each subnet: known, failed, and never heard of.
func (d *drawing) neighbors() {
	known := map[model.Hop]bool{}
	for i := range d.s.Ports {
		p := &d.s.Ports[i]
		for _, subnet := range p.Addrs {
			for range 1 + d.IntN(5) {
				a := d.within(subnet)
				h := model.Hop{Gateway: a, Port: p.Name}
				if d.addrs[a] || known[h] || !d.attached(a, subnet) || isEnd(netip.PrefixFrom(a, subnet.Bits())) || a.IsLinkLocalUnicast() && a.As16()[15] <= maxPorts {
					continue
				}
				known[h] = true
				d.hops = append(d.hops, h)
				switch d.IntN(9) {
				case 0: // missing
				case 1:
					d.s.Neighbors = append(d.s.Neighbors, model.Neighbor{Port: p.Name, Addr: a, State: model.Failed})
				default:
					d.s.Neighbors = append(d.s.Neighbors, model.Neighbor{Port: p.Name, Addr: a, MAC: d.mac(), State: model.Permanent})
				}
			}
		}
	}
}

// attached tells whether no subnet of another port, or a longer one, has an address.
func (d *drawing) attached(a netip.Addr, by netip.Prefix) bool {
	for p := range d.subnets {
		if p.Contains(a) && p.Bits() >= by.Bits() && p != by.Masked() {
			return false
		}
	}
	return true
}

// hidesGateway tells whether an IPv6 prefix would be the way to a gateway, which
// Linux wants to be on the link when a route to it is added.
func (d *drawing) hidesGateway(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return false
	}
	for _, h := range d.hops {
		if !p.Contains(h.Gateway) {
			continue
		}
		longest := 0
		for subnet := range d.subnets {
			if subnet.Contains(h.Gateway) {
				longest = max(longest, subnet.Bits())
			}
		}
		if p.Bits() >= longest {
			return true
		}
	}
	return false
}

// routes draws prefixes of all lengths, many of them in or around one another.
func (d *drawing) routes() {
	type key struct {
		prefix netip.Prefix
		metric uint32
	}
	taken := map[key]bool{}
	n := 20 + d.IntN(130)
	if d.oneIn(8) {
		n = 1000
	}
	var prefixes []netip.Prefix
	for range n {
		p := d.prefix(prefixes)
		if isSpecial(p) || d.hidesGateway(p) {
			continue
		}
		prefixes = append(prefixes, p)
		r := model.Route{Prefix: p, Kind: model.Unicast, Metric: uint32(d.IntN(3)) * 10}
		if d.subnets[p] {
			r.Metric += 10 // that of the address has 0
		}
		if p.Addr().Is6() {
			r.Metric = 100 + uint32(d.IntN(3))*500 // those of addresses have 256
		}
		if k := (key{p, r.Metric}); taken[k] {
			continue
		} else {
			taken[k] = true
		}
		switch d.IntN(24) {
		case 0:
			r.Kind = model.Blackhole
		case 1:
			r.Kind = model.Unreachable
		case 2:
			r.Kind = model.Prohibit
		default:
			if !d.lead(&r) {
				continue
			}
		}
		d.s.Routes = append(d.s.Routes, r)
	}
}

// prefix draws one of any length, which may be around or in one that is there.
func (d *drawing) prefix(there []netip.Prefix) netip.Prefix {
	if len(there) > 0 && d.oneIn(2) {
		p := there[d.IntN(len(there))]
		p, _ = d.within(p).Prefix(d.IntN(p.Addr().BitLen() + 1))
		return p
	}
	if d.oneIn(30) {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	if d.oneIn(30) {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	if d.oneIn(2) {
		first := []byte{20, 100, 172, 192, 198, 203, 240, 10, 1, 223, 126, 128}[d.IntN(12)]
		p, _ := netip.AddrFrom4([4]byte{first, d.byte(), d.byte(), d.byte()}).Prefix(d.IntN(33))
		return p
	}
	a := [16]byte{0x24, 0x00}
	if d.oneIn(3) {
		a = [16]byte{0x20, 0x01, 0x0d, 0xb8}
	}
	if d.oneIn(8) {
		a = [16]byte{0x00, 0x64, 0xff, 0x9b}
	}
	for i := 4; i < 16; i++ {
		if d.oneIn(2) {
			a[i] = d.byte()
		}
	}
	p, _ := netip.AddrFrom16(a).Prefix(d.IntN(129))
	return p
}

// isSpecial tells of prefixes that no packet is forwarded by, and Linux keeps for
// purposes of its own.
func isSpecial(p netip.Prefix) bool {
	if p.Bits() == 0 {
		return false
	}
	b := p.Addr().AsSlice()
	if p.Addr().Is4() {
		return p.Bits() >= 4 && b[0]>>4 == 14 || p.Bits() >= 8 && (b[0] == 0 || b[0] == 127)
	}
	return b[0] >= 0xfe || b[0] == 0 && b[1] == 0
}

// lead gives a route next hops.
func (d *drawing) lead(r *model.Route) bool {
	n := 1
	if d.oneIn(4) {
		n = 2 + d.IntN(7)
	}
	seen := map[model.Hop]bool{}
	for range n {
		h := d.hops[d.IntN(len(d.hops))]
		six := r.Prefix.Addr().Is6()
		switch {
		case six && h.Gateway.Is4(), !six && h.Gateway.Is6() && !d.oneIn(4):
			continue
		case n == 1 && d.oneIn(10), !six && d.oneIn(40):
			h.Gateway = netip.Addr{} // all of the prefix is on the link
		}
		if !seen[h] {
			seen[h] = true
			h.Weight = 1
			if n > 1 && d.oneIn(2) {
				h.Weight = 1 + d.IntN(16)
			}
			r.Hops = append(r.Hops, h)
		}
	}
	if len(r.Hops) == 1 {
		r.Hops[0].Weight = 1
	}
	if d.oneIn(10) && len(r.Hops) > 0 {
		r.MTU = d.routeMTU(r)
	}
	return len(r.Hops) > 0
}

// routeMTU is at most that of the ports, and at least what the family wants.
func (d *drawing) routeMTU(r *model.Route) int {
	least := 68
	if r.Prefix.Addr().Is6() {
		least = minMTU6
	}
	most := wireMTU
	for _, h := range r.Hops {
		n, _ := portNumber(h.Port)
		most = min(most, d.s.Ports[n].MTU)
	}
	if most <= least {
		return 0
	}
	return least + d.IntN(most-least)
}
