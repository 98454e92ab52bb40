package packet

import "encoding/binary"

// Types and codes of ICMP errors: RFC 792, RFC 1812 5.2.7.
const (
	Unreachable4    = 3
	TimeExceeded4   = 11
	NetUnreachable  = 0
	HostUnreachable = 1
	FragNeeded      = 4
)

// Error is an ICMP or ICMPv6 error to be sent.
type Error struct {
	Type, Code uint8
	Info       uint32 // what stands in the message's second word: an MTU, a pointer
}

const (
	errorTTL      = 64        // net.ipv4.ip_default_ttl, net.ipv6.conf.all.hop_limit
	errorMost4    = 576       // RFC 1812 4.3.2.3
	errorLen      = 8         // of ICMP, before what is quoted
	errorTOS      = 6 << 5    // RFC 1812 4.3.2.5: internetwork control
	errorKeepsTOS = 0x1e      // of the packet's own
	MaxError4     = 576       // longest that Write makes
	MaxError6     = LeastMTU6 // longest that Write6 makes
)

// MayAnswer4 tells whether there may be an ICMP error about a packet, sent to this host
// alone: RFC 1812 4.3.2.7.
func MayAnswer4(about IPv4) bool {
	hlen := about.HeaderLen()
	switch {
	case about.fragment()&offsetMask != 0: // not the first
		return false
	case about.Protocol() == protocolICMP:
		return len(about) > hlen && isQuery4(about[hlen])
	}
	return true
}

// isQuery4 tells the types of ICMP messages that Linux answers with an error: not
// errors, and none that are not known.
func isQuery4(kind byte) bool {
	switch kind {
	case 0, 8, 13, 14, 15, 16, 17, 18: // echo, timestamp, information, address mask
		return true
	}
	return false
}

// Write4 makes the error about a packet without options, from one of the router's
// addresses, for a way back with this MTU: RFC 1812 4.3.2. It is written to b, which has
// room for MaxError4, from the IP header on; its length is returned. about ends where the
// packet does.
func (e Error) Write4(b []byte, about IPv4, source uint32, mtu int, id uint16) int {
	room := min(mtu, errorMost4) - IPv4Len - errorLen
	quote := about[:min(len(about), room)]
	length := IPv4Len + errorLen + len(quote)
	p := IPv4(b[:length])
	p[0], p[1] = 0x45, about[1]&errorKeepsTOS|errorTOS
	binary.BigEndian.PutUint16(p[2:], uint16(length))
	binary.BigEndian.PutUint16(p[4:], id)
	binary.BigEndian.PutUint16(p[6:], 0)
	p[8], p[9] = errorTTL, protocolICMP
	binary.BigEndian.PutUint32(p[12:], source)
	copy(p[16:20], about[12:16])
	p.setChecksum()
	m := p[IPv4Len:]
	e.header(m)
	copy(m[errorLen:], quote)
	putChecksum(m[2:], Checksum(m))
	return length
}

// header writes all of an ICMP message that is not quoted, without checksum.
func (e Error) header(m []byte) {
	m[0], m[1], m[2], m[3] = e.Type, e.Code, 0, 0
	binary.BigEndian.PutUint32(m[4:], e.Info)
}
