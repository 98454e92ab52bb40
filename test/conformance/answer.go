package conformance

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"weft/test/traffic"

	"golang.org/x/sys/unix"
)

// comes is a frame that comes out of a port as it stands here.
func comes(port string, frame []byte) Sent {
	return Sent{Port: port, What: fmt.Sprintf("frame % x", frame[:min(len(frame), shown)]), Is: func(got []byte) error {
		if !bytes.Equal(got, frame) {
			return errors.New("bytes differ")
		}
		return nil
	}}
}

// forwarded is a packet that leaves by a port as a router forwards it.
func forwarded(port string, ip []byte) Sent {
	return comes(port, portNamed(port).out(hop(ip)))
}

// Types of ICMP (RFC 792) and ICMPv6 (RFC 4443).
const (
	unreachable4  = 3
	timeExceeded4 = 11
	parameter4    = 12
	unreachable6  = 1
	tooBig6       = 2
	timeExceeded6 = 3
	parameter6    = 4
)

// icmpError is Linux's answer to a packet that came in by west.
type icmpError struct {
	kind, code byte
	rest       uint32 // of the ICMP header
	about      []byte // the packet as it is quoted
	from       string // "": the router's address at west
	port       string // it leaves by; "": west
}

// Limits of errors, bytes (RFC 1812 4.3.2.3, RFC 4443 2.4(c)).
const (
	errorMost4 = 576
	errorMost6 = 1280
)

func (e icmpError) sent() Sent {
	p := portNamed(e.port)
	s := Sent{Port: p.name, What: fmt.Sprintf("ICMP error type %d code %d", e.kind, e.code)}
	if e.about[0]>>4 == 6 {
		if e.from == "" {
			e.from = p.addr6()
		}
		s.Is = func(frame []byte) error { return e.is6(p, frame) }
	} else {
		if e.from == "" {
			e.from = p.addr4()
		}
		s.Is = func(frame []byte) error { return e.is4(p, frame) }
	}
	return s
}

// is4 holds an ICMP error to RFC 792 and RFC 1812 4.3.2.
func (e icmpError) is4(p *port, frame []byte) error {
	if len(frame) < ethLen+ip4Len+icmpLen || !bytes.Equal(frame[:ethLen], p.out(frame[ethLen:])[:ethLen]) {
		return errors.New("MACs or EtherType differ")
	}
	ip := frame[ethLen:]
	hlen, total := int(ip[0]&15)*4, int(binary.BigEndian.Uint16(ip[2:]))
	src, _ := netip.AddrFromSlice(ip[12:16])
	switch {
	case ip[0]>>4 != 4 || total > len(ip) || hlen+icmpLen > total || traffic.Checksum(ip[:hlen]) != 0:
		return errors.New("IP header is wrong")
	case ip[9] != unix.IPPROTO_ICMP:
		return fmt.Errorf("protocol %d", ip[9])
	case ip[1] != 6<<5|e.about[1]&0x1e: // the type of service is the packet's
		return fmt.Errorf("TOS %#x: want precedence 6 (RFC 1812 4.3.2.5)", ip[1])
	case src.String() != e.from:
		return fmt.Errorf("from %s, want %s (RFC 1812 4.3.2.4)", src, e.from)
	case !bytes.Equal(ip[16:20], e.about[12:16]):
		return errors.New("it does not go to the packet's source")
	}
	m := ip[hlen:total]
	if traffic.Checksum(m) != 0 {
		return errors.New("ICMP checksum is wrong")
	}
	return e.says(m, min(len(e.about), errorMost4-hlen-icmpLen))
}

// is6 holds an ICMPv6 error to RFC 4443 2.
func (e icmpError) is6(p *port, frame []byte) error {
	if len(frame) < ethLen+ip6Len+icmpLen || !bytes.Equal(frame[:ethLen], p.out(frame[ethLen:])[:ethLen]) {
		return errors.New("MACs or EtherType differ")
	}
	ip := frame[ethLen:]
	src, _ := netip.AddrFromSlice(ip[8:24])
	dst, _ := netip.AddrFromSlice(ip[24:40])
	m := ip[ip6Len:]
	switch {
	case ip[0]>>4 != 6 || int(binary.BigEndian.Uint16(ip[4:])) != len(m):
		return errors.New("IP header is wrong")
	case ip[6] != unix.IPPROTO_ICMPV6:
		return fmt.Errorf("next header %d", ip[6])
	case src.String() != e.from:
		return fmt.Errorf("from %s, want %s (RFC 4443 2.2)", src, e.from)
	case !bytes.Equal(ip[24:40], e.about[8:24]):
		return errors.New("it does not go to the packet's source")
	case transport(src, dst, unix.IPPROTO_ICMPV6, m) != 0:
		return errors.New("ICMPv6 checksum is wrong")
	}
	return e.says(m, min(len(e.about), errorMost6-ip6Len-icmpLen))
}

// says compares type, code, the rest of the header and the quote.
func (e icmpError) says(m []byte, quoted int) error {
	rest := binary.BigEndian.Uint32(m[4:])
	switch {
	case m[0] != e.kind || m[1] != e.code:
		return fmt.Errorf("type %d code %d", m[0], m[1])
	case rest != e.rest:
		return fmt.Errorf("rest of header %#x, want %#x", rest, e.rest)
	case len(m)-icmpLen != quoted:
		return fmt.Errorf("%d bytes are quoted, want %d", len(m)-icmpLen, quoted)
	case !bytes.Equal(m[icmpLen:], e.about[:quoted]):
		return fmt.Errorf("quotes % x, want % x", m[icmpLen:], e.about[:quoted])
	}
	return nil
}

// asks4 is an ARP request for an address, by east.
func asks4(addr string) Sent {
	p := portNamed(east)
	return Sent{Port: east, What: "ARP request for " + addr, Once: true, Is: func(frame []byte) error {
		want := ether([6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, p.mac(), unix.ETH_P_ARP,
			arp{operation: arpRequest, sha: p.mac(), spa: p.addr4(), tpa: addr}.bytes())
		if !bytes.Equal(frame, want) {
			return errors.New("bytes differ")
		}
		return nil
	}}
}

// asks6 is a neighbor solicitation for an address, by east (RFC 4861 4.3).
func asks6(addr string) Sent {
	p := portNamed(east)
	return Sent{Port: east, What: "neighbor solicitation for " + addr, Once: true, Is: func(frame []byte) error {
		if len(frame) != ethLen+ip6Len+32 {
			return errors.New("length differs")
		}
		ip, target := frame[ethLen:], netip.MustParseAddr(addr).AsSlice()
		src, _ := netip.AddrFromSlice(ip[8:24])
		dst, _ := netip.AddrFromSlice(ip[24:40])
		option := append([]byte{1, 1}, frame[6:12]...) // source link-layer address
		switch m := ip[ip6Len:]; {
		case ip[6] != unix.IPPROTO_ICMPV6 || ip[7] != 255 || m[0] != 135 || m[1] != 0:
			return fmt.Errorf("next header %d, hop limit %d, type %d", ip[6], ip[7], m[0])
		case !bytes.Equal(m[8:24], target) || !bytes.Equal(m[24:], option):
			return errors.New("target or option differs")
		case !bytes.Equal(ip[24:37], []byte{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff}) || !bytes.Equal(ip[37:40], target[13:]):
			return errors.New("it does not go to the solicited-node address")
		case !bytes.Equal(frame[6:12], macOf(p)) || transport(src, dst, unix.IPPROTO_ICMPV6, m) != 0:
			return errors.New("MAC or checksum is wrong")
		}
		return nil
	}}
}

func macOf(p *port) []byte {
	m := p.mac()
	return m[:]
}

// echoes is the answer to an echo request that came in by west.
func echoes(request []byte) Sent {
	p := portNamed(west)
	return Sent{Port: west, What: "echo reply", Is: func(frame []byte) error {
		ip := frame[min(ethLen, len(frame)):]
		if len(ip) != len(request) || !bytes.Equal(frame[:ethLen], p.out(ip)[:ethLen]) {
			return errors.New("length or Ethernet header differs")
		}
		from, to, size, header, kind := 12, 16, 4, ip4Len, byte(0)
		if request[0]>>4 == 6 {
			from, to, size, header, kind = 8, 24, 16, ip6Len, 129
		}
		switch {
		case !bytes.Equal(ip[from:from+size], request[to:to+size]) || !bytes.Equal(ip[to:to+size], request[from:from+size]):
			return errors.New("addresses are not swapped")
		case ip[header] != kind || !bytes.Equal(ip[header+4:], request[header+4:]):
			return errors.New("message is not echoed")
		}
		return nil
	}}
}
