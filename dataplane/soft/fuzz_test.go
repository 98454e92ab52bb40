package soft

import (
	"bytes"
	"testing"

	"weft/dataplane"
	"weft/dataplane/packet"
)

// FuzzFrame gives any frame to the loop, by the way that most packets go and by the one
// that takes all steps: both come to the same, no frame is lost, and what leaves is right.
func FuzzFrame(f *testing.F) {
	f.Add(frame(1, "192.0.2.9", "10.2.0.1", 40), byte(1))
	f.Add(frame(1, "2001:db8:1::9", "2001:db8:200::1", 1400), byte(1))
	f.Add(setTTL(frame(2, "198.51.100.9", "10.1.0.1", 40), 1), byte(2))
	f.Add([]byte{}, byte(0))
	x := newWorld(f, nil, nil)
	fast, err := NewProbe()
	x.must(err)
	slow, err := NewProbe()
	x.must(err)
	c := *x.config
	c.Limits = packet.Limits{PerSecond: 1 << 20, Burst: 1 << 20}
	x.must(fast.Set(&c))
	x.must(slow.Set(&c))
	f.Fuzz(func(t *testing.T, b []byte, port byte) {
		if len(b) > 9000 {
			return
		}
		o, err := fast.Run(b, uint32(port%6))
		if err != nil {
			t.Fatal(err)
		}
		all, err := slow.run(b, uint32(port%6), slow.w.decideSlow)
		if err != nil {
			t.Fatal(err)
		}
		if o.Reason != all.Reason || o.Ingress != all.Ingress || o.Egress != all.Egress || !bytes.Equal(o.Packet, all.Packet) || len(o.Sent) != len(all.Sent) {
			t.Fatalf("%+v, by all steps %+v", o, all)
		}
		for i, s := range o.Sent {
			if s.Port != all.Sent[i].Port || place(0, s.Kernel, s.Frame) != place(0, s.Kernel, all.Sent[i].Frame) {
				t.Fatalf("sent %+v, by all steps %+v", s, all.Sent[i])
			}
			wantSendable(t, s)
		}
		if o.Reason.Verdict() == dataplane.Drop && len(o.Sent) > 0 {
			t.Fatalf("dropped for %s, and sent: %+v", o.Reason, o.Sent)
		}
	})
}

// wantSendable checks that a frame which leaves is one that a router may send.
func wantSendable(t *testing.T, s Sent) {
	if s.Kernel {
		return
	}
	b := s.Frame
	if packet.EtherType(b) == packet.Type8021Q {
		b = b[packet.TagLen:]
	}
	r, length := dataplane.Forwarded, 0
	switch packet.EtherType(b) {
	case packet.TypeIPv4:
		r, length = packet.CheckIPv4(b)
	case packet.TypeIPv6:
		r, length = packet.CheckIPv6(b)
	default:
		r = dataplane.NonIP
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
