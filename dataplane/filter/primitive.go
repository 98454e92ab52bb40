package filter

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

type direction uint8

const (
	sourceOrDestination direction = iota
	source
	destination
	sourceAndDestination
)

// qualifiers are the words in front of an identifier.
type qualifiers struct {
	proto string // "", ether, ip, ip6, arp, rarp or one of protocols
	dir   direction
	kind  string // "", host, net, port, portrange, proto
	at    token
}

// primitive parses one condition of words.
func (p *parser) primitive() (condition, error) {
	t := p.peek()
	if t.kind == word {
		if remedy, is := notHere[t.text]; is {
			return nil, p.errorAt(t, strconv.Quote(t.text)+" is not known here", remedy)
		}
		switch t.text {
		case "vlan":
			p.pos++
			return p.vlan()
		case "less", "greater":
			p.pos++
			return p.lessOrGreater(t.text)
		case "broadcast", "multicast":
			p.pos++
			return group(t.text), nil
		}
	}
	q, err := p.qualifiers()
	if err != nil {
		return nil, err
	}
	if q == nil { // an identifier alone goes on with the qualifiers before
		q = p.last
		if q == nil {
			q = &qualifiers{kind: "host", at: t}
			if t.kind != dotted && t.kind != address6 {
				return nil, p.errorAt(t, "unexpected "+t.shown(), "want a primitive like 'host 192.0.2.1', 'udp port 53', 'icmp' or 'tcp[13] & 2 != 0'")
			}
		}
		return p.identifier(q)
	}
	if c, err := p.alone(q); c != nil || err != nil {
		return c, err
	}
	p.last = q
	return p.identifiers(q)
}

// qualifiers parses the words in front of an identifier, in their order; nil: there are none.
func (p *parser) qualifiers() (*qualifiers, error) {
	q := &qualifiers{at: p.peek()}
	first := p.pos
	if t := p.peek(); t.kind == word && (etherTypes[t.text] != 0 || protocols[t.text].number != 0 || t.text == "ether" || t.text == "link") {
		q.proto = strings.Replace(t.text, "link", "ether", 1)
		p.pos++
	}
	switch {
	case p.takes("src"):
		q.dir = source
		q.dir = p.secondDirection(q.dir, "dst")
	case p.takes("dst"):
		q.dir = destination
		q.dir = p.secondDirection(q.dir, "src")
	}
	t := p.peek()
	if t.kind == word {
		switch t.text {
		case "host", "net", "port", "portrange", "proto":
			q.kind = t.text
			p.pos++
		case "broadcast", "multicast":
			return q, nil
		default:
			if remedy, is := notHere[t.text]; is {
				return nil, p.errorAt(t, strconv.Quote(t.text)+" is not known here", remedy)
			}
		}
	}
	if p.pos == first {
		return nil, nil
	}
	return q, nil
}

// secondDirection parses 'or dst' and 'and dst' behind src, and the reverse.
func (p *parser) secondDirection(d direction, other string) direction {
	join, next := p.peek(), p.after(1)
	if next.kind != word || next.text != other {
		return d
	}
	switch join.text {
	case "or", "||":
		d = sourceOrDestination
	case "and", "&&":
		d = sourceAndDestination
	default:
		return d
	}
	p.pos += 2
	return d
}

// alone is for a protocol without an identifier, as 'tcp', and for 'ip multicast'.
func (p *parser) alone(q *qualifiers) (condition, error) {
	if q.kind != "" || q.dir != sourceOrDestination || q.proto == "" {
		return nil, nil
	}
	t := p.peek()
	if t.kind == word && (t.text == "broadcast" || t.text == "multicast") {
		p.pos++
		switch {
		case q.proto == "ether":
			return group(t.text), nil
		case q.proto == "ip" && t.text == "multicast":
			return and{p.link.isIP(), compare{at: p.link.network + ip4Dst, size: 1, test: bpf.JumpGreaterOrEqual, with: 224}}, nil
		case q.proto == "ip6" && t.text == "multicast":
			return and{p.link.isIP6(), equal(p.link.network+ip6Dst, 1, 255)}, nil
		}
		return nil, p.errorAt(t, q.proto+" "+t.text+" is not known here", "name the address: 'dst host A'")
	}
	if q.proto == "ether" || !p.endsPrimitive(t) {
		return nil, nil
	}
	if etherType, is := etherTypes[q.proto]; is {
		return p.link.isType(etherType), nil
	}
	switch proto := protocols[q.proto]; proto.family {
	case 4:
		return p.link.protocol4(proto.number), nil
	case 6:
		return p.link.protocol6(proto.number), nil
	default:
		return p.link.protocol(proto.number), nil
	}
}

// endsPrimitive tells whether a word cannot be an identifier.
func (p *parser) endsPrimitive(t token) bool {
	switch t.kind {
	case end:
		return true
	case sign:
		return t.text != "(" && t.text != "!"
	case word:
		return t.text == "and" || t.text == "or"
	}
	return false
}

// identifiers parses one, or several in parentheses.
func (p *parser) identifiers(q *qualifiers) (condition, error) {
	if !p.isSign("(") {
		return p.identifier(q)
	}
	return p.group(func() (condition, error) {
		return p.joined(func() (condition, error) { return p.identifierOrNot(q) })
	})
}

func (p *parser) identifierOrNot(q *qualifiers) (condition, error) {
	t := p.peek()
	if !p.takes("not", "!") {
		return p.identifiers(q)
	}
	if err := p.enter(t); err != nil {
		return nil, err
	}
	defer p.leave()
	c, err := p.identifierOrNot(q)
	return not{c}, err
}

// identifier parses what qualifiers are about.
func (p *parser) identifier(q *qualifiers) (condition, error) {
	switch q.kind {
	case "port", "portrange":
		return p.ports(q)
	case "proto":
		return p.protocol(q)
	case "net":
		return p.net(q)
	}
	return p.host(q)
}

func group(what string) condition {
	if what == "broadcast" {
		return station([6]byte{255, 255, 255, 255, 255, 255}, destination)
	}
	return compare{at: 0, size: 1, test: bpf.JumpBitsSet, with: 1}
}

// vlan parses the identifier of a tag, if there is one. All that follows is behind the tag.
func (p *parser) vlan() (condition, error) {
	l := p.link
	c := anyOf(l.isType(unix.ETH_P_8021Q), l.isType(unix.ETH_P_8021AD), l.isType(0x9100))
	if t := p.peek(); t.kind == number {
		p.pos++
		id, err := p.number(t)
		if err != nil {
			return nil, err
		}
		if id > 0xfff {
			return nil, p.errorAt(t, "VLAN "+t.text, "want one up to 4095")
		}
		c = and{c, compare{at: l.network, size: 2, mask: 0xfff, test: bpf.JumpEqual, with: id}}
	}
	p.link = link{l.etherType + tagLen, l.network + tagLen}
	if p.link.network > offsetMost {
		return nil, p.errorAt(p.peek(), "too many tags", "")
	}
	return c, nil
}

func (p *parser) lessOrGreater(which string) (condition, error) {
	t := p.peek()
	if t.kind != number {
		return nil, p.errorAt(t, "unexpected "+t.shown(), "want a number of bytes")
	}
	p.pos++
	n, err := p.number(t)
	if which == "less" {
		return frameLength{bpf.JumpLessOrEqual, n}, err
	}
	return frameLength{bpf.JumpGreaterOrEqual, n}, err
}

func (p *parser) host(q *qualifiers) (condition, error) {
	t := p.peek()
	p.pos++
	if q.proto == "ether" {
		if t.kind != mac {
			return nil, p.errorAt(t, "unexpected "+t.shown(), "want a MAC like 02:00:00:00:00:01")
		}
		return station(parseMAC(t.text), q.dir), nil
	}
	a, err := netip.ParseAddr(t.text)
	if err != nil || t.kind != dotted && t.kind != address6 {
		remedy := "want an address: names are not looked up"
		if t.kind == mac {
			remedy = "want 'ether host " + t.text + "'"
		}
		return nil, p.errorAt(t, "unexpected "+t.shown(), remedy)
	}
	if next := p.peek(); next.kind == sign && next.text == "/" {
		return nil, p.errorAt(next, "a host has no prefix length", "want 'net "+t.text+"/...'")
	}
	return p.addresses(q, t, netip.PrefixFrom(a, a.BitLen()))
}

func parseMAC(text string) (m [6]byte) {
	parts := strings.FieldsFunc(text, func(r rune) bool { return r == ':' || r == '-' || r == '.' })
	for i := range m {
		n, _ := strconv.ParseUint(parts[i], 16, 8) // the scanner has seen to it
		m[i] = byte(n)
	}
	return m
}

// net parses a prefix, 'NET mask MASK', or the beginning of an IPv4 address: '10.1' is 10.1.0.0/16.
func (p *parser) net(q *qualifiers) (condition, error) {
	t := p.peek()
	text, length := t.text, 0
	switch t.kind {
	case number, dotted:
		n := strings.Count(text, ".") + 1
		text, length = text+strings.Repeat(".0", 4-n), 8*n
	case address6:
		length = 128 // unless a prefix length follows
	default:
		return nil, p.errorAt(t, "unexpected "+t.shown(), "want a prefix like 10.0.0.0/8: names are not looked up")
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return nil, p.errorAt(t, "unexpected "+t.shown(), "want a prefix like 10.0.0.0/8")
	}
	p.pos++
	switch next := p.after(1); {
	case p.isSign("/"):
		n, err := strconv.Atoi(next.text)
		if err != nil || next.kind != number || n > a.BitLen() {
			return nil, p.errorAt(next, "unexpected "+next.shown(), "want a prefix length up to "+strconv.Itoa(a.BitLen()))
		}
		length = n
		p.pos += 2
	case p.isWord("mask") && a.Is4():
		m, err := netip.ParseAddr(next.text)
		if err != nil || !m.Is4() {
			return nil, p.errorAt(next, "unexpected "+next.shown(), "want a mask like 255.255.0.0")
		}
		if length, err = lengthOf(m); err != nil {
			return nil, p.errorAt(next, "mask "+next.text+" has holes", "want a mask that a prefix length can say")
		}
		p.pos += 2
	}
	prefix := netip.PrefixFrom(a, length)
	if prefix.Masked() != prefix {
		return nil, p.errorAt(t, prefix.String()+" has bits behind its length", "want "+prefix.Masked().String())
	}
	return p.addresses(q, t, prefix)
}

// addresses are compared with a prefix, in the protocols that carry them.
func (p *parser) addresses(q *qualifiers, t token, prefix netip.Prefix) (condition, error) {
	l, four := p.link, prefix.Addr().Is4()
	ip := func() condition { return and{l.isIP(), l.prefix4(prefix, q.dir, ip4Src, ip4Dst)} }
	arp := func(name string) condition {
		return and{l.isType(etherTypes[name]), l.prefix4(prefix, q.dir, arpSrc, arpDst)}
	}
	switch {
	case q.proto == "" && four:
		return anyOf(ip(), arp("arp"), arp("rarp")), nil
	case q.proto == "ip" && four:
		return ip(), nil
	case (q.proto == "arp" || q.proto == "rarp") && four:
		return arp(q.proto), nil
	case (q.proto == "" || q.proto == "ip6") && !four:
		return l.prefix6(prefix, q.dir), nil
	}
	return nil, p.errorAt(t, q.proto+" has no addresses like "+t.text, "want ip, ip6, arp or nothing in front of the address")
}

func (p *parser) protocol(q *qualifiers) (condition, error) {
	t := p.peek()
	p.pos++
	n, err := uint32(0), error(nil)
	switch {
	case t.kind == number:
		n, err = p.number(t)
	case q.proto == "ether":
		n = etherTypes[t.text]
	default:
		n = protocols[t.text].number
	}
	switch {
	case err != nil:
		return nil, err
	case n == 0 && t.kind != number || t.kind != number && t.kind != word && t.kind != quoted:
		return nil, p.errorAt(t, "unexpected "+t.shown(), "want a protocol's number, or a name like tcp")
	case q.dir != sourceOrDestination:
		return nil, p.errorAt(q.at, "a protocol has no direction", "leave out src and dst")
	case q.proto == "ether" && (n < 1536 || n > 0xffff):
		return nil, p.errorAt(t, "EtherType "+t.text, "want one from 0x600 to 0xffff")
	case q.proto == "ether":
		return p.link.isType(n), nil
	case n > 255:
		return nil, p.errorAt(t, "protocol "+t.text, "want one up to 255")
	}
	switch q.proto {
	case "":
		return p.link.protocol(n), nil
	case "ip":
		return p.link.protocol4(n), nil
	case "ip6":
		return p.link.protocol6(n), nil
	}
	return nil, p.errorAt(q.at, q.proto+" carries no protocols that have numbers", "want ip, ip6, ether or nothing in front of 'proto'")
}

var errHoles = errors.New("holes")

// lengthOf returns the prefix length that a mask is.
func lengthOf(m netip.Addr) (int, error) {
	b := m.As4()
	n := binary.BigEndian.Uint32(b[:])
	ones := bits.LeadingZeros32(^n)
	if n<<ones != 0 {
		return 0, errHoles
	}
	return ones, nil
}
