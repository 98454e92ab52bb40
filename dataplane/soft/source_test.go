package soft

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"weft/fib"
)

func addresses(all ...string) (p []netip.Prefix) {
	for _, s := range all {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

// RFC 1812 4.3.2.4: an address of the port that the error leaves by, in the subnet of
// whom it goes to.
func TestSource4(t *testing.T) {
	im, err := fib.Create(make([]byte, 1<<20), fib.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name         string
		interfaces   []Interface
		neighbor, to string
		want         string
	}{
		{"first", []Interface{{Port: 1, Addresses: addresses("10.0.0.1/24", "10.0.1.1/24")}}, "192.0.2.1", "8.8.8.8", "10.0.0.1"},
		{"beside the gateway", []Interface{{Port: 1, Addresses: addresses("10.0.0.1/24", "10.0.1.1/24")}}, "10.0.1.9", "8.8.8.8", "10.0.1.1"},
		{"secondary", []Interface{{Port: 1, Addresses: addresses("10.0.0.1/24", "10.0.0.2/24")}}, "10.0.0.9", "8.8.8.8", "10.0.0.1"},
		{"connected, longest", []Interface{{Port: 1, Addresses: addresses("10.0.0.1/8", "10.0.1.1/24")}}, "10.0.1.9", "10.0.1.9", "10.0.1.1"},
		{"gateway, first of two subnets", []Interface{{Port: 1, Addresses: addresses("10.0.0.1/8", "10.0.1.1/24")}}, "10.0.1.9", "8.8.8.8", "10.0.0.1"},
		{"another's", []Interface{{Addresses: addresses("fd00::1/64")}, {Addresses: addresses("192.0.2.1/32")}, {Port: 1}}, "10.0.0.9", "8.8.8.8", "192.0.2.1"},
		{"none", nil, "10.0.0.9", "8.8.8.8", "192.0.0.8"}, // RFC 7600
	} {
		s, err := newState(&Config{Image: im, Interfaces: c.interfaces, Ports: []Port{newTestPort(1), newTestPort(2)}})
		if err != nil {
			t.Fatal(err)
		}
		got := s.source4(&way{port: 1, neighbor: netip.MustParseAddr(c.neighbor)}, netip.MustParseAddr(c.to))
		if addr4(got).String() != c.want {
			t.Errorf("%s: %s, want %s", c.name, addr4(got), c.want)
		}
	}
}

func newTestPort(n uint32) (p Port) {
	p.Number, p.Name, p.MAC = n, "p", mac(byte(n), 1)
	return p
}

// RFC 6724 5, as far as Linux asks for it here.
func TestSource6(t *testing.T) {
	in := Interface{Port: 1, MTU: 1500, Addresses: addresses("10.0.0.1/8", "fe80::1/64", "2001:db8:1::1/64", "fd00:1::1/64")}
	other := Interface{Port: 2, MTU: 1500, Addresses: addresses("2001:db8:2::1/64", "2001:db8:2::2/64")}
	small := Interface{Port: 3, MTU: 1000, Addresses: addresses("2001:db8:3::1/64")}
	for _, c := range []struct {
		name       string
		interfaces []Interface
		to, want   string
	}{
		{"of the port, by its label", []Interface{other, in}, "2001:db8:2::9", "2001:db8:1::1"},
		{"private to private", []Interface{in, other}, "fd00:1::9", "fd00:1::1"},
		{"another's, the newest of equals", []Interface{{Port: 1}, other}, "2001:db8:9::1", "2001:db8:2::2"},
		{"none", []Interface{{Port: 1}, small}, "2001:db8:3::9", "::1"},
	} {
		s := &state{interfaces: c.interfaces}
		from := &noInterface
		for i := range c.interfaces {
			if c.interfaces[i].Port == 1 {
				from = &c.interfaces[i]
			}
		}
		if got := addr6(s.source6(from, netip.MustParseAddr(c.to))); got.String() != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// A Config that cannot be is refused, and nothing changes.
func TestSetRefuses(t *testing.T) {
	x := newWorld(t, nil, nil)
	for _, c := range []struct {
		name   string
		change func(*Port)
	}{
		{"number 0", func(p *Port) { p.Number = 0 }},
		{"another's number", func(p *Port) { p.Number = 1 }},
		{"number too high", func(p *Port) { p.Number = maxPorts }},
		{"no such VRF", func(p *Port) { p.VRF = 1 << 20 }},
		{"on no port", func(p *Port) { p.Parent, p.VLAN = 99, 5 }},
		{"no such VLAN", func(p *Port) { p.Parent, p.VLAN = 1, 4095 }},
	} {
		config := *x.config
		p := newTestPort(9)
		c.change(&p)
		config.Ports = append([]Port{p}, config.Ports...)
		if err := x.w.Set(&config); err == nil {
			t.Errorf("%s: accepted", c.name)
		}
	}
	f := frame(1, "192.0.2.9", "10.2.0.1", 40)
	x.send(1, f)
	x.run()
	x.wantOut(2, forwarded(f, 2))
}

// Ports of a VRF look up in its table, also in one vector with others.
func TestVRF(t *testing.T) {
	x := newWorld(t, nil, nil)
	c := *x.config
	c.Ports = append([]Port{}, c.Ports...)
	c.Ports[2].VRF = 5
	x.must(x.w.Set(&c))
	vrf, err := x.im.Table(5)
	x.must(err)
	x.must(vrf.Insert(mustPrefix("10.2.0.0/16"), x.to(x.neighbor[3])))
	x.must(vrf.Insert(mustPrefix("2001:db8:200::/48"), x.to(x.neighbor[3])))
	var two, three [][]byte
	for i := range 40 {
		port := byte(1 + i/10%2*2)
		four, six := frame(port, "192.0.2.9", "10.2.0.1", 40), frame(port, "2001:db8:1::9", "2001:db8:200::1", 40)
		binary.BigEndian.PutUint16(four[18:], uint16(i))
		four = setTTL(four, 64)
		x.send(uint32(port), four, six)
		if port == 1 {
			two = append(two, forwarded(four, 2), forwarded(six, 2))
		} else {
			three = append(three, forwarded(four, 3), forwarded(six, 3))
		}
	}
	x.run()
	x.wantOut(2, two...)
	x.wantOut(3, three...)
}
