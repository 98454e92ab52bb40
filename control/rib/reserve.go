package rib

import "net/netip"

// reserved are the ranges that are never forwarded, so that what the kernel
// thinks of prefixes in them need not be known.
var reserved = [...]struct {
	key    key
	reason func(*Reasons) uint16
}{
	{rangeOf("0.0.0.0/8"), func(r *Reasons) uint16 { return r.Martian }},            // RFC 1122 3.2.1.3
	{rangeOf("127.0.0.0/8"), func(r *Reasons) uint16 { return r.Martian }},          // RFC 1122 3.2.1.3
	{rangeOf("224.0.0.0/4"), func(r *Reasons) uint16 { return r.Multicast }},        // RFC 5771
	{rangeOf("255.255.255.255/32"), func(r *Reasons) uint16 { return r.Broadcast }}, // RFC 919
	{rangeOf("fe80::/10"), func(r *Reasons) uint16 { return r.LinkLocal }},          // RFC 4291 2.5.6
	{rangeOf("ff00::/8"), func(r *Reasons) uint16 { return r.Multicast }},           // RFC 4291 2.7
}

func rangeOf(p string) key { return newKey(0, netip.MustParsePrefix(p)) }

func isReserved(k key) bool {
	for i := range reserved {
		if o := &reserved[i].key; k.family == o.family && k.bits >= o.bits && (k.hi^o.hi)>>(64-o.bits) == 0 {
			return true
		}
	}
	return false
}

// reserve enters the ranges into a VRF.
func (r *RIB) reserve(vrf uint16) {
	for i := range reserved {
		k := reserved[i].key
		k.vrf = vrf
		if _, ok := r.routes.get(k); ok {
			continue
		}
		reason := reserved[i].reason(&r.options.Reasons)
		r.put(k, []candidate{{group: r.hold(wish{kind: toKernel, reason: reason}), rank: rankReserved}})
		r.install(k)
	}
}
