package agreement

import (
	"encoding/binary"
	"slices"
)

// mutate breaks a packet, in one place or in some.
func (g *Generator) mutate(d *draft) {
	for {
		switch d.family {
		case 4:
			g.mutate4(d)
		case 6:
			g.mutate6(d)
		}
		if g.oneIn(4) {
			g.mutateAny(d)
		}
		if !g.oneIn(4) {
			return
		}
	}
}

// mutate4 changes a field of an IPv4 header. Most times the checksum is right after
// it, so that it is the field that is seen.
func (g *Generator) mutate4(d *draft) {
	ip := d.b[l3:]
	if len(ip) < 20 {
		return
	}
	switch g.IntN(10) {
	case 0:
		ip[0] = ip[0]&15 | byte(g.IntN(16))<<4 // version
	case 1:
		ip[0] = ip[0]&0xf0 | byte(g.IntN(16)) // header length
	case 2:
		g.mutateLength(d, ip[2:4], int(ip[0]&15)*4)
	case 3:
		g.random(ip[6:8], 0) // flags, fragment offset
	case 4:
		ip[6] ^= []byte{0x80, 0x40, 0x20}[g.IntN(3)] // one flag
	case 5:
		ip[9] = byte(g.Uint32()) // protocol
	case 6:
		binary.BigEndian.PutUint16(ip[10:], uint16(g.Uint32()))
		return
	case 7:
		ip[10+g.IntN(2)] ^= 1 << g.IntN(8)
		return
	case 8:
		if d.hlen > 20 && len(ip) >= d.hlen {
			ip[20+g.IntN(d.hlen-20)] = byte(g.Uint32()) // options
		}
	case 9:
		ip[g.IntN(20)] ^= 1 << g.IntN(8)
	}
	if !g.oneIn(8) {
		setChecksum(d)
	}
}

// mutateLength makes a length field wrong by a little, by a lot, or right by chance.
func (g *Generator) mutateLength(d *draft, field []byte, least int) {
	n := int(binary.BigEndian.Uint16(field))
	switch g.IntN(5) {
	case 0:
		n += 1 + g.IntN(3)
	case 1:
		n -= 1 + g.IntN(3)
	case 2:
		n = least + g.IntN(3) - 1
	case 3:
		n = int(g.Uint32())
	case 4:
		n -= g.IntN(n + 1)
	}
	binary.BigEndian.PutUint16(field, uint16(n))
}

// mutate6 is mutate4 for IPv6.
func (g *Generator) mutate6(d *draft) {
	ip := d.b[l3:]
	if len(ip) < 40 {
		return
	}
	switch g.IntN(6) {
	case 0:
		ip[0] = ip[0]&15 | byte(g.IntN(16))<<4
	case 1:
		g.mutateLength(d, ip[4:6], 0)
	case 2:
		ip[6] = byte(g.Uint32()) // next header
	case 3:
		ip[6] = []byte{0, 43, 44, 50, 51, 59, 60, 6, 17, 58, 132}[g.IntN(11)]
	case 4:
		ip[g.IntN(40)] ^= 1 << g.IntN(8)
	case 5:
		if n := min(len(ip), 80); n > 40 {
			ip[40+g.IntN(n-40)] = byte(g.Uint32()) // extension headers
		}
	}
}

// mutateAny changes bytes wherever they are, or takes some away.
func (g *Generator) mutateAny(d *draft) {
	switch g.IntN(4) {
	case 0:
		d.b = d.b[:l3+g.IntN(len(d.b)-l3+1)]
	case 1:
		d.b = d.b[:min(len(d.b), l3+g.IntN(60))]
	case 2:
		d.b[12+g.IntN(len(d.b)-12)] = byte(g.Uint32())
	case 3:
		d.b[12+g.IntN(min(len(d.b), 80)-12)] ^= 1 << g.IntN(8)
	}
}

// Protocols of VLAN tags: 802.1Q, 802.1ad, and what came before it.
var tagProtocols = []uint16{0x8100, 0x8100, 0x88a8, 0x9100}

func (g *Generator) mutateLink(d *draft) {
	switch g.IntN(8) {
	case 0:
		d.b[5] ^= byte(1 + g.IntN(255)) // somebody else's
	case 1:
		copy(d.b[:6], []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	case 2:
		copy(d.b[:6], []byte{0x01, 0x00, 0x5e, 0x00, 0x00, 0x05})
	case 3:
		copy(d.b[:6], []byte{0x33, 0x33, 0x00, 0x00, 0x00, 0x01})
	case 4:
		other := g.s.Ports[g.IntN(len(g.s.Ports))].MAC
		copy(d.b[:6], other[:])
	case 5:
		d.b[g.IntN(6)] ^= 1 << g.IntN(8)
	case 6, 7:
		for range 1 + g.IntN(4)/2 {
			g.tag(d)
		}
	}
}

// tag puts a VLAN tag in front of what is there.
func (g *Generator) tag(d *draft) {
	id := uint16(g.Uint32())
	switch g.IntN(3) {
	case 0:
		id &= 0xf000 // a priority and no VLAN
	case 1:
		id |= 0x0fff
	}
	var t [4]byte
	binary.BigEndian.PutUint16(t[:], tagProtocols[g.IntN(len(tagProtocols))])
	binary.BigEndian.PutUint16(t[2:], id)
	d.b = slices.Insert(d.b, 12, t[:]...)
}
