package model

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"weft/test/proof"
)

// TestRandom compares with Linux on packets that are nearly right, in several states.
func TestRandom(t *testing.T) {
	const states, packets = 12, 2000
	rng := rand.New(rand.NewPCG(4, 2026))
	c := comparison{explained: map[string]int{}}
	for i := range states {
		s := table()
		if i > 0 {
			vary(rng, s)
		}
		ok := t.Run(fmt.Sprint(i), func(t *testing.T) {
			r := newReference(t, s)
			for range packets {
				frame, port := randomFrame(rng, s)
				c.compare(t, s, r, frame, port)
			}
		})
		if !ok {
			t.Fatalf("the state was %+v", *s)
		}
	}
	if c.said < states*packets/2 {
		t.Errorf("the model says what Linux does with %d packets of %d only", c.said, states*packets)
	}
	for _, d := range Differences {
		if c.explained[d.Name] == 0 {
			t.Errorf("no packet shows the difference %q", d.Name)
		}
	}
	proof.Record(t, proof.Result{Kind: proof.Agreement, Name: "model", What: "the model against Linux, all bytes that leave",
		Count: states, Packets: uint64(c.said)})
}

// comparison counts packets of which the model says what Linux does, and of those
// what weft does otherwise.
type comparison struct {
	said, failures int
	explained      map[string]int
}

func (c *comparison) compare(t *testing.T, s *State, r *reference, frame []byte, port string) {
	t.Helper()
	before := slices.Clone(frame)
	o := s.Forward(frame, port)
	if !slices.Equal(frame, before) {
		t.Fatalf("Forward changed the frame %x", before)
	}
	seen := r.deed(frame, port, &o.Linux)
	if o.Linux.Does == Delivers || o.Linux.Does == Undefined {
		return
	}
	c.said++
	told := fmt.Sprintf("by %s: %x\nweft: %s by %q\n  %x\nLinux %s %s:%s\nor %v", port, frame, o.Reason, o.Port, o.Frame, o.Linux.Does, o.Linux.Why, show(o.Linux.Sent), o.Linux.Or)
	if !o.Linux.Is(seen) {
		c.failures++
		t.Errorf("%s\nsaw:%s", told, show(seen))
	}
	if o.Differs() {
		d, ok := Explain(frame, o)
		c.explained[d.Name]++
		if !ok {
			c.failures++
			t.Errorf("%s\nis none of Differences", told)
		}
	}
	if c.failures > 10 {
		t.FailNow()
	}
}

// vary changes a state, but for the ports of the marks.
func vary(rng *rand.Rand, s *State) {
	drop := func(n int) bool { return oneIn(rng, n) }
	for i := range s.Ports {
		p := &s.Ports[i]
		if p.Name == "mark" || p.Name == "marked" {
			continue
		}
		p.MTU = pick(rng, p.MTU, p.MTU, 1500, 1280, 1281, 1300, 576, 100, 68)
		p.Addrs = slices.DeleteFunc(p.Addrs, func(netip.Prefix) bool { return drop(4) })
		p.IPv4, p.IPv6, p.Down = !drop(8), !drop(8), drop(6)
	}
	s.Neighbors = slices.DeleteFunc(s.Neighbors, func(n Neighbor) bool { return n.Port != "marked" && drop(6) })
	for i := range s.Routes {
		r := &s.Routes[i]
		if drop(4) && r.Kind == Unicast {
			r.MTU = pick(rng, 1300, 1400, 600, 100, 68)
			for _, h := range r.Hops {
				r.MTU = min(r.MTU, s.port(h.Port).MTU)
			}
		}
		if drop(6) && r.Prefix.Addr().Is4() {
			r.Hops = append(r.Hops, r.Hops...)
		}
	}
	s.Routes = slices.DeleteFunc(s.Routes, func(Route) bool { return drop(6) })
}

func show(all []Sent) (text string) {
	for _, s := range all {
		text += fmt.Sprintf("\n  %v %x", s.Ports, s.Frame)
	}
	return text
}

var random4 = []string{
	"10.1.0.1", "10.1.0.2", "10.1.0.255", "10.1.0.0", "10.1.1.1", "10.1.0.129", "10.2.0.2", "10.2.0.3", "10.2.0.4", "10.2.0.77",
	"10.2.3.0", "10.2.3.1", "10.2.4.1", "10.3.0.2", "10.3.0.255", "10.5.0.2", "10.6.0.1", "10.6.0.2", "10.6.0.255", "10.7.0.2",
	"20.0.1.1", "20.0.0.1", "20.1.0.1", "20.2.0.1", "20.3.0.1", "20.3.0.2", "20.4.0.1", "20.5.0.1", "20.6.0.1", "20.7.0.1",
	"20.8.0.1", "20.9.0.1", "20.10.0.1", "20.11.0.1", "20.12.0.1", "20.13.0.1", "20.14.0.1", "0.0.0.0", "0.1.2.3", "127.0.0.1",
	"224.0.0.1", "224.0.0.9", "239.1.1.1", "240.0.0.1", "255.255.255.255", "198.51.100.1", "30.0.0.1",
}

var random6 = []string{
	"2001:db8:1::1", "2001:db8:1::2", "2001:db8:1::", "2001:db8:2::2", "2001:db8:2::3", "2001:db8:2::4", "2001:db8:2::77",
	"2001:db8:2:1::", "2001:db8:2:1::1", "fd02::1", "2001:db8:3::2", "2001:db8:5::2", "2001:db8:6::1", "2001:db8:6::2",
	"2001:db8:20:1::1", "2001:db8:20::1", "2001:db8:21::1", "2001:db8:22::1", "2001:db8:23::1", "2001:db8:23::2", "2001:db8:24::1",
	"2001:db8:25::1", "2001:db8:26::1", "2001:db8:27::1", "2001:db8:28::1", "2001:db8:29::1", "2001:db8:2a::1", "2001:db8:2b::1",
	"2001:db8:2e::1", "::", "::1", "::5", "::ffff:10.0.0.1", "fe80::1", "fe80::2", "ff02::1", "ff00::1", "ff01::1", "ff0e::1",
	"fd99::1", "2002::1", "3000::1",
}

func pick[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }

func oneIn(rng *rand.Rand, n int) bool { return rng.IntN(n) == 0 }

func anyByte(rng *rand.Rand) byte { return byte(rng.UintN(256)) }

// randomFrame makes a frame, and says by which port it comes in.
func randomFrame(rng *rand.Rand, s *State) ([]byte, string) {
	port := "in"
	for oneIn(rng, 10) || s.port(port).Down {
		port = s.Ports[rng.IntN(len(s.Ports)-2)].Name
	}
	payload := bytesOf(pick(rng, 0, 1, 8, 16, 40, 100, 600, 1250, 1272, 1290, 1400, 1452, 1480))
	if len(payload) > 0 && oneIn(rng, 4) {
		payload[0] = anyByte(rng)
	}
	etherType, p := typeIPv4, []byte(nil)
	if oneIn(rng, 2) {
		p = random4Packet(rng, payload)
	} else {
		etherType, p = typeIPv6, random6Packet(rng, payload)
	}
	switch {
	case oneIn(rng, 10):
		p = append(p, bytesOf(rng.IntN(30))...) // padding
	case oneIn(rng, 40):
		p = p[:rng.IntN(len(p)+1)]
	}
	p = p[:min(len(p), s.port(port).MTU)]
	to := macOf(port)
	switch rng.IntN(20) {
	case 0:
		to = allMAC
	case 1:
		to = groupMAC
	case 2:
		to = otherMAC
	}
	f := ethernet(to, hostMAC, etherType, p)
	for oneIn(rng, 20) && len(f) < s.port(port).MTU {
		tag := []byte{0x81, 0, 0, 0}
		if oneIn(rng, 4) {
			tag[3] = 7
		}
		if oneIn(rng, 4) {
			tag[0], tag[1] = 0x88, 0xa8
		}
		f = slices.Concat(f[:12], tag, f[12:])
	}
	return f, port
}

var ttls = []byte{64, 64, 64, 64, 64, 64, 2, 1, 0, 255}

func random4Packet(rng *rand.Rand, payload []byte) []byte {
	src := "10.1.0.2"
	if oneIn(rng, 3) {
		src = pick(rng, random4...)
	}
	var o []byte
	if oneIn(rng, 4) {
		o = randomOptions(rng)
	}
	fragment := pick(rng, 0, 0, 0, df, df, mf, mf|5, 7, offset, 0x8000, df|mf, df|3)
	p := raw4(src, pick(rng, random4...), o, payload, func(b []byte) {
		b[1], b[8], b[9] = anyByte(rng), pick(rng, ttls...), pick[byte](rng, 17, 6, 1, 1, 254, 132)
		put16(b[6:], fragment)
	})
	if oneIn(rng, 20) {
		p[rng.IntN(header4)] = anyByte(rng)
		if h := ipv4(p); oneIn(rng, 2) && h.hlen() >= header4 && h.hlen() <= len(p) {
			h.setChecksum()
		}
	}
	return p
}

func randomOptions(rng *rand.Rand) (o []byte) {
	for !oneIn(rng, 3) {
		k := pick[byte](rng, optEnd, optNop, optNop, 7, 7, 68, 68, 131, 137, 148, 130, 255, 25)
		if k <= optNop {
			o = append(o, k)
			continue
		}
		b := make([]byte, 2+rng.IntN(14))
		n := len(b)
		b[0], b[1] = k, byte(n)
		if n > 2 {
			b[2] = byte(4 + rng.IntN(n+3))
		}
		if n > 3 {
			b[3] = pick(rng, anyByte(rng), byte(rng.IntN(4)))
		}
		if n > 10 && oneIn(rng, 2) {
			copy(b[4:], []byte{10, 1, 0, 1})
		}
		if oneIn(rng, 20) {
			b[1] = anyByte(rng)
		}
		o = append(o, b...)
	}
	o = o[:min(len(o), 40)]
	for len(o)%4 != 0 {
		o = append(o, pick[byte](rng, optEnd, optNop))
	}
	return o
}

func random6Packet(rng *rand.Rand, payload []byte) []byte {
	src := "2001:db8:1::2"
	if oneIn(rng, 3) {
		src = pick(rng, random6...)
	}
	next := pick[byte](rng, 17, 6, icmp6, icmp6, noNext, 254)
	for range rng.IntN(3) {
		kind := pick[byte](rng, hopByHop, hopByHop, routing, fragment6, destOpts, auth)
		payload = append(randomHeader(rng, kind, next), payload...)
		next = kind
	}
	p := raw6(src, pick(rng, random6...), next, payload, at(0, 0x60|anyByte(rng)>>4, anyByte(rng)), at(hopLimitAt, pick(rng, ttls...)))
	if oneIn(rng, 20) {
		p[rng.IntN(8)] = anyByte(rng)
	}
	return p
}

// randomHeader makes an extension header.
func randomHeader(rng *rand.Rand, kind, next byte) []byte {
	e := make([]byte, 8*(1+rng.IntN(3)))
	e[0], e[1] = next, byte(len(e)/8-1)
	switch kind {
	case hopByHop:
		randomHopByHop(rng, e[2:])
	case auth:
		e[1] = byte(len(e)/4 - 2)
		fallthrough
	default:
		for i := 2; i < len(e); i++ {
			e[i] = pick(rng, 0, anyByte(rng))
		}
	}
	if oneIn(rng, 20) {
		e[1]++
	}
	return e
}

func randomHopByHop(rng *rand.Rand, o []byte) {
	for len(o) > 0 {
		k := pick[byte](rng, 0, 1, 1, 5, 0x31, 0xc2, 0x1e, 0x3e, 0x5e, 0x9e, 0xde)
		n := min(len(o), 2+rng.IntN(6))
		if oneIn(rng, 2) {
			n = map[byte]int{5: 4, 0xc2: 6}[k]
		}
		if k == 0 || n < 2 || n > len(o) {
			o = o[1:]
			continue
		}
		o[0], o[1] = k, byte(n-2)
		if oneIn(rng, 10) && n > 2 {
			o[2] = anyByte(rng)
		}
		o = o[n:]
	}
}
