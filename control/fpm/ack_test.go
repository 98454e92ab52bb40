package fpm

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
)

// answer is an acknowledgement as zebra 8.5 and later reads it (fpm_read in
// zebra/dplane_fpm_nl.c): one message in a frame.
type answer struct {
	kernel.Route
	flags uint32
}

func (a answer) String() string {
	what := map[uint32]string{unix.RTM_F_OFFLOAD: "offload", unix.RTM_F_OFFLOAD_FAILED: "failed"}[a.flags]
	return fmt.Sprintf("%s table %d proto %d type %d nhid %d metric %d %s", a.Prefix, a.Table, a.Protocol, a.Type, a.NextHop, a.Metric, what)
}

// listen reads the next acknowledgement.
func (c *client) listen(in *reader) answer {
	c.Helper()
	messages, err := in.next()
	if err != nil || len(messages) != 1 || messages[0].kind != unix.RTM_NEWROUTE {
		c.Fatalf("%v, %v", messages, err)
	}
	if flags := binary.NativeEndian.Uint16(in.buffer[frameHeader+6:]); flags&unix.NLM_F_REQUEST == 0 {
		c.Errorf("the answer is no request: flags %#x", flags)
	}
	var a answer
	if err := a.Decode(messages[0].payload); err != nil {
		c.Fatal(err)
	}
	a.flags = binary.NativeEndian.Uint32(messages[0].payload[8:])
	return a
}

// A route comes back when the Sink has it, and as what became of it.
func TestAcknowledge(t *testing.T) {
	w := newWorld(t, Config{Acknowledge: true})
	w.sink.refused = func(p netip.Prefix) bool { return p.Addr().Is6() }
	c := w.dial()
	in := &reader{from: c}
	want := func(text string) {
		t.Helper()
		if got := c.listen(in).String(); got != text {
			t.Errorf("\ngot  %s\nwant %s", got, text)
		}
	}
	c.say(via("192.0.2.0/24", "198.51.100.1"))
	want("192.0.2.0/24 table 254 proto 186 type 1 nhid 0 metric 20 offload")
	c.say(via("2001:db8::/32", "fe80::1"))
	want("2001:db8::/32 table 254 proto 186 type 1 nhid 0 metric 20 failed")
	c.say(without("192.0.2.0/24"), netlink(unix.RTM_NEWROUTE, routeHead("0.0.0.0/0", unix.RTN_BLACKHOLE).num(unix.RTA_TABLE, 1000)))
	want("0.0.0.0/0 table 1000 proto 186 type 6 nhid 0 metric 20 offload")
	c.say(by("203.0.113.0/24", 7))
	want("203.0.113.0/24 table 254 proto 186 type 1 nhid 7 metric 20 failed")
	c.say(object1(7, "198.51.100.7"))
	want("203.0.113.0/24 table 254 proto 186 type 1 nhid 7 metric 20 offload")
	w.until("all counted", func() bool { s := w.server.Status(); return s.Offloaded == 3 && s.OffloadFailed == 2 })
}

// What has been said anew while the Sink was at work is answered once, for what was
// said last; and only when the Sink is through with it.
func TestAcknowledgeLatest(t *testing.T) {
	w := newWorld(t, Config{Acknowledge: true})
	c := w.dial()
	in := &reader{from: c}
	w.sink.gate.Lock()
	c.say(object1(1, "198.51.100.1"), object1(2, "198.51.100.2"), by("192.0.2.0/24", 1), by("203.0.113.0/24", 1))
	w.until("the first is in work", func() bool { w.server.mu.Lock(); defer w.server.mu.Unlock(); return w.server.table.count == 2 })
	c.say(by("192.0.2.0/24", 2))
	w.until("the second is queued", func() bool { return w.server.Status().Frames == 2 })
	if s := w.server.Status(); s.Offloaded != 0 {
		t.Errorf("answered before it was published: %+v", s)
	}
	w.sink.gate.Unlock()
	got := map[string]uint32{}
	for range 2 {
		a := c.listen(in)
		got[a.Prefix.String()] = a.NextHop
	}
	if got["192.0.2.0/24"] != 2 || got["203.0.113.0/24"] != 1 {
		t.Errorf("answers: %v", got)
	}
	w.applied(2)
	w.until("all counted", func() bool { return w.server.Status().Offloaded == 2 })
}

// A peer that does not read what it is told delays nobody.
func TestAcknowledgeToTheDeaf(t *testing.T) {
	w := newWorld(t, Config{Acknowledge: true})
	c := w.dial()
	const prefixes, rounds = 2000, 50 // more bytes of answers than sockets hold
	for round := range rounds {
		var messages [][]byte
		for i := range prefixes {
			messages = append(messages, via(fmt.Sprintf("10.%d.%d.0/24", i/250, i%250), fmt.Sprintf("198.51.100.%d", round)))
		}
		for part := range slices.Chunk(messages, 500) {
			c.say(part...)
		}
	}
	w.applied(c.sent)
	w.wantVia("10.0.9.0/24", fmt.Sprintf("198.51.100.%d", rounds-1))
	w.server.mu.Lock()
	p := w.server.peer
	w.server.mu.Unlock()
	p.ackMu.Lock()
	waiting := len(p.acks.items)
	p.ackMu.Unlock()
	if waiting > max(2*prefixes, leastFew) {
		t.Errorf("%d answers wait for %d prefixes", waiting, prefixes)
	}
	w.leave(c)
}

// Nothing is sent back where that is not wanted.
func TestNoAcknowledge(t *testing.T) {
	w := newWorld(t, Config{})
	c := w.dial()
	c.say(via("192.0.2.0/24", "198.51.100.1"))
	w.applied(1)
	w.leave(c)
	if s := w.server.Status(); s.Offloaded+s.OffloadFailed != 0 {
		t.Errorf("%+v", s)
	}
}
