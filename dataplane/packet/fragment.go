package packet

import "encoding/binary"

// Fragments divides an IPv4 packet for an MTU: RFC 791 3.2, RFC 1812 4.2.2.7. The
// packet may be a fragment itself. Its value is the state; there is nothing to close.
type Fragments struct {
	header [60]byte // of the next one
	hlen   int
	data   []byte // that is left
	mtu    int
	at     int // offset of data in the datagram, units of 8 bytes
	more   int // the packet's own flag
}

const (
	fragmentUnit = 8
	optEnd       = 0
	optNop       = 1
	optCopied    = 0x80
)

// Divide begins. The packet, whose header is right, is longer than the MTU, which is at
// least 68; its TTL is already what fragments are to have. It must not change meanwhile.
func (f *Fragments) Divide(p IPv4, mtu int) {
	f.hlen, f.mtu = p.HeaderLen(), mtu
	copy(f.header[:], p[:f.hlen])
	f.data = p[f.hlen:p.Len()]
	f.at, f.more = p.fragment()&offsetMask, p.fragment()&moreFragments
}

// Next writes the next fragment to b, which has room for the MTU, and returns its
// length: 0 when there are no more.
func (f *Fragments) Next(b []byte) int {
	if len(f.data) == 0 {
		return 0
	}
	n, flags := min(len(f.data), f.mtu-f.hlen), f.more
	if n < len(f.data) {
		n -= n % fragmentUnit
		flags = moreFragments
	}
	length := f.hlen + n
	p := IPv4(b[:length])
	copy(p, f.header[:f.hlen])
	copy(p[f.hlen:], f.data[:n])
	binary.BigEndian.PutUint16(p[2:], uint16(length))
	binary.BigEndian.PutUint16(p[6:], uint16(f.at|flags))
	p.setChecksum()
	if f.at == 0 {
		f.onlyFirst()
	}
	f.data, f.at = f.data[n:], f.at+n/fragmentUnit
	return length
}

// onlyFirst makes nothing of the options that are for the first fragment only: RFC 791
// 3.1. Their room stays, as Linux has it.
func (f *Fragments) onlyFirst() {
	options := f.header[IPv4Len:f.hlen]
	for len(options) > 0 && options[0] != optEnd {
		if options[0] == optNop {
			options = options[1:]
			continue
		}
		if len(options) < 2 || options[1] < 2 || int(options[1]) > len(options) {
			return
		}
		n := int(options[1])
		if options[0]&optCopied == 0 {
			for i := range n {
				options[i] = optNop
			}
		}
		options = options[n:]
	}
}
