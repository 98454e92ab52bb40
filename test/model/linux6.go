package model

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// ICMPv6 types and codes: RFC 4443 3.
const (
	unreachable6   = 1
	tooBig6        = 2
	timeExceeded6  = 3
	parameter6     = 4
	noRoute        = 0
	prohibited     = 1
	beyondScope    = 2
	erroneousField = 0
	unknownOption  = 2
)

// linux6 says what Linux does with an IPv6 packet.
func (g ingress) linux6(ip []byte) Linux {
	h := ipv6(ip)
	switch {
	case !g.in.carries(6):
		return discards("IPV6DISABLED")
	case len(h) < header6:
		return discards("PKT_TOO_SMALL")
	case h.version() != 6:
		return discards("UNHANDLED_PROTO")
	}
	g.src, g.dst = h.src(), h.dst()
	loopback := netip.IPv6Loopback()
	switch { // RFC 4291 2.5.3, 2.7
	case g.src == loopback || g.dst == loopback || g.src.IsMulticast(),
		g.dst.IsMulticast() && (scope(g.dst) == reservedMC || scope(g.dst) == nodeMC):
		return discards("IP_INHDR")
	}
	if h.payload() != 0 || h.next() != hopByHop { // RFC 2675: else its length may be in an option
		if header6+h.payload() > len(h) {
			return discards("PKT_TOO_SMALL")
		}
		h = h[:header6+h.payload()]
	}
	if h.next() == hopByHop {
		if l := g.hopByHop(h); l != nil {
			return *l
		}
	}
	if g.dst.IsMulticast() {
		return Linux{Does: Delivers, Why: "or discards, by its groups"}
	}
	if g.dst.IsLinkLocalUnicast() {
		return g.linkLocal6(h)
	}
	r := g.lookup(g.dst)
	switch r.Kind {
	case local:
		return Linux{Does: Delivers}
	case Unicast:
		return g.forward6(h, r)
	case Prohibit:
		return g.answer6(h, unreachable6, prohibited, 0) // RFC 4443 3.1
	case Blackhole:
		return discards("blackhole")
	}
	return g.answer6(h, unreachable6, noRoute, 0)
}

// linkLocal6 is for packets to fe80::/10, which the model knows only as own
// addresses.
func (g ingress) linkLocal6(h ipv6) Linux {
	for _, a := range g.in.Addrs {
		if a.Addr() == g.dst {
			return Linux{Does: Delivers}
		}
	}
	return Linux{Does: Undefined, Why: "link-local destination"}
}

// hopByHop is RFC 8200 4.2, 4.3: nil lets the packet go on.
func (g ingress) hopByHop(h ipv6) *Linux {
	const (
		pad1, padN = 0, 1
		most       = 8 // options: RFC 8504 5.3
		mostPad    = 7 // bytes in a row: RFC 8504 5.3
		calipso    = 7 // RFC 5570
		alert      = 5 // RFC 2711
		ioam       = 0x31
		jumbo      = 0xc2 // RFC 2675
	)
	end := func(l Linux) *Linux { return &l }
	bad := end(discards("IP_INHDR"))
	if len(h) < header6+8 || len(h) < header6+8*(1+int(h[header6+1])) {
		return bad
	}
	options, padding := 0, 0
	for at, to := header6+2, header6+8*(1+int(h[header6+1])); at < to; {
		if h[at] == pad1 {
			if padding++; padding > mostPad {
				return bad
			}
			at++
			continue
		}
		if at+1 >= to || at+2+int(h[at+1]) > to {
			return bad
		}
		o := h[at : at+2+int(h[at+1])]
		if o[0] == padN {
			if padding += len(o); padding > mostPad || !allZero(o[2:]) {
				return bad
			}
			at += len(o)
			continue
		}
		padding = 0
		if options++; options > most {
			return bad
		}
		switch o[0] {
		case alert:
			if len(o) != 4 {
				return bad
			}
		case ioam:
			if at%4 != 0 {
				return bad
			}
		case calipso:
			return end(Linux{Does: Undefined, Why: "CALIPSO"})
		case jumbo:
			return g.jumbo(h, o, at)
		default:
			switch o[0] >> 6 { // RFC 8200 4.2: checklist 33
			case 1:
				return bad
			case 2, 3:
				if o[0]>>6 == 3 && g.dst.IsMulticast() {
					return bad
				}
				return end(g.answer6(h, parameter6, unknownOption, uint32(at)))
			}
		}
		at += len(o)
	}
	return nil
}

// jumbo is RFC 2675 3. No Ethernet carries such a packet: all are wrong.
func (g ingress) jumbo(h ipv6, o []byte, at int) *Linux {
	l := discards("IP_INHDR")
	switch {
	case len(o) != 6 || at%4 != 2:
	case binary.BigEndian.Uint32(o[2:]) <= 0xffff:
		l = g.answer6(h, parameter6, erroneousField, uint32(at+2))
	case h.payload() != 0:
		l = g.answer6(h, parameter6, erroneousField, uint32(at))
	}
	return &l
}

func allZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}

// forward6 is RFC 8200 3, RFC 4291 2.5.
func (g ingress) forward6(h ipv6, r found) Linux {
	if g.group {
		return discards("NOT_SPECIFIED")
	}
	if h.ttl() <= 1 {
		return g.answer6(h, timeExceeded6, 0, 0) // RFC 4443 3.3: checklist 31
	}
	var deeds []Linux
	for _, hop := range g.alive(r.Route) {
		switch {
		case hop.Port == g.in.Name: // back to the link: any source is on it
		case g.src.IsUnspecified():
			deeds = append(deeds, discards("IP_INADDRERRORS"))
			continue
		case g.src.IsLinkLocalUnicast(): // RFC 4291 2.5.6: checklist 35
			deeds = append(deeds, g.answer6(h, unreachable6, beyondScope, 0))
			continue
		}
		mtu := max(g.port(hop.Port).MTU, leastMTU6)
		if len(h) > mtu {
			deeds = append(deeds, g.answer6(h, tooBig6, 0, uint32(mtu))) // RFC 8201 4: checklist 26
			continue
		}
		out := append(ipv6{}, h...)
		out[hopLimitAt]--
		if r.MTU != 0 && len(h) > r.MTU { // it comes to that late, and quotes what it was about to send
			switch first := h.next(); {
			case len(h) > onePiece && (first == hopByHop || first == routing || first == destOpts):
				return Linux{Does: Undefined, Why: "headers of which not all are in the packet's first piece of memory"}
			case !hasFragmentPoint(h):
				deeds = append(deeds, discards("headers that do not end"))
				continue
			}
			deeds = append(deeds, g.answer6(out, tooBig6, 0, uint32(r.MTU)))
			continue
		}
		deeds = append(deeds, g.transmit(Forwards, hop, g.dst, out))
	}
	return anyOf(deeds)
}

// isError6 tells whether a packet is an ICMPv6 error, as far as can be told.
func isError6(h ipv6) bool {
	next, at, fragment := h.next(), header6, false
	for {
		length := 8
		switch {
		case next == icmp6 && at >= len(h):
			return !fragment
		case next == icmp6:
			return h[at] < 128
		case at+4 > len(h) && (next == fragment6 || at+2 > len(h)):
			return false
		}
		switch next {
		case hopByHop, routing, destOpts:
			length += 8 * int(h[at+1])
		case auth:
			length += 4 * int(h[at+1])
		case fragment6:
			if be16(h[at+2:])&^7 != 0 {
				return false
			}
			fragment = be16(h[at+2:]) != 0
		default:
			return false
		}
		next, at = h[at], at+length
	}
}

// isInScope tells whether an own address, anycast ones too, is one on the link that
// the packet came in by, where that matters: RFC 4007 9.
func (g ingress) isInScope(a netip.Addr) bool {
	return !a.IsLinkLocalUnicast() || slices.ContainsFunc(g.in.Addrs, func(o netip.Prefix) bool {
		return o.Addr() == a || o.Bits() < 127 && g.in.IPv6 && o.Masked().Addr() == a
	})
}

// onePiece is how long a packet may be that Linux is sure to have in one piece: a
// page of 4 KiB, less what else is in it.
const onePiece = 3500

// hasFragmentPoint tells whether the headers that each fragment would have (RFC 8200
// 4.5) end within the packet.
func hasFragmentPoint(h ipv6) bool {
	next, at, routed := h.next(), header6, false
	for at <= len(h) {
		switch {
		case next != hopByHop && next != routing && next != destOpts, next == destOpts && routed:
			return true
		case at+2 > len(h):
			return false
		}
		routed = routed || next == routing
		next, at = h[at], at+8*(int(h[at+1])+1)
	}
	return false
}

// answer6 sends an ICMPv6 error about a packet: RFC 4443 2.4.
func (g ingress) answer6(h ipv6, kind, code byte, info uint32) Linux {
	switch { // 2.4 (e): checklist 38
	case g.group || g.dst.IsMulticast():
		option := kind == parameter6 && code == unknownOption && h[info]>>6 == 2
		if kind != tooBig6 && !option { // (e.3)
			return discards("no error about a multicast")
		}
	}
	switch {
	case g.src.IsUnspecified() || g.src.IsMulticast(): // (e.6)
		return discards("no error to such a source")
	case isError6(h): // (e.1)
		return discards("no error about an error")
	case g.src.IsLinkLocalUnicast():
		return Linux{Does: Undefined, Why: "link-local source"}
	}
	back := g.lookup(g.src)
	if back.Kind != Unicast {
		return discards("no way back")
	}
	var deeds []Linux
	for _, hop := range g.alive(back.Route) {
		source := g.source6(g.in.Name, g.src)
		if !g.group && g.lookup(g.dst).Kind == local && g.isInScope(g.dst) { // RFC 4443 2.2 (a)
			source = g.dst
		}
		m := error6(h, source, kind, code, info)
		if back.MTU != 0 && len(m) > back.MTU {
			return Linux{Does: Undefined, Why: "an error in fragments, over a route with an MTU that IPv6 has not"}
		}
		deeds = append(deeds, g.transmit(Answers, hop, g.src, m))
	}
	return anyOf(deeds)
}

// error6 is the message. Its flow label is Linux's own: see Normalize.
func error6(about ipv6, source netip.Addr, kind, code byte, info uint32) []byte {
	const least, hops = 8, 64
	quoted := about[:min(len(about), leastMTU6-header6-least)] // RFC 4443 2.4 (c): checklist 37
	m := make([]byte, header6+least, header6+least+len(quoted))
	m[0] = 0x60
	put16(m[4:], least+len(quoted))
	m[6], m[7] = icmp6, hops
	copy(m[8:], source.AsSlice())
	copy(m[24:], about[8:24])
	m[header6], m[header6+1] = kind, code
	binary.BigEndian.PutUint32(m[header6+4:], info)
	m = append(m, quoted...)
	pseudo := append(append([]byte{}, m[8:40]...), 0, 0, m[4], m[5], 0, 0, 0, icmp6) // RFC 8200 8.1
	put16(m[header6+2:], int(^sum(m[header6:], sum(pseudo, 0))&0xffff))
	return m
}

// source6 is RFC 6724 5, rules 2 (scope), 5 (outgoing interface), 6 (label) and 8
// (longest prefix): checklist 40. Without an address, Linux's errors come from ::1,
// which RFC 4291 2.5.3 forbids.
func (s *State) source6(port string, dst netip.Addr) netip.Addr {
	var best netip.Prefix
	for i := range s.Ports {
		p := &s.Ports[i]
		for _, a := range slices.Backward(p.Addrs) { // Linux: the newest of equals
			if !a.Addr().Is6() || !p.carries(6) || a.Addr().IsLinkLocalUnicast() {
				continue
			}
			if !best.IsValid() || s.better6(a, best, port, dst) {
				best = a
			}
		}
	}
	if !best.IsValid() {
		return netip.IPv6Loopback()
	}
	return best.Addr()
}

func (s *State) better6(a, than netip.Prefix, port string, dst netip.Addr) bool {
	on := func(x netip.Prefix) bool { return slices.Contains(s.port(port).Addrs, x) }
	if on(a) != on(than) {
		return on(a)
	}
	if l := label6(dst); (label6(a.Addr()) == l) != (label6(than.Addr()) == l) {
		return label6(a.Addr()) == l
	}
	// RFC 6724 2.2: no more than the subnet's bits count.
	return min(common(a.Addr(), dst), a.Bits()) > min(common(than.Addr(), dst), than.Bits())
}

// labels is RFC 6724 2.1, as Linux has it.
var labels = []struct {
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
	for _, l := range labels {
		if l.prefix.Contains(a) {
			return l.label
		}
	}
	return 1
}

// common is how many bits two addresses begin with alike.
func common(a, b netip.Addr) int {
	x, y := a.As16(), b.As16()
	for i := range 128 {
		if (x[i/8]^y[i/8])&(0x80>>(i%8)) != 0 {
			return i
		}
	}
	return 128
}
