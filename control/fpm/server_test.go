package fpm

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"weft/test/proof"
)

// What a peer says is what the Sink has.
func TestRoutes(t *testing.T) {
	w := newWorld(t, Config{})
	c := w.dial()
	c.say(via("192.0.2.0/24", "198.51.100.1"))
	c.say(via("2001:db8:1::/48", "fe80::1"), via("0.0.0.0/0", "198.51.100.2"), via("::/0", "fe80::2"))
	c.say(object1(7, "198.51.100.7"), object1(8, "fe80::8"), group(9, 7, 8), by("203.0.113.0/24", 9), by("2001:db8:2::/48", 8))
	c.say(netlink(unix.RTM_NEWROUTE, routeHead("10.1.0.0/16", unix.RTN_BLACKHOLE)),
		netlink(unix.RTM_NEWROUTE, routeHead("10.2.0.0/16", unix.RTN_UNREACHABLE)),
		netlink(unix.RTM_NEWROUTE, routeHead("10.3.0.0/16", unix.RTN_PROHIBIT)),
		netlink(unix.RTM_NEWROUTE, routeHead("192.0.2.0/24", unix.RTN_BLACKHOLE).num(unix.RTA_TABLE, 1000)))
	w.applied(c.sent)
	w.wantVia("192.0.2.0/24", "198.51.100.1")
	w.wantVia("2001:db8:1::/48", "fe80::1")
	w.wantVia("0.0.0.0/0", "198.51.100.2")
	w.wantVia("::/0", "fe80::2")
	w.wantVia("203.0.113.0/24", "198.51.100.7", "fe80::8")
	w.wantVia("2001:db8:2::/48", "fe80::8")
	kinds := map[string]string{}
	for k, r := range w.sink.routes {
		if r.Type != unix.RTN_UNICAST {
			kinds[fmt.Sprint(r.Prefix, " ", k.table)] = fmt.Sprint(r.Type, " ", r.Protocol, " ", r.Metric, " ", len(r.Hops))
		}
	}
	want := map[string]string{"10.1.0.0/16 254": "6 186 20 0", "10.2.0.0/16 254": "7 186 20 0", "10.3.0.0/16 254": "8 186 20 0", "192.0.2.0/24 1000": "6 186 20 0"}
	if fmt.Sprint(kinds) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", kinds, want)
	}
	c.say(without("192.0.2.0/24"), without("2001:db8:2::/48"), withoutObject(8))
	w.applied(c.sent)
	w.wantVia("192.0.2.0/24", "none")
	w.wantVia("2001:db8:2::/48", "none")
	w.wantVia("203.0.113.0/24", "198.51.100.7")
	s := w.server.Status()
	if s.Routes != 8 || s.NextHops != 2 || s.Parked != 0 || s.Stale != 0 || s.Messages != 16 || s.Ignored+s.Undecodable+s.BadFrames != 0 ||
		s.Peer != addrPort(c.LocalAddr()) {
		t.Errorf("%+v", s)
	}
}

// One route through 256 next hops, named one by one and by a group.
func TestManyHops(t *testing.T) {
	w := newWorld(t, Config{})
	c := w.dial()
	var hops attrs
	var members []uint32
	var want []string
	for i := range 256 {
		gateway := fmt.Sprintf("198.51.%d.%d", 100+i/128, i)
		want = append(want, gateway)
		hop := append(attrs{16, 0, 0, 0, 2, 0, 0, 0}, attrs{}.addr(unix.RTA_GATEWAY, gateway)...)
		hops = append(hops, hop...)
		members = append(members, uint32(1000+i))
		c.say(object1(uint32(1000+i), gateway))
	}
	c.say(netlink(unix.RTM_NEWROUTE, appendAttribute(routeHead("192.0.2.0/24", unix.RTN_UNICAST), unix.RTA_MULTIPATH, hops)),
		group(2000, members...), by("203.0.113.0/24", 2000))
	w.applied(c.sent)
	w.wantVia("192.0.2.0/24", want...)
	w.wantVia("203.0.113.0/24", want...)
}

// What is not about routes by destination is left out, counted, and no reason to
// end the connection.
func TestIgnored(t *testing.T) {
	w := newWorld(t, Config{})
	c := w.dial()
	lsp := attrs{28, 20, 0, 0, unix.RT_TABLE_MAIN, 0, 0, unix.RTN_UNICAST, 0, 0, 0, 0}
	sourced := routeHead("2001:db8::/32", unix.RTN_UNICAST)
	sourced[2] = 64
	c.say(netlink(unix.RTM_NEWROUTE, lsp), netlink(unix.RTM_NEWNEIGH, make([]byte, 12)), netlink(1000, nil), netlink(3001, []byte{1, 2, 3, 4}),
		netlink(unix.RTM_NEWROUTE, sourced), netlink(unix.RTM_NEWROUTE, routeHead("224.0.0.0/4", unix.RTN_MULTICAST)),
		netlink(unix.RTM_NEWROUTE, routeHead("::ffff:192.0.2.0/120", unix.RTN_UNICAST)))
	c.say(netlink(unix.RTM_NEWROUTE, []byte{1}), netlink(unix.RTM_NEWNEXTHOP, nextHopHead("")), netlink(unix.RTM_NEWROUTE, append(routeHead("192.0.2.0/24", 1), 3, 0, 0, 0)),
		via("203.0.113.0/24", "198.51.100.1"))
	w.applied(c.sent)
	if s := w.server.Status(); s.Routes != 1 || s.Ignored != 7 || s.Undecodable != 3 || s.Messages != 11 || !s.Peer.IsValid() {
		t.Errorf("%+v", s)
	}
	w.wantVia("203.0.113.0/24", "198.51.100.1")
}

// DEL and NEW in a frame is one replacement: the Sink is told of no deletion.
func TestReplacement(t *testing.T) {
	w := newWorld(t, Config{})
	c := w.dial()
	c.say(object1(1, "198.51.100.1"), object1(2, "198.51.100.2"), by("192.0.2.0/24", 1))
	w.applied(c.sent)
	const rounds = 1000
	for i := range rounds {
		c.say(without("192.0.2.0/24"), by("192.0.2.0/24", uint32(i%2+1)))
		w.applied(c.sent)
	}
	if w.sink.deleted() != 0 || w.sink.given() != 1+rounds {
		t.Errorf("%d deletions, %d sets", w.sink.deleted(), w.sink.given())
	}
	w.wantVia("192.0.2.0/24", "198.51.100.2")
	c.say(by("192.0.2.0/24", 1), without("192.0.2.0/24"))
	w.applied(c.sent)
	w.wantVia("192.0.2.0/24", "none")
	proof.Record(t, proof.Result{Kind: proof.Fault, Name: "R16", What: "FPM: DEL and NEW of a prefix in one frame, no deletion seen", Count: rounds})
}

// Routes for objects that are not known wait for them.
func TestUnknownObjects(t *testing.T) {
	w := newWorld(t, Config{})
	c := w.dial()
	parked := func(want int) {
		t.Helper()
		w.applied(c.sent)
		if s := w.server.Status(); s.Parked != want {
			t.Errorf("%d routes parked, want %d", s.Parked, want)
		}
	}
	c.say(by("10.1.0.0/16", 1), by("10.2.0.0/16", 1), by("10.3.0.0/16", 3))
	parked(3)
	c.say(group(3, 1, 2))
	parked(3)
	sets := w.sink.given()
	c.say(object1(2, "198.51.100.2"))
	parked(2)
	if w.sink.given() != sets+1 {
		t.Errorf("%d routes told again, want 1", w.sink.given()-sets)
	}
	w.wantVia("10.3.0.0/16", "198.51.100.2")
	c.say(object1(1, "198.51.100.1"))
	parked(0)
	w.wantVia("10.1.0.0/16", "198.51.100.1")
	w.wantVia("10.3.0.0/16", "198.51.100.1", "198.51.100.2")
	c.say(withoutObject(1))
	parked(2)
	w.wantVia("10.3.0.0/16", "198.51.100.2")
	c.say(object1(1, "198.51.100.9"))
	parked(0)
	w.wantVia("10.2.0.0/16", "198.51.100.9")
}

// Groups of groups, in a circle too, lead nowhere and hurt nobody.
func TestCycles(t *testing.T) {
	w := newWorld(t, Config{})
	c := w.dial()
	c.say(group(1, 1), group(2, 3), group(3, 2), group(4, 4, 4, 5), object1(5, "198.51.100.5"))
	for i := range 4 {
		c.say(by(fmt.Sprintf("10.%d.0.0/16", i), uint32(1+i)))
	}
	w.applied(c.sent)
	if s := w.server.Status(); s.Parked != 3 || s.NextHops != 5 {
		t.Errorf("%+v", s)
	}
	w.wantVia("10.3.0.0/16", "198.51.100.5")
	c.say(withoutObject(1), withoutObject(2), withoutObject(3), withoutObject(4), withoutObject(5))
	for i := range 4 {
		c.say(without(fmt.Sprintf("10.%d.0.0/16", i)))
	}
	w.applied(c.sent)
	if len(w.server.table.objects) != 0 || len(w.sink.nextHops) != 0 {
		t.Errorf("left: %v, %v", w.server.table.objects, w.sink.nextHops)
	}
}

// Each bad frame ends its connection, is counted, and takes nothing away; not even
// the good messages in it count.
func TestBadFramesKeepRoutes(t *testing.T) {
	w := newWorld(t, Config{})
	frames := uint64(0)
	for i, bad := range badFrames {
		c := w.dial()
		c.say(via("192.0.2.0/24", fmt.Sprintf("198.51.100.%d", i)))
		frames++
		w.applied(frames)
		if _, err := c.Write(append(bad.bytes, frame(without("192.0.2.0/24"))...)); err != nil {
			t.Fatal(err)
		}
		w.until("connection dropped", func() bool { return !w.server.Status().Peer.IsValid() })
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: the connection goes on", bad.name)
		}
		if s := w.server.Status(); s.BadFrames != uint64(i+1) || s.Frames != frames || s.Routes != 1 || s.Stale != 1 {
			t.Errorf("%s: %+v", bad.name, s)
		}
		w.wantVia("192.0.2.0/24", fmt.Sprintf("198.51.100.%d", i))
	}
	proof.Record(t, proof.Result{Kind: proof.Fault, Name: "R22", What: "FPM: bad frames, each dropped and counted, routes kept", Count: uint64(len(badFrames))})
}

// A second peer is refused, by name, and the first one goes on.
func TestOnePeer(t *testing.T) {
	log := &bytes.Buffer{}
	w := newWorld(t, Config{Log: slog.New(slog.NewTextHandler(log, nil))})
	c := w.dial()
	second, err := net.Dial("tcp", w.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if n, err := second.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes", n)
	}
	w.until("refusal", func() bool { return w.server.Status().Refused == 1 })
	c.say(via("192.0.2.0/24", "198.51.100.1"))
	w.applied(1)
	w.leave(c)
	w.dial()
	w.cancel()
	if err := <-w.served; err != nil {
		t.Error(err)
	}
	w.served <- nil
	for _, part := range []string{second.LocalAddr().String(), "another peer is connected: " + c.LocalAddr().String()} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("the log does not name %s:\n%s", part, log)
		}
	}
}

// However long the Sink takes, and however much a peer says: the peer is not kept
// waiting, and of each prefix one change waits.
func TestBackPressure(t *testing.T) {
	w := newWorld(t, Config{})
	c := w.dial()
	w.sink.gate.Lock()
	const prefixes, rounds = 100, 2000
	for round := range rounds {
		var messages [][]byte
		for i := range prefixes {
			p := fmt.Sprintf("10.0.%d.0/24", i)
			messages = append(messages, without(p), via(p, fmt.Sprintf("198.51.100.%d", round%200)))
		}
		c.say(messages...)
	}
	w.until("all frames taken", func() bool { return w.server.Status().Frames == rounds })
	if s := w.server.Status(); s.Queued > 2*prefixes || s.Messages != 2*prefixes*rounds {
		t.Errorf("%+v", s)
	}
	w.sink.gate.Unlock()
	w.applied(rounds)
	if w.sink.len() != prefixes || w.sink.deleted() != 0 || w.sink.given() > 2*prefixes {
		t.Errorf("%d routes, %d deletions, %d sets", w.sink.len(), w.sink.deleted(), w.sink.given())
	}
	w.wantVia("10.0.9.0/24", fmt.Sprintf("198.51.100.%d", (rounds-1)%200))
}

// Routes in tables that are not known are told again until they are.
func TestUnknownTables(t *testing.T) {
	w := newWorld(t, Config{Acknowledge: true})
	w.sink.unknown = map[uint32]bool{1000: true}
	c := w.dial()
	in := &reader{from: c}
	inVRF := func(p string) []byte {
		return netlink(unix.RTM_NEWROUTE, routeHead(p, unix.RTN_UNICAST).num(unix.RTA_TABLE, 1000).num(rtaNHID, 1))
	}
	c.say(object1(1, "198.51.100.1"), inVRF("10.1.0.0/16"), inVRF("10.2.0.0/16"), by("10.1.0.0/16", 1))
	w.applied(c.sent)
	if s := w.server.Status(); s.Routes != 3 || s.Parked != 2 || w.sink.len() != 1 {
		t.Errorf("%d in the sink, %+v", w.sink.len(), s)
	}
	c.say(netlink(unix.RTM_DELROUTE, routeHead("10.2.0.0/16", unix.RTN_UNICAST).num(unix.RTA_TABLE, 1000)))
	w.applied(c.sent)
	w.sink.mu.Lock()
	w.sink.unknown = nil
	w.sink.mu.Unlock()
	w.until("the table is known", func() bool { return w.server.Status().Parked == 0 })
	for {
		if a := c.listen(in); a.Table == 1000 && a.Prefix.String() == "10.1.0.0/16" && a.flags == unix.RTM_F_OFFLOAD {
			break
		}
	}
	if s := w.server.Status(); s.Routes != 2 || w.sink.len() != 2 {
		t.Errorf("%d in the sink, %+v", w.sink.len(), s)
	}
}

// The kernel's own routes are the kernel's to tell. That zebra prefers one means
// that it has none of its own any more.
func TestKernelsRoutes(t *testing.T) {
	w := newWorld(t, Config{})
	c := w.dial()
	kernels := func(p string) []byte {
		head := routeHead(p, unix.RTN_UNICAST)
		head[5] = unix.RTPROT_KERNEL
		return netlink(unix.RTM_NEWROUTE, head.num(unix.RTA_OIF, 2))
	}
	c.say(kernels("10.1.0.0/16"), via("10.2.0.0/16", "198.51.100.1"))
	w.applied(1)
	w.wantVia("10.1.0.0/16", "none")
	c.say(kernels("10.2.0.0/16"))
	w.applied(2)
	w.wantVia("10.2.0.0/16", "none")
	if s := w.server.Status(); s.Routes != 0 || s.Ignored != 2 {
		t.Errorf("%+v", s)
	}
}
