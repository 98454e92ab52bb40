package conformance

import (
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"weft/dataplane"
	"weft/test/traffic"
)

// Destinations, by the routes that lead there.
const (
	eastern4 = "10.0.0.1"
	own4     = "192.0.2.1"
)

var (
	broadcastMAC = dataplane.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	groupMAC4    = dataplane.MAC{0x01, 0x00, 0x5e, 0x00, 0x00, 0x05}
	groupMAC6    = dataplane.MAC{0x33, 0x33, 0, 0, 0, 1}
	otherMAC     = dataplane.MAC{0x02, 0, 0, 0, 0, 0x77}
)

// list collects cases. Each gets a source of its own.
type list struct {
	cases []Case
	v6    bool
}

// inOrder ranges over cases by name, so that each has the same source every time.
func inOrder[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if !yield(name, m[name]) {
				return
			}
		}
	}
}

func (l *list) source() string { return source(len(l.cases), l.v6) }

// ip fills in a packet's source and makes it.
func (l *list) ip(p packet) []byte {
	if p.src == "" {
		p.src = l.source()
	}
	return p.bytes()
}

func (l *list) add(c Case) {
	if l.v6 {
		c.Name = "ipv6/" + c.Name
	} else {
		c.Name = "ipv4/" + c.Name
	}
	l.cases = append(l.cases, c)
}

// frame is one with a packet, or what is left of it, as it comes in by west.
func (l *list) frame(ip []byte) []byte {
	etherType := uint16(unix.ETH_P_IP)
	if l.v6 {
		etherType = unix.ETH_P_IPV6
	}
	return ether(portNamed(west).mac(), portNamed(west).far(), etherType, ip)
}

// goes is a packet that weft forwards to a port.
func (l *list) goes(name, port string, p packet) {
	ip := l.ip(p)
	l.add(Case{Name: name, Frame: l.frame(ip), Reason: dataplane.Forwarded, Sent: []Sent{forwarded(port, ip)}})
}

// raw is a packet of any bytes that weft forwards to a port, of which some stay.
func (l *list) raw(name, port string, ip []byte, stays int) {
	l.add(Case{Name: name, Frame: l.frame(ip), Reason: dataplane.Forwarded, Sent: []Sent{forwarded(port, ip[:stays])}})
}

// ends is a packet that ends for a reason, with what Linux makes of it.
func (l *list) ends(name string, r dataplane.Reason, ip []byte, sent ...Sent) {
	l.add(Case{Name: name, Frame: l.frame(ip), Reason: r, Sent: sent})
}

// answered is a packet that Linux answers by an ICMP error.
func (l *list) answered(name string, r dataplane.Reason, kind, code byte, rest uint32, ip []byte) {
	l.ends(name, r, ip, icmpError{kind: kind, code: code, rest: rest, about: ip}.sent())
}

// linux is a packet that Linux forwards as it is to a port.
func (l *list) linux(name string, r dataplane.Reason, port string, ip []byte) {
	l.ends(name, r, ip, forwarded(port, ip))
}

func cases4() []Case {
	l := &list{}
	forwarded4(l)
	lengths4(l)
	addresses4(l)
	routes4(l)
	options4(l)
	fragments4(l)
	ports4(l)
	return l.cases
}

func forwarded4(l *list) {
	l.goes("plain", east, packet{dst: eastern4})
	for _, ttl := range []int{2, 3, 128, 255} {
		l.goes(fmt.Sprintf("ttl %d", ttl), east, packet{dst: eastern4, ttl: ttl})
	}
	l.answered("ttl 1", dataplane.TTLValueIsTooSmall, timeExceeded4, 0, 0, l.ip(packet{dst: eastern4, ttl: 1}))
	l.answered("ttl 0", dataplane.TTLValueIsTooSmall, timeExceeded4, 0, 0, l.ip(packet{dst: eastern4, ttl: -1}))
	l.ends("ttl 1, an ICMP error", dataplane.TTLValueIsTooSmall,
		l.ip(packet{dst: eastern4, ttl: 1, protocol: unix.IPPROTO_ICMP, payload: icmp4(unreachable4, 1, make([]byte, 32)...)}))
	l.ends("ttl 1, a fragment that is not the first", dataplane.TTLValueIsTooSmall, l.ip(packet{dst: eastern4, ttl: 1, fragment: 185}))
	for name, tos := range inOrder(map[string]byte{"all of DSCP and ECN": 0xff, "CE": 3, "precedence 6": 0xc0}) {
		l.goes("tos: "+name, east, packet{dst: eastern4, tos: tos})
	}
	for _, protocol := range []int{-1, unix.IPPROTO_ICMP, unix.IPPROTO_IPIP, unix.IPPROTO_TCP, unix.IPPROTO_GRE, unix.IPPROTO_ESP, unix.IPPROTO_SCTP, 253, 255} {
		l.goes(fmt.Sprintf("protocol %d", max(protocol, 0)), east, packet{dst: eastern4, protocol: protocol})
	}
	// The ID makes the checksum come in as 0, and go out over the end-around carry.
	for _, sum := range []uint16{0x0000, 0x0001, 0xfeff, 0xff00, 0xfffe} {
		l.raw(fmt.Sprintf("checksum %#04x", sum), east, withChecksum(l.ip(packet{dst: eastern4}), sum), ip4Len+udpLen+32)
	}
	l.answered("to the router, ttl 1", dataplane.LocalRoute, unreachable4, 3, 0, l.ip(packet{dst: own4, ttl: 1}))
	ping := l.ip(packet{dst: own4, protocol: unix.IPPROTO_ICMP, payload: icmp4(8, 0, 0, 1, 0, 2, 'e', 'c', 'h', 'o')})
	l.ends("echo request to the router", dataplane.LocalRoute, ping, echoes(ping))
}

// withChecksum chooses the ID so that the header's checksum is as wanted.
func withChecksum(ip []byte, want uint16) []byte {
	ip = summed(ip, 4, 0, 0)
	id := uint32(binary.BigEndian.Uint16(ip[10:])) + uint32(^want)
	id = id&0xffff + id>>16
	return summed(ip, 4, byte(id>>8), byte(id))
}

func lengths4(l *list) {
	good := func() []byte { return l.ip(packet{dst: eastern4}) }
	n := len(good())
	bad := func(name string, r dataplane.Reason, ip []byte) { l.ends(name, r, ip) }
	l.raw("header only", east, summed(good(), 2, 0, 20)[:20], 20)
	l.raw("padding goes", east, pad(good(), 30), n)
	l.raw("padding to the shortest frame stays", east, pad(summed(good(), 2, 0, 24)[:24], 22), ethLeast-ethLen)
	l.raw("padding beyond the shortest frame goes", east, pad(summed(good(), 2, 0, 24)[:24], 60), ethLeast-ethLen)
	bad("frame of 14", dataplane.IPLengthWrong, nil)
	bad("frame of 15", dataplane.IPLengthWrong, good()[:1])
	bad("frame of 33", dataplane.IPLengthWrong, good()[:19])
	bad("version 0", dataplane.IPHeaderCorrupted, summed(good(), 0, 0x05))
	bad("version 5", dataplane.IPHeaderCorrupted, summed(good(), 0, 0x55))
	bad("version 6", dataplane.IPHeaderCorrupted, summed(good(), 0, 0x65))
	bad("IHL 0", dataplane.IPHeaderCorrupted, with(good(), 0, 0x40))
	bad("IHL 4", dataplane.IPHeaderCorrupted, with(good(), 0, 0x44))
	bad("IHL beyond total length", dataplane.IPLengthWrong, summed(with(good(), 2, 0, 23), 0, 0x46))
	bad("IHL beyond the frame", dataplane.IPLengthWrong, summed(with(good()[:40], 2, 0, 40), 0, 0x4f))
	bad("total length 0", dataplane.IPLengthWrong, summed(good(), 2, 0, 0))
	bad("total length 19", dataplane.IPLengthWrong, summed(good(), 2, 0, 19))
	bad("total length one beyond the frame", dataplane.IPLengthWrong, summed(good(), 2, 0, byte(n+1)))
	bad("total length 65535", dataplane.IPLengthWrong, summed(good(), 2, 0xff, 0xff))
	bad("checksum wrong by one", dataplane.IPv4ChecksumWrong, with(good(), 11, good()[11]^1))
	bad("checksum 0", dataplane.IPv4ChecksumWrong, with(good(), 10, 0, 0))
	bad("checksum 0xffff", dataplane.IPv4ChecksumWrong, with(withChecksum(good(), 0), 10, 0xff, 0xfe))
	bad("checksum of before the last hop", dataplane.IPv4ChecksumWrong, with(good(), 8, 63))
	long := func(size int, dst string) []byte {
		return l.ip(packet{dst: dst, fragment: 0x4000, payload: make([]byte, size-ip4Len)})
	}
	l.raw("jumbo", wide, long(9000, "10.7.0.1"), 9000)
	l.raw("as long as the MTU", east, long(1500, eastern4), 1500)
	l.answered("longer than the MTU, don't fragment", dataplane.MTUValueIsTooSmall, unreachable4, 4, 1500, long(1501, eastern4))
	l.answered("jumbo to a lesser MTU", dataplane.MTUValueIsTooSmall, unreachable4, 4, 1280, long(9000, "10.1.0.1"))
	l.raw("as long as the route's MTU", east, long(1000, "10.9.0.1"), 1000)
	l.answered("longer than the route's MTU", dataplane.MTUValueIsTooSmall, unreachable4, 4, 1000, long(1001, "10.9.0.1"))
	whole := l.ip(packet{dst: "10.1.0.1", payload: make([]byte, 2000)})
	l.ends("longer than the MTU", dataplane.MTUValueIsTooSmall, whole, pieces(narrow, whole)...)
	// Of an option that is to be copied, and one that is not, Linux writes no operation over the latter.
	optional := l.ip(packet{dst: "10.1.0.1", options: []byte{0x9e, 4, 1, 2, 0x1e, 4, 3, 4}, payload: make([]byte, 3000)})
	l.ends("longer than the MTU, with options", dataplane.IPv4Options, optional, pieces(narrow, optional, 0x9e, 4, 1, 2, 1, 1, 1, 1)...)
	part := l.ip(packet{dst: "10.1.0.1", fragment: 0x2000 | 100, payload: make([]byte, 1480)})
	l.ends("fragment longer than the MTU", dataplane.MTUValueIsTooSmall, part, pieces(narrow, part)...)
	stubborn := l.ip(packet{dst: "10.1.0.1", fragment: 0x6000, payload: make([]byte, 1480)})
	l.answered("fragment longer than the MTU, don't fragment", dataplane.MTUValueIsTooSmall, unreachable4, 4, 1280, stubborn)
}

// pieces are the fragments in which a packet leaves by a port (RFC 791 3.2): all but
// the first have later instead of its options.
func pieces(name string, ip []byte, later ...byte) (all []Sent) {
	p := portNamed(name)
	hlen := ip4Len + len(later)
	room := (p.mtu - hlen) &^ 7
	flags := binary.BigEndian.Uint16(ip[6:])
	for at := 0; at < len(ip)-hlen; at += room {
		end := min(at+room, len(ip)-hlen)
		f := flags + uint16(at/8)
		if end < len(ip)-hlen {
			f |= 0x2000
		}
		one := append(append([]byte{}, ip[:hlen]...), ip[hlen+at:hlen+end]...)
		if at > 0 {
			copy(one[ip4Len:], later)
		}
		binary.BigEndian.PutUint16(one[2:], uint16(len(one)))
		binary.BigEndian.PutUint16(one[6:], f)
		all = append(all, comes(name, p.out(hop(one))))
	}
	return all
}

func addresses4(l *list) {
	for _, src := range []string{"1.0.0.0", "126.255.255.255", "128.0.0.0", "169.254.1.1", "198.18.0.1", "203.0.113.77", "223.255.255.255", "240.0.0.1", "255.255.255.254"} {
		l.goes("source "+src, east, packet{src: src, dst: eastern4})
	}
	l.goes("source is destination", east, packet{src: eastern4, dst: eastern4})
	l.goes("source is the router", east, packet{src: own4, dst: eastern4})
	for src, r := range inOrder(map[string]dataplane.Reason{
		"0.0.0.0": dataplane.SIPIsUnspecified, "0.255.255.255": dataplane.SIPIsUnspecified,
		"127.0.0.1": dataplane.SIPIsLoopbackAddress, "127.255.255.255": dataplane.SIPIsLoopbackAddress,
		"224.0.0.1": dataplane.SIPIsMC, "239.255.255.255": dataplane.SIPIsMC, "255.255.255.255": dataplane.IPv4SIPIsLimitedBC,
	}) {
		l.ends("source "+src, r, l.ip(packet{src: src, dst: eastern4}))
	}
	for dst, r := range inOrder(map[string]dataplane.Reason{
		"0.0.0.0": dataplane.DIPIsUnspecified, "0.1.2.3": dataplane.DIPIsUnspecified,
		"127.0.0.1": dataplane.DIPIsLoopbackAddress, "127.255.255.255": dataplane.DIPIsLoopbackAddress,
		"255.255.255.255": dataplane.Broadcast, "192.0.2.255": dataplane.Broadcast, "198.51.100.255": dataplane.Broadcast,
		"224.0.0.5": dataplane.Multicast, "239.1.2.3": dataplane.Multicast,
	}) {
		l.ends("destination "+dst, r, l.ip(packet{dst: dst}))
	}
	l.goes("destination 240.0.0.1", east, packet{dst: "240.0.0.1"})
	framed := func(name string, mac dataplane.MAC, r dataplane.Reason, p packet) {
		ip := l.ip(p)
		l.add(Case{Name: name, Frame: ether(mac, portNamed(west).far(), unix.ETH_P_IP, ip), Reason: r})
	}
	framed("unicast to the broadcast MAC", broadcastMAC, dataplane.UCDIPOverMCDMAC, packet{dst: eastern4})
	framed("unicast to a multicast MAC", groupMAC4, dataplane.UCDIPOverMCDMAC, packet{dst: eastern4})
	framed("to another MAC", otherMAC, dataplane.NotOurMAC, packet{dst: eastern4})
	framed("to the router at the broadcast MAC", broadcastMAC, dataplane.LocalRoute, packet{dst: own4})
	framed("limited broadcast", broadcastMAC, dataplane.Broadcast, packet{dst: "255.255.255.255"})
	framed("DHCP discover", broadcastMAC, dataplane.Broadcast, packet{src: "0.0.0.0", dst: "255.255.255.255"})
	framed("directed broadcast at the broadcast MAC", broadcastMAC, dataplane.Broadcast, packet{dst: "198.51.100.255"})
	framed("multicast", groupMAC4, dataplane.Multicast, packet{dst: "224.0.0.5", ttl: 1})
}

func routes4(l *list) {
	l.answered("no route", dataplane.IPv4LPMMiss, unreachable4, 0, 0, l.ip(packet{dst: "203.1.113.1"}))
	l.answered("no route, ttl 1", dataplane.IPv4LPMMiss, unreachable4, 0, 0, l.ip(packet{dst: "203.1.113.1", ttl: 1}))
	l.ends("blackhole", dataplane.BlackholeRoute, l.ip(packet{dst: "10.3.0.1"}))
	l.answered("unreachable", dataplane.RejectRoute, unreachable4, 1, 0, l.ip(packet{dst: "10.4.0.1"}))
	l.answered("prohibit", dataplane.RejectRoute, unreachable4, 13, 0, l.ip(packet{dst: "10.5.0.1"}))
	l.answered("throw", dataplane.PuntRoute, unreachable4, 0, 0, l.ip(packet{dst: "10.6.0.1"}))
	for i := range sitePorts {
		p := &sitePorts[i]
		ip := l.ip(packet{dst: p.addr4()})
		l.ends("to the router's address at "+p.name, dataplane.LocalRoute, ip,
			icmpError{kind: unreachable4, code: 3, about: ip, from: p.addr4()}.sent())
	}
	// Hosts of the subnets, and edges of prefixes within prefixes.
	l.goes("to a neighbor", east, packet{dst: "198.51.100.9"})
	for dst, port := range inOrder(map[string]string{
		"10.0.0.0": east, "10.0.127.255": east, "10.0.128.0": wide, "10.0.128.127": wide, "10.0.128.128": narrow,
		"10.0.128.254": narrow, "10.0.129.0": wide, "10.0.255.255": wide, "10.1.0.0": narrow,
	}) {
		l.goes("prefix edge "+dst, port, packet{dst: dst})
	}
	l.ends("prefix edge 10.0.128.255", dataplane.BlackholeRoute, l.ip(packet{dst: "10.0.128.255"}))
	l.goes("next hop of IPv6", east, packet{dst: "172.16.0.1"})
	unresolved := func(name, dst, asked string, r dataplane.Reason) {
		ip := l.ip(packet{dst: dst})
		l.add(Case{Name: name, Frame: l.frame(ip), Reason: r, resolves: asked,
			Sent: []Sent{asks4(asked), icmpError{kind: unreachable4, code: 1, about: hop(ip)}.sent()}})
	}
	unresolved("neighbor that does not answer", "198.51.100.77", "198.51.100.77", dataplane.Glean)
	unresolved("lowest address of a subnet", "198.51.100.0", "198.51.100.0", dataplane.Glean)
	unresolved("gateway that does not answer", "10.2.0.1", absent4, dataplane.UnresolvedNeigh)
}

// Options (RFC 791 3.1, RFC 2113).
func options4(l *list) {
	option := func(name string, options ...byte) []byte { return l.ip(packet{dst: eastern4, options: options}) }
	l.linux("option: end of list", dataplane.IPv4Options, east, option("", 0, 0, 0, 0))
	l.linux("option: no operation", dataplane.IPv4Options, east, option("", 1, 1, 1, 0))
	l.linux("option: not known", dataplane.IPv4Options, east, option("", 30, 4, 0xab, 0xcd))
	l.linux("option: not known, to be copied", dataplane.IPv4Options, east, option("", 0x80|30, 4, 0xab, 0xcd))
	l.linux("option: router alert", dataplane.IPv4Options, east, option("", 0x94, 4, 0, 0))
	l.linux("options: 40 bytes", dataplane.IPv4Options, east, option("", append([]byte{30, 40}, make([]byte, 38)...)...))
	record := option("", 7, 7, 4, 0, 0, 0, 0, 0)
	recorded := with(record, ip4Len+2, 8, 198, 51, 100, 1) // the address of the port that it leaves by
	l.ends("option: record route", dataplane.IPv4Options, record, forwarded(east, recorded))
	full := option("", 7, 7, 8, 9, 9, 9, 9, 0)
	l.linux("option: record route, full", dataplane.IPv4Options, east, full)
	l.ends("option: loose source route", dataplane.IPv4Options, option("", 0x83, 7, 4, 10, 0, 0, 2, 0))
	l.ends("option: strict source route", dataplane.IPv4Options, option("", 0x89, 7, 4, 198, 51, 100, 9, 0))
	bad := func(name string, at byte, options ...byte) {
		l.answered(name, dataplane.IPv4Options, parameter4, 0, uint32(at)<<24, option("", options...))
	}
	bad("option: length 0", 20, 30, 0, 0, 0)
	bad("option: length 1", 20, 30, 1, 0, 0)
	bad("option: length beyond the header", 20, 30, 5, 0, 0)
	bad("option: record route, pointer below 4", 22, 7, 7, 3, 0, 0, 0, 0, 0)
	wrong := option("", 1, 1, 1, 0)
	l.ends("options, checksum wrong", dataplane.IPv4Options, with(wrong, 11, wrong[11]^1))
	l.answered("options, ttl 1", dataplane.IPv4Options, timeExceeded4, 0, 0, l.ip(packet{dst: eastern4, ttl: 1, options: []byte{1, 1, 1, 0}}))
}

func fragments4(l *list) {
	for _, f := range []struct {
		name     string
		fragment uint16
		payload  int
	}{
		{"don't fragment", 0x4000, 64}, {"reserved flag", 0x8000, 64},
		{"first fragment", 0x2000, 64}, {"middle fragment", 0x2000 | 8, 64}, {"last fragment", 16, 64},
		{"fragment that overlaps", 0x2000 | 4, 64}, {"fragment of 8 bytes", 0x2000, 8}, {"tiny second fragment", 1, 8},
		{"fragment not of 8-byte units", 0x2000, 13}, {"fragment beyond 65535", 8191, 64}, {"don't fragment, more fragments", 0x6000, 64},
	} {
		l.goes(f.name, east, packet{dst: eastern4, fragment: f.fragment, payload: make([]byte, f.payload)})
	}
	// To the router, which keeps them for a while and says nothing.
	l.ends("first fragment to the router", dataplane.LocalRoute, l.ip(packet{dst: own4, fragment: 0x2000}))
}

func ports4(l *list) {
	ip := l.ip(packet{dst: eastern4})
	l.add(Case{Name: "by a port that does not forward", Port: quiet4, Frame: portNamed(quiet4).in(ip), Reason: dataplane.IrifDisabled})
	ip = l.ip(packet{dst: portNamed(quiet4).addr4()})
	l.add(Case{Name: "by a port that does not forward, to the router", Port: quiet4, Frame: portNamed(quiet4).in(ip),
		Reason: dataplane.IrifDisabled, Sent: []Sent{icmpError{kind: unreachable4, code: 3, about: ip, from: portNamed(quiet4).addr4()}.sent()}})
	checksumsLeft(l, eastern4)
}

// checksumsLeft are packets of a host that leaves UDP's checksum to hardware: it has
// the sum of the pseudo header then. Linux forwards them as they are.
func checksumsLeft(l *list, dst string) {
	p := portNamed(lazy)
	ip := l.ip(packet{dst: dst})
	l.add(Case{Name: "checksum filled in, of a host that may leave it", Port: lazy, Frame: p.in(ip), Reason: dataplane.Forwarded,
		Sent: []Sent{forwarded(east, ip)}})
	ip = l.ip(packet{dst: dst})
	hlen := len(ip) - udpLen - 32
	zero := with(ip, hlen+6, 0, 0)
	var pseudo uint16
	if l.v6 {
		pseudo = traffic.Checksum(append([]byte{}, zero[8:40]...), []byte{0, 0, zero[4], zero[5]}, []byte{0, 0, 0, unix.IPPROTO_UDP})
	} else {
		pseudo = traffic.Checksum(append([]byte{}, zero[12:20]...), []byte{0, unix.IPPROTO_UDP, 0, byte(len(zero) - hlen)})
	}
	left := with(ip, hlen+6, byte(^pseudo>>8), byte(^pseudo))
	l.add(Case{Name: "checksum left to hardware", Port: lazy, Frame: p.in(left), Reason: dataplane.ChecksumPartial,
		Sent: []Sent{forwarded(east, left)}})
}
