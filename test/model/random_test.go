package model

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"weft/test/proof"
)

// TestRandom compares with Linux on packets that are nearly right.
func TestRandom(t *testing.T) {
	const packets = 20000
	s := table()
	r := newReference(t, s)
	rng := rand.New(rand.NewPCG(4, 2026))
	said, explained, failures := 0, map[string]int{}, 0
	for range packets {
		frame, port := randomFrame(rng, s)
		before := slices.Clone(frame)
		o := s.Forward(frame, port)
		if !slices.Equal(frame, before) {
			t.Fatalf("Forward changed the frame %x", before)
		}
		seen := r.answers(frame, port)
		if o.Linux.Does == Delivers || o.Linux.Does == Undefined {
			continue
		}
		said++
		if !o.Linux.Is(seen) {
			failures++
			t.Errorf("by %s: %x\nreason %s, Linux %s %s:%s\nsaw:%s", port, frame, o.Reason, o.Linux.Does, o.Linux.Why, show(o.Linux.Sent), show(seen))
		}
		if o.Differs() {
			d, ok := Explain(frame, o)
			explained[d.Name]++
			if !ok {
				failures++
				t.Errorf("by %s: %x\nweft: %s by %q\n%x\nLinux %s %s:%s\nis none of Differences", port, frame, o.Reason, o.Port, o.Frame, o.Linux.Does, o.Linux.Why, show(o.Linux.Sent))
			}
		}
		if failures > 20 {
			t.FailNow()
		}
	}
	if said < packets/2 {
		t.Errorf("the model says what Linux does with %d packets of %d only", said, packets)
	}
	for _, d := range Differences {
		if explained[d.Name] == 0 {
			t.Errorf("no packet shows the difference %q", d.Name)
		}
	}
	proof.Record(t, proof.Result{Kind: proof.Agreement, Name: "model", What: "the model against Linux, bytes of all answers", Packets: uint64(said)})
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
	if oneIn(rng, 10) {
		port = pick(rng, "out", "narrow", "bare", "off", "tiny")
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
