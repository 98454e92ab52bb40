package model

import (
	"net/netip"
	"slices"
)

// IPv4 options: RFC 791 3.1, RFC 2113.
const (
	optEnd         = 0
	optNop         = 1
	optRecordRoute = 7
	optTimestamp   = 68
	optLooseRoute  = 131
	optStrictRoute = 137
	optCIPSO       = 134
	optRouterAlert = 148
	optCopied      = 0x80

	tsOnly       = 0 // flags of the timestamp option
	tsAndAddress = 1
	tsPrescribed = 3
)

// options are those of a packet, as Linux has handled them. Offsets are from the
// start of the IP header, 0 for none.
type options struct {
	bytes       []byte // of options alone
	rr, ts      int
	rrAddress   bool // an address is to be recorded
	tsAddress   bool
	tsTime      bool
	sourceRoute bool
	undefined   bool
	changed     bool
}

// parse checks options and records in them, and returns the offset of what is wrong.
func (o *options) parse(h ipv4, g ingress) (wrong int) {
	for at := header4; at < h.hlen(); {
		left := h[at:h.hlen()]
		switch left[0] {
		case optEnd:
			for i := range left {
				o.changed = o.changed || left[i] != optEnd
				left[i] = optEnd
			}
			return 0
		case optNop:
			at++
			continue
		}
		if len(left) < 2 || left[1] < 2 || int(left[1]) > len(left) {
			return o.wrong(at)
		}
		b := left[:left[1]]
		bad := -1
		switch b[0] {
		case optLooseRoute, optStrictRoute:
			bad = o.source(b)
		case optRecordRoute:
			bad = o.recordRoute(b, at, g)
		case optTimestamp:
			bad = o.timestamp(b, at, g)
		case optRouterAlert:
			if len(b) < 4 {
				bad = 1
			}
		case optCIPSO:
			o.undefined = true
		}
		if bad >= 0 {
			return o.wrong(at + bad)
		}
		at += len(b)
	}
	return 0
}

// wrong is the pointer of a parameter problem. It would go along the source route.
func (o *options) wrong(at int) int {
	o.undefined = o.undefined || o.sourceRoute
	return at
}

func (o *options) source(b []byte) (bad int) {
	switch {
	case len(b) < 3:
		return 1
	case b[2] < 4:
		return 2
	case o.sourceRoute: // RFC 1812 5.2.4.1
		o.sourceRoute = false
		o.undefined = true
		return 0
	}
	o.sourceRoute = true
	return -1
}

func (o *options) recordRoute(b []byte, at int, g ingress) (bad int) {
	switch {
	case o.rr != 0:
		return 0
	case len(b) < 3:
		return 1
	case b[2] < 4 || int(b[2]) <= len(b) && int(b[2])+3 > len(b):
		return 2
	}
	if int(b[2]) <= len(b) {
		copy(b[b[2]-1:], g.toward().AsSlice())
		b[2] += 4
		o.rrAddress, o.changed = true, true
	}
	o.rr = at
	return -1
}

func (o *options) timestamp(b []byte, at int, g ingress) (bad int) {
	switch {
	case o.ts != 0:
		return 0
	case len(b) < 4:
		return 1
	case b[2] < 5:
		return 2
	}
	o.ts = at
	kind, p := b[3]&15, int(b[2])
	if p > len(b) { // full: count the overflow
		if kind == tsPrescribed {
			return -1
		}
		if b[3]>>4 == 15 {
			o.ts = 0
			return 3
		}
		b[3] += 1 << 4
		o.changed = true
		return -1
	}
	if p+3 > len(b) || p+7 > len(b) && (kind == tsAndAddress || kind == tsPrescribed) {
		o.ts = 0
		return 2
	}
	switch kind {
	case tsOnly:
		o.tsTime, o.changed = true, true
		b[2] += 4
	case tsAndAddress:
		copy(b[p-1:], g.toward().AsSlice())
		o.tsAddress, o.tsTime, o.changed = true, true, true
		b[2] += 8
	case tsPrescribed:
		if g.isOurs(netip.AddrFrom4([4]byte(b[p-1:]))) {
			o.changed = true
			o.tsTime = true
			b[2] += 8
		}
	}
	return -1
}

// isOurs tells whether an address is not that of another.
func (g ingress) isOurs(a netip.Addr) bool {
	k := g.lookup(a).Kind
	return a == netip.IPv4Unspecified() || a == everywhere || a.IsMulticast() || a.IsLoopback() || k == local || k == broadcast
}

// toward is the router's address toward the packet's sender; its own destination,
// when that is the router.
func (g ingress) toward() netip.Addr {
	if g.lookup(g.dst).Kind == local {
		return g.dst
	}
	back := g.lookup(g.src)
	switch back.Kind {
	case Unicast:
		return g.source4(back, g.alive(back.Route)[0])
	case local, broadcast:
		return back.source
	}
	return g.source4(found{}, Hop{Port: g.in.Name, Gateway: g.src})
}

// leave finishes options when the way out is known: RFC 1812 5.3.13.
func (o *options) leave(h ipv4, s *State, hop Hop, r found) {
	if o.rrAddress {
		at := o.rr + int(h[o.rr+2]) - 5
		// Linux looks for the route again, and takes the first of its hops by the port.
		hops := s.alive(r.Route)
		if i := slices.IndexFunc(hops, func(other Hop) bool { return other.Port == hop.Port }); i >= 0 {
			hop = hops[i]
		}
		copy(h[at:], s.source4(r, hop).AsSlice())
	}
	if o.changed {
		h.setChecksum()
	}
}

// onlyFirst makes nothing of the options that are for the first fragment only: RFC
// 791 3.1, checklist 19.
func onlyFirst(h ipv4) {
	for at := header4; at < h.hlen(); {
		switch h[at] {
		case optEnd:
			return
		case optNop:
			at++
			continue
		}
		if at+1 >= h.hlen() || h[at+1] < 2 || at+int(h[at+1]) > h.hlen() {
			return
		}
		n := int(h[at+1])
		if h[at]&optCopied == 0 {
			for i := range n {
				h[at+i] = optNop
			}
		}
		at += n
	}
}

// echo makes the options of an ICMP error: record route and timestamp go on in it:
// RFC 1812 4.3.2.6.
func (o *options) echo(h ipv4, g ingress) (e options, ok bool) {
	if o.rr != 0 {
		b := append([]byte{}, h[o.rr:o.rr+int(h[o.rr+1])]...)
		e.rr = header4
		if p := int(b[2]); o.rrAddress && p <= len(b) {
			if p+3 > len(b) {
				return e, false
			}
			b[2] += 4
			e.rrAddress = true
		}
		e.bytes = b
	}
	if o.ts != 0 {
		b := append([]byte{}, h[o.ts:o.ts+int(h[o.ts+1])]...)
		if !o.echoTimestamp(b, g) {
			return e, false
		}
		e.bytes = append(e.bytes, b...)
	}
	for len(e.bytes)%4 != 0 {
		e.bytes = append(e.bytes, optEnd)
	}
	return e, true
}

func (o *options) echoTimestamp(b []byte, g ingress) (ok bool) {
	p := int(b[2])
	if p > len(b) {
		return true
	}
	if o.tsAddress {
		if p+3 > len(b) {
			return false
		}
		p += 4
	}
	if o.tsTime {
		switch {
		case p+3 > len(b):
			return false
		case b[3]&15 != tsPrescribed:
			p += 4
		case p+7 <= len(b) && g.isOurs(netip.AddrFrom4([4]byte(b[p-1:]))):
			p += 8
		}
	}
	b[2] = byte(p)
	return true
}

// record writes the address of an ICMP error itself.
func (o *options) record(m ipv4, source netip.Addr) {
	if o.rrAddress {
		copy(m[o.rr+int(m[o.rr+2])-5:], source.AsSlice())
	}
}
