package model

import (
	"encoding/binary"
	"net/netip"
)

// ICMP types and codes: RFC 792, RFC 1812 5.2.7.
const (
	unreachable4    = 3
	timeExceeded4   = 11
	parameter4      = 12
	netUnreachable  = 0
	hostUnreachable = 1
	fragNeeded      = 4
	adminProhibited = 13
	leastFragment   = 8
)

// linux4 says what Linux does with an IPv4 packet.
func (g ingress) linux4(ip []byte) Linux {
	h := ipv4(ip)
	switch { // RFC 1812 5.2.2
	case len(h) < header4:
		return discards("PKT_TOO_SMALL")
	case h.version() != 4 || h.hlen() < header4 || h.hlen() > len(h):
		return discards("IP_INHDR")
	case checksum(h[:h.hlen()]) != 0:
		return discards("IP_CSUM")
	case h.length() > len(h):
		return discards("PKT_TOO_SMALL")
	case h.length() < h.hlen():
		return discards("IP_INHDR")
	}
	h = append(ipv4{}, h[:h.length()]...) // options are written to
	g.src, g.dst = h.src(), h.dst()
	if g.dst.IsMulticast() {
		return g.multicast4()
	}
	r, stop := g.route4()
	if stop != nil {
		return *stop
	}
	var o options
	if h.hlen() > header4 {
		at := o.parse(h, g)
		switch {
		case o.undefined:
			return Linux{Does: Undefined, Why: "options that the model does not know"}
		case at != 0:
			return g.answer4(h, &o, r, parameter4, 0, uint32(at)<<24) // RFC 1812 4.3.3.5
		case o.sourceRoute:
			return discards("source routes are not accepted") // RFC 7126 4.3, 4.4: checklist 17
		}
	}
	switch r.Kind {
	case local, broadcast:
		return Linux{Does: Delivers}
	case Unicast:
		return g.forward4(h, &o, r)
	}
	return g.reject4(h, &o, r)
}

func (g ingress) multicast4() Linux {
	bad := g.src == everywhere || g.src.IsMulticast() || g.src.IsLoopback() || g.own(g.src)
	if bad || g.dst != allSystems {
		return discards("")
	}
	return Linux{Does: Delivers}
}

// route4 looks up a unicast packet's route, if its addresses let it come to that:
// RFC 1812 5.3.7, as far as Linux does it. 0/8 but 0.0.0.0 are addresses to it.
func (g ingress) route4() (r found, stop *Linux) {
	end := func(l Linux) (found, *Linux) { return r, &l }
	zero := netip.IPv4Unspecified()
	switch {
	case g.src.IsMulticast() || g.src == everywhere:
		return end(discards("IP_INVALID_SOURCE"))
	case g.dst == everywhere || g.src == zero && g.dst == zero:
		r.Kind = broadcast
	case g.src == zero:
		return end(discards("IP_INVALID_SOURCE"))
	case g.dst == zero:
		return end(discards("IP_INVALID_DEST"))
	case g.dst.IsLoopback() || g.src.IsLoopback():
		return end(discards("IP_LOCALNET"))
	default:
		r = g.lookup(g.dst)
	}
	switch r.Kind {
	case Unicast:
		if !g.in.IPv4 {
			r = found{} // answered as if there was no route, but with no answer
			return r, nil
		}
		fallthrough
	case local, broadcast:
		if g.own(g.src) { // RFC 1812 5.3.8, and more
			return end(discards(whyOwnSource))
		}
	}
	return r, nil
}

// reject4 is RFC 1812 5.2.7.1.
func (g ingress) reject4(h ipv4, o *options, r found) Linux {
	if !g.in.IPv4 {
		return discards("IP_INADDRERRORS")
	}
	switch r.Kind {
	case none:
		return g.answer4(h, o, r, unreachable4, netUnreachable, 0)
	case Unreachable:
		return g.answer4(h, o, r, unreachable4, hostUnreachable, 0)
	case Prohibit:
		return g.answer4(h, o, r, unreachable4, adminProhibited, 0)
	}
	return discards("blackhole")
}

// forward4 is RFC 1812 5.3.
func (g ingress) forward4(h ipv4, o *options, r found) Linux {
	if g.group {
		return discards("NOT_SPECIFIED") // 5.3.4
	}
	if h.ttl() <= 1 {
		return g.answer4(h, o, r, timeExceeded4, 0, 0) // 5.3.1
	}
	var deeds []Linux
	for _, hop := range g.alive(r.Route) {
		mtu := g.port(hop.Port).MTU
		if r.MTU != 0 {
			mtu = r.MTU
		}
		if h.length() > mtu && h.fragment()&df != 0 { // RFC 1191 4: checklist 25
			deeds = append(deeds, g.answer4(h, o, r, unreachable4, fragNeeded, uint32(mtu)))
			continue
		}
		out := append(ipv4{}, h...)
		decreaseTTL4(out)
		o.leave(out, g.State, hop, r)
		deeds = append(deeds, g.transmit(Forwards, hop, g.dst, fragments(out, mtu)...))
	}
	return anyOf(deeds)
}

// fragments is RFC 791 3.2: checklist 19, 20.
func fragments(h ipv4, mtu int) (all [][]byte) {
	if h.length() <= mtu {
		return [][]byte{h}
	}
	hlen, more, at := h.hlen(), h.fragment()&mf, h.fragment()&offset
	header := append(ipv4{}, h[:hlen]...)
	for data := h[hlen:]; len(data) > 0; {
		n := min(len(data), mtu-hlen)
		if n < len(data) {
			n -= n % leastFragment
		}
		f := append(append(ipv4{}, header...), data[:n]...)
		flags := mf
		if n == len(data) {
			flags = more
		}
		put16(f[2:], len(f))
		put16(f[6:], at|flags)
		f.setChecksum()
		all = append(all, f)
		if at == 0 {
			onlyFirst(header)
		}
		data, at = data[n:], at+n/leastFragment
	}
	return all
}

// errors4 are the types of ICMP messages that Linux does not answer with an error:
// RFC 1812 4.3.2.7, and those not known.
func errors4(kind byte) bool {
	switch kind {
	case 0, 8, 13, 14, 15, 16, 17, 18:
		return false
	}
	return true
}

// answer4 sends an ICMP error about a packet: RFC 1812 4.3.2.
func (g ingress) answer4(h ipv4, o *options, r found, kind, code byte, info uint32) Linux {
	switch hlen := h.hlen(); { // 4.3.2.7: checklist 13
	case g.group || r.Kind == broadcast:
		return discards("no error about a broadcast")
	case h.fragment()&offset != 0:
		return discards("no error about a fragment that is not the first")
	case h.protocol() == icmp4 && (len(h) <= hlen || errors4(h[hlen])):
		return discards("no error about an error")
	}
	from := netip.Addr{}
	if r.Kind == local {
		from = g.dst
	}
	echo, ok := o.echo(h, g)
	if !ok {
		return discards("options that cannot be echoed")
	}
	back := g.lookup(g.src)
	switch {
	case back.Kind == broadcast:
		return Linux{Does: Undefined, Why: "an answer to a broadcast address"}
	case back.Kind != Unicast:
		return discards("no way back")
	}
	var deeds []Linux
	for _, hop := range g.alive(back.Route) {
		source := from
		if !source.IsValid() {
			source = g.source4(back, hop)
		}
		mtu := g.port(hop.Port).MTU
		if back.MTU != 0 {
			mtu = back.MTU
		}
		m := error4(h, echo, source, mtu, kind, code, info)
		deeds = append(deeds, g.transmit(Answers, hop, g.src, m))
	}
	return anyOf(deeds)
}

// error4 is the message. Its identification is Linux's own: see Normalize.
func error4(about ipv4, echo options, source netip.Addr, mtu int, kind, code byte, info uint32) []byte {
	const (
		least      = 8 // of ICMP
		most       = 576
		controlTOS = 6 << 5 // RFC 1812 4.3.2.5, internetwork control: checklist 12
		tosMask    = 0x1e   // what stays of the packet's own
		ttl        = 64
	)
	hlen := header4 + len(echo.bytes)
	room := min(mtu, most) - hlen - least // RFC 1812 4.3.2.3: checklist 10
	if room <= header4 {
		return nil
	}
	quoted := about[:min(len(about), room)]
	m := make([]byte, hlen+least, hlen+least+len(quoted))
	m[0], m[1] = byte(0x40|hlen/4), about[1]&tosMask|controlTOS
	put16(m[2:], hlen+least+len(quoted))
	m[8], m[9] = ttl, icmp4
	copy(m[12:], source.AsSlice())
	copy(m[16:], about[12:16])
	copy(m[header4:], echo.bytes)
	echo.record(m, source)
	ipv4(m).setChecksum()
	m[hlen], m[hlen+1] = kind, code
	binary.BigEndian.PutUint32(m[hlen+4:], info)
	m = append(m, quoted...)
	put16(m[hlen+2:], checksum(m[hlen:]))
	return m
}

// source4 is the address that a packet of the router's own has that leaves by a hop:
// RFC 1812 4.3.2.4, checklist 11. Without any it is RFC 7600's: checklist 62.
func (s *State) source4(r found, h Hop) netip.Addr {
	if r.source.IsValid() {
		return r.source
	}
	if a := s.port(h.Port).address4(h.Gateway); a.IsValid() {
		return a
	}
	for i := range s.Ports {
		if a := s.Ports[i].address4(netip.Addr{}); a.IsValid() {
			return a
		}
	}
	return netip.AddrFrom4([4]byte{192, 0, 0, 8})
}

// address4 is the port's first address in the subnet of another, else its first.
func (p *Port) address4(beside netip.Addr) (first netip.Addr) {
	for _, a := range p.Addrs {
		if !a.Addr().Is4() || p.isSecondary(a) {
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
