package soft

import (
	"encoding/binary"
	"net/netip"

	"weft/dataplane/packet"
	"weft/fib"
)

// source4 is the address that an ICMP error has that goes this way: one of the interface
// that it leaves by (RFC 1812 4.3.2.4). Without any it is RFC 7600's.
func (s *state) source4(via *way, to netip.Addr) uint32 {
	a := netip.Addr{}
	p := s.port(via.port).itself
	if via.neighbor == to {
		a = p.connected4(to)
	}
	if !a.IsValid() {
		a = p.address4(via.neighbor)
	}
	for i := range s.interfaces {
		if a.IsValid() {
			break
		}
		a = s.interfaces[i].address4(netip.Addr{})
	}
	if !a.IsValid() {
		a = netip.AddrFrom4([4]byte{192, 0, 0, 8})
	}
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// connected4 is the address of the longest subnet that another is in.
func (p *Interface) connected4(to netip.Addr) (best netip.Addr) {
	bits := -1
	for i, a := range p.Addresses {
		if a.Addr().Is4() && a.Contains(to) && a.Bits() > bits && !p.isSecondary(i) {
			best, bits = a.Addr(), a.Bits()
		}
	}
	return best
}

// address4 is the interface's first address in the subnet of another, else its first.
func (p *Interface) address4(beside netip.Addr) (first netip.Addr) {
	for i, a := range p.Addresses {
		if !a.Addr().Is4() || p.isSecondary(i) {
			continue
		}
		if a.Contains(beside) {
			return a.Addr()
		}
		if !first.IsValid() {
			first = a.Addr()
		}
	}
	return first
}

// isSecondary tells whether an earlier address is in the same subnet.
func (p *Interface) isSecondary(n int) bool {
	for i := range n {
		if p.Addresses[i].Masked() == p.Addresses[n].Masked() {
			return true
		}
	}
	return false
}

// source6 is RFC 6724 5, rules 5 (outgoing interface), 6 (label) and 8 (longest prefix),
// as Linux has it for errors about packets that came in by a port. Without an address,
// Linux's errors come from ::1.
func (s *state) source6(in *Interface, to netip.Addr) fib.Addr6 {
	best, bestScore := netip.IPv6Loopback(), -1
	for i := range s.interfaces {
		p := &s.interfaces[i]
		if p.MTU != 0 && p.MTU < packet.LeastMTU6 {
			continue // it has no IPv6: RFC 8200 5
		}
		for n := len(p.Addresses) - 1; n >= 0; n-- { // Linux: the newest of equals
			a := p.Addresses[n]
			if !a.Addr().Is6() || a.Addr().IsLinkLocalUnicast() {
				continue
			}
			if score := score6(a, in, to); score > bestScore {
				best, bestScore = a.Addr(), score
			}
		}
	}
	b := best.As16()
	return fib.Addr6{Hi: binary.BigEndian.Uint64(b[:8]), Lo: binary.BigEndian.Uint64(b[8:])}
}

// score6 orders addresses by the rules, the first ones on top.
func score6(a netip.Prefix, in *Interface, to netip.Addr) (score int) {
	for _, own := range in.Addresses {
		if own == a {
			score |= 1 << 9
		}
	}
	if label6(a.Addr()) == label6(to) {
		score |= 1 << 8
	}
	return score + min(common(a.Addr(), to), a.Bits()) // RFC 6724 2.2: no more than the subnet's bits count
}

// labels is RFC 6724 2.1, as Linux has it.
var labels = [...]struct {
	prefix netip.Prefix
	label  int
}{
	{netip.MustParsePrefix("2001:10::/28"), 7}, // RFC 4843
	{netip.MustParsePrefix("2001::/32"), 6},
	{netip.MustParsePrefix("2002::/16"), 2},
	{netip.MustParsePrefix("fc00::/7"), 5},
	{netip.MustParsePrefix("::/96"), 3},
}

func label6(a netip.Addr) int {
	for i := range labels {
		if labels[i].prefix.Contains(a) {
			return labels[i].label
		}
	}
	return 1
}

// common is how many bits two addresses begin with alike.
func common(a, b netip.Addr) int {
	x, y := a.As16(), b.As16()
	for i := range x {
		if d := x[i] ^ y[i]; d != 0 {
			n := 8 * i
			for d&0x80 == 0 {
				d <<= 1
				n++
			}
			return n
		}
	}
	return 128
}
