package model

// Normalize clears what of a frame of Linux's cannot be predicted, in a copy:
//
//   - the identification of an ICMP error, which Linux counts, and the header
//     checksum over it;
//   - the flow label of an ICMPv6 error, which is a hash with a secret;
//   - times in timestamp options, also in what an ICMP error quotes, and checksums
//     over them.
//
// ICMP errors that are forwarded lose these, too: agreement about them is a little
// weaker.
func Normalize(frame []byte) []byte {
	f := append([]byte{}, frame...)
	if len(f) < ethLen {
		return f
	}
	switch be16(f[12:]) {
	case typeIPv4:
		normalize4(f[ethLen:])
	case typeIPv6:
		normalize6(f[ethLen:])
	}
	return f
}

func normalize4(h ipv4) {
	const quote = 8
	if !hasHeader4(h) {
		return
	}
	if clearTimes(h) {
		put16(h[10:], 0)
	}
	hlen := h.hlen()
	if h.protocol() != icmp4 || h.fragment()&offset != 0 || len(h) < hlen+quote {
		return
	}
	m := h[hlen:]
	if m[0] != unreachable4 && m[0] != timeExceeded4 && m[0] != parameter4 {
		return
	}
	put16(h[4:], 0)
	put16(h[10:], 0)
	if q := m[quote:]; len(q) >= header4 && q.version() == 4 && clearTimes(q) { // its end may be missing
		put16(q[10:], 0)
		put16(m[2:], 0)
	}
}

func hasHeader4(h ipv4) bool {
	return len(h) >= header4 && h.version() == 4 && h.hlen() >= header4 && h.hlen() <= len(h)
}

// clearTimes clears what timestamp options hold, and tells whether there were any. Of
// a header that an ICMP error quotes the end may be missing.
func clearTimes(h ipv4) (were bool) {
	end := min(h.hlen(), len(h))
	for at := header4; at < end && h[at] != optEnd; {
		if h[at] == optNop {
			at++
			continue
		}
		if at+1 >= end || h[at+1] < 2 || at+int(h[at+1]) > h.hlen() {
			break
		}
		n := int(h[at+1])
		if times := min(at+n, end); h[at] == optTimestamp && times > at+4 {
			clear(h[at+4 : times])
			were = true
		}
		at += n
	}
	return were
}

func normalize6(h ipv6) {
	if len(h) > header6 && h.version() == 6 && h.next() == icmp6 && h[header6] >= unreachable6 && h[header6] <= parameter6 {
		h[1] &= 0xf0
		h[2], h[3] = 0, 0
	}
}
