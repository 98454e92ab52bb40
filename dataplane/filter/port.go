package filter

import (
	"net"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const wantPort = "want a number up to 65535, or a service of /etc/services"

// ports parses a port, or a range of them: A-B, which the scanner may take for a word or for three.
func (p *parser) ports(q *qualifiers) (condition, error) {
	t := p.peek()
	network, numbers := "", withPorts
	switch q.proto {
	case "":
	case "tcp", "udp", "sctp":
		numbers = []uint32{protocols[q.proto].number}
		network = strings.Replace(q.proto, "sctp", "", 1)
	default:
		return nil, p.errorAt(q.at, q.proto+" has no ports", "want tcp, udp, sctp or nothing in front of 'port'")
	}
	if t.kind == end {
		return nil, p.errorAt(t, "unexpected end", wantPort)
	}
	text := t.text
	p.pos++
	if p.isSign("-") && t.kind == number {
		text += "-" + p.after(1).text
		p.pos += 2
	}
	from, to := text, text
	if q.kind == "portrange" {
		if a, b, ok := strings.Cut(text, "-"); ok && a != "" && a[0] >= '0' && a[0] <= '9' {
			from, to = a, b
		}
	}
	first, err := p.port(network, numbers, t, from)
	if err != nil {
		return nil, err
	}
	last, err := p.port(network, numbers, t, to)
	if err != nil {
		return nil, err
	}
	return p.link.ports(min(first, last), max(first, last), q.dir, numbers), nil
}

// port finds the number of a service, too.
func (p *parser) port(network string, numbers []uint32, t token, text string) (uint32, error) {
	if n, err := strconv.ParseUint(text, 0, 16); err == nil {
		return uint32(n), nil
	}
	networks := []string{network}
	if network == "" && numbers[0] == unix.IPPROTO_TCP {
		networks = []string{"tcp", "udp"}
	}
	if t.kind == word || t.kind == quoted {
		for _, n := range networks {
			if port, err := net.LookupPort(n, text); err == nil && n != "" {
				return uint32(port), nil
			}
		}
	}
	return 0, p.errorAt(t, strconv.Quote(text)+" is no port", wantPort)
}
