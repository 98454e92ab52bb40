package soft

import (
	"bytes"
	"testing"

	"weft/dataplane"
	"weft/dataplane/packet"
)

// ways are the loop twice: by the way that most packets go, and by the one that takes all
// steps.
type ways struct{ fast, slow *Probe }

func newWays(t testing.TB) ways {
	t.Helper()
	x := newWorld(t, nil, nil)
	c := *x.config
	c.Limits = packet.Limits{PerSecond: 1 << 20, Burst: 1 << 20}
	var all [2]*Probe
	for i := range all {
		p, err := NewProbe()
		x.must(err)
		t.Cleanup(func() { x.must(p.Close()) })
		x.must(p.Set(&c))
		all[i] = p
	}
	return ways{all[0], all[1]}
}

// want checks that a frame comes to the same by both, and to what a router may do.
func (w ways) want(t testing.TB, b []byte, port uint32) dataplane.Reason {
	t.Helper()
	o, err := w.fast.Run(b, port)
	if err != nil {
		t.Fatal(err)
	}
	all, err := w.slow.run(b, port, w.slow.w.decideSlow)
	if err != nil {
		t.Fatal(err)
	}
	if o.Reason != all.Reason || o.Ingress != all.Ingress || o.Egress != all.Egress || !bytes.Equal(o.Packet, all.Packet) || len(o.Sent) != len(all.Sent) {
		t.Fatalf("%x: %+v, by all steps %+v", b, o, all)
	}
	for i, s := range o.Sent {
		if s.Port != all.Sent[i].Port || place(0, s.Kernel, s.Frame) != place(0, s.Kernel, all.Sent[i].Frame) {
			t.Fatalf("%x: sent %+v, by all steps %+v", b, s, all.Sent[i])
		}
		wantSendable(t, s)
	}
	if o.Reason.Verdict() == dataplane.Drop && len(o.Sent) > 0 {
		t.Fatalf("%x: dropped for %s, and sent: %+v", b, o.Reason, o.Sent)
	}
	return o.Reason
}

func FuzzFrame(f *testing.F) {
	f.Add(frame(1, "192.0.2.9", "10.2.0.1", 40), byte(1))
	f.Add(frame(1, "2001:db8:1::9", "2001:db8:200::1", 1400), byte(1))
	f.Add(setTTL(frame(2, "198.51.100.9", "10.1.0.1", 40), 1), byte(2))
	f.Add([]byte{}, byte(0))
	w := newWays(f)
	f.Fuzz(func(t *testing.T, b []byte, port byte) {
		if len(b) <= 9000 {
			w.want(t, b, uint32(port%6))
		}
	})
}

// TestWays does the same with frames that are nearly right, and all that is special.
func TestWays(t *testing.T) {
	w, r, met := newWays(t), random(t), map[dataplane.Reason]int{}
	special4 := []string{"0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.5", "255.255.255.255", "240.0.0.1", "169.254.0.1", "192.0.2.9"}
	special6 := []string{"::", "::1", "::ffff:1.2.3.4", "::1.2.3.4", "fe80::1", "fec0::1", "ff00::1", "ff01::1", "ff02::1", "ff0e::1", "4000::1", "2001:db8:1::9"}
	for _, all := range [][]string{special4, special6} {
		for _, src := range all {
			for _, dst := range append(all, "") {
				if dst == "" {
					dst = map[bool]string{true: "10.2.0.1", false: "2001:db8:200::1"}[len(all) == len(special4)]
				}
				f := frame(1, src, dst, 40)
				met[w.want(t, f, 1)]++
				if f[14]>>4 == 6 {
					f[20] = 0 // hop-by-hop
					met[w.want(t, f, 1)]++
				}
			}
		}
	}
	for range 5000 {
		port := uint32(r.IntN(6))
		met[w.want(t, randomFrame(r, byte(port)), port)]++
	}
	if len(met) < 30 {
		t.Errorf("packets ended for %d reasons only: %v", len(met), met)
	}
}

// wantSendable checks that a frame which leaves is one that a router may send.
func wantSendable(t testing.TB, s Sent) {
	t.Helper()
	if s.Kernel {
		return
	}
	b := s.Frame
	if packet.EtherType(b) == packet.Type8021Q {
		b = b[packet.TagLen:]
	}
	r, length := dataplane.NonIP, 0
	switch packet.EtherType(b) {
	case packet.TypeIPv4:
		r, length = packet.CheckIPv4(b)
	case packet.TypeIPv6:
		r, length = packet.CheckIPv6(b)
	}
	if r != dataplane.Forwarded || length != len(b) || packet.IsGroup(s.Frame) {
		t.Fatalf("sent by port %d, and is wrong for %s: %x", s.Port, r, s.Frame)
	}
}

// decideSlow is decide for a vector of one packet, which takes all steps.
func (w *Worker) decideSlow(s *state, t uint64) uint64 {
	v := &w.v
	v.bytes[0] = v.packets[0].Length
	w.inputSlow(s, 0)
	v.endRuns()
	w.lookup()
	view := s.image.View()
	r := dataplane.Forwarded
	switch {
	case v.four.n > 0:
		r = w.resolve4(&view, 0, v.four.group[0])
	case v.six.n > 0:
		r = w.resolve6(&view, 0, v.six.group[0])
	}
	if r != dataplane.Forwarded {
		v.end(0, r)
	}
	return t
}
