package filter

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// link is where the headers of a frame are: vlan moves them.
type link struct{ etherType, network uint32 }

var ethernet = link{12, 14}

const (
	tagLen  = 4
	fixed6  = 40 // an IPv6 header
	typeRev = 0x8035

	ip4Fragment, ip4Protocol, ip4Src, ip4Dst = 6, 9, 12, 16
	ip6Next, ip6Src, ip6Dst                  = 6, 8, 24
	arpSrc, arpDst                           = 14, 24
	etherDst, etherSrc                       = 0, 6
)

func equal(at uint32, size int, with uint32) condition {
	return compare{at: at, size: size, test: bpf.JumpEqual, with: with}
}

func (l link) isType(t uint32) condition { return equal(l.etherType, 2, t) }
func (l link) isIP() condition           { return l.isType(unix.ETH_P_IP) }
func (l link) isIP6() condition          { return l.isType(unix.ETH_P_IPV6) }

func (l link) protocol4(p uint32) condition {
	return and{l.isIP(), equal(l.network+ip4Protocol, 1, p)}
}

// protocol6 looks behind the fixed header, or behind one fragment header.
func (l link) protocol6(p uint32) condition {
	return and{l.isIP6(), or{
		and{equal(l.network+ip6Next, 1, unix.IPPROTO_FRAGMENT), equal(l.network+fixed6, 1, p)},
		equal(l.network+ip6Next, 1, p),
	}}
}

func (l link) protocol(p uint32) condition { return or{l.protocol4(p), l.protocol6(p)} }

// first tells whether an IPv4 packet has its L4 header: no fragment, or the first one.
func (l link) first() condition {
	return not{compare{at: l.network + ip4Fragment, size: 2, test: bpf.JumpBitsSet, with: 0x1fff}}
}

// towards joins the conditions of both directions as a qualifier says.
func (d direction) towards(src, dst condition) condition {
	switch d {
	case source:
		return src
	case destination:
		return dst
	case sourceAndDestination:
		return and{src, dst}
	}
	return or{src, dst}
}

// prefix4 compares addresses with a prefix, at offsets from the network header on.
func (l link) prefix4(p netip.Prefix, d direction, src, dst uint32) condition {
	if p.Bits() == 0 {
		return both(true)
	}
	at := func(off uint32) condition {
		b := p.Addr().As4()
		mask := ^uint32(0) << (32 - p.Bits())
		c := compare{at: l.network + off, size: 4, test: bpf.JumpEqual, with: binary.BigEndian.Uint32(b[:]) & mask}
		if p.Bits() < 32 {
			c.mask = mask
		}
		return c
	}
	return d.towards(at(src), at(dst))
}

func (l link) prefix6(p netip.Prefix, d direction) condition {
	if p.Bits() == 0 {
		return l.isIP6()
	}
	at := func(off uint32) condition {
		var cs []condition
		b := p.Addr().As16()
		for i := range 4 {
			bits := min(max(p.Bits()-32*i, 0), 32)
			c := compare{at: l.network + off + uint32(4*i), size: 4, test: bpf.JumpEqual, with: binary.BigEndian.Uint32(b[4*i:])}
			switch {
			case bits == 0:
				continue
			case bits < 32:
				c.mask = ^uint32(0) << (32 - bits)
				c.with &= c.mask
			}
			cs = append(cs, c)
		}
		return all(cs...)
	}
	return and{l.isIP6(), d.towards(at(ip6Src), at(ip6Dst))}
}

// station compares the MACs of a frame.
func station(m [6]byte, d direction) condition {
	at := func(off uint32) condition {
		return and{equal(off+2, 4, binary.BigEndian.Uint32(m[2:])), equal(off, 2, uint32(binary.BigEndian.Uint16(m[:])))}
	}
	return d.towards(at(etherSrc), at(etherDst))
}

// ports compares the ports of packets of some protocols with a range.
func (l link) ports(from, to uint32, d direction, protocols []uint32) condition {
	return or{l.ports6(from, to, d, protocols), l.ports4(from, to, d, protocols)}
}

func (l link) ports4(from, to uint32, d direction, protocols []uint32) condition {
	at := func(off uint32) condition {
		return within(compare{at: l.network + off, size: 2, behind: true, ip: l.network}, from, to)
	}
	var cs []condition
	for _, p := range protocols {
		cs = append(cs, equal(l.network+ip4Protocol, 1, p))
	}
	return all(l.isIP(), anyOf(cs...), l.first(), d.towards(at(0), at(2)))
}

func (l link) ports6(from, to uint32, d direction, protocols []uint32) condition {
	at := func(off uint32) condition {
		return within(compare{at: l.network + fixed6 + off, size: 2}, from, to)
	}
	var cs []condition
	for _, p := range protocols {
		cs = append(cs, equal(l.network+ip6Next, 1, p))
	}
	return all(l.isIP6(), anyOf(cs...), d.towards(at(0), at(2)))
}

func within(c compare, from, to uint32) condition {
	if from == to {
		c.test, c.with = bpf.JumpEqual, from
		return c
	}
	least, most := c, c
	least.test, least.with = bpf.JumpGreaterOrEqual, from
	most.test, most.with = bpf.JumpLessOrEqual, to
	return and{least, most}
}
