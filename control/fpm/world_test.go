package fpm

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
)

// sink is a RIB that keeps what it is told.
type sink struct {
	mu       sync.Mutex
	gate     sync.RWMutex // held: Apply waits
	routes   map[key]kernel.Route
	nextHops map[uint32]kernel.NextHop
	batches  int
	sets     int
	deletes  int
	refused  func(netip.Prefix) bool // not installed
	unknown  map[uint32]bool         // tables
}

func newSink() *sink {
	return &sink{routes: map[key]kernel.Route{}, nextHops: map[uint32]kernel.NextHop{}, refused: func(netip.Prefix) bool { return false }}
}

func (s *sink) Apply(_ context.Context, b *Batch) error {
	s.gate.RLock()
	defer s.gate.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches++
	for _, n := range b.NextHops {
		s.nextHops[n.ID] = n
	}
	for i := range b.Routes {
		r := &b.Routes[i]
		k := keyOf(&r.Route)
		if r.Gone {
			if _, ok := s.routes[k]; ok {
				s.deletes++
			}
			delete(s.routes, k)
			continue
		}
		s.sets++
		s.routes[k] = r.Route
		switch {
		case s.unknown[r.Route.Table]:
			r.Became = Parked
			delete(s.routes, k)
		case !s.refused(r.Route.Prefix) && (r.Route.NextHop == 0 || s.hops(r.Route.NextHop) != nil):
			r.Became = Installed
		default:
			r.Became = NotInstalled
		}
	}
	for _, id := range b.Gone {
		if _, ok := s.nextHops[id]; !ok {
			panic("an object has gone that was never there")
		}
		delete(s.nextHops, id)
	}
	return nil
}

// given and deleted return how many routes came and went: the server is at work.
func (s *sink) given() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sets
}

func (s *sink) deleted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deletes
}

// hops returns the gateways of an object.
func (s *sink) hops(id uint32) (gateways []netip.Addr) {
	n, ok := s.nextHops[id]
	switch {
	case !ok:
		return nil
	case !n.IsGroup():
		return []netip.Addr{n.Hop.Gateway}
	}
	for _, m := range n.Members {
		if one, ok := s.nextHops[m.ID]; ok && !one.IsGroup() {
			for range m.Weight {
				gateways = append(gateways, one.Hop.Gateway)
			}
		}
	}
	return gateways
}

// gateways returns where packets to a prefix go.
func (s *sink) gateways(p string) (gateways []netip.Addr, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.routes[keyOf(&kernel.Route{Prefix: netip.MustParsePrefix(p), Table: unix.RT_TABLE_MAIN})]
	if r.NextHop != 0 {
		return s.hops(r.NextHop), ok
	}
	for _, h := range r.Hops {
		gateways = append(gateways, h.Gateway)
	}
	return gateways, ok
}

func (s *sink) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.routes)
}

// world is a server, its sink, and the hold time in the test's hands.
type world struct {
	testing.TB
	server *Server
	sink   *sink
	addr   netip.AddrPort
	clock  *clock
	cancel func()
	served chan error
}

// clock ends hold times when it is told to.
type clock struct {
	mu    sync.Mutex
	timer chan time.Time
	asked int
	wait  time.Duration // that was asked for last
}

func (c *clock) last() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wait
}

func (c *clock) after(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = make(chan time.Time, 1)
	c.asked++
	c.wait = d
	return c.timer
}

func (c *clock) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

// pass lets the time pass that was asked for last.
func (c *clock) pass() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer <- time.Time{}
}

func newWorld(t testing.TB, c Config) *world {
	t.Helper()
	l, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	return newWorldAt(t, c, l)
}

func newWorldAt(t testing.TB, c Config, l *Listener) *world {
	w := &world{TB: t, sink: newSink(), addr: l.Addr(), clock: &clock{}, served: make(chan error, 1)}
	if c.Sink == nil {
		c.Sink = w.sink
	}
	w.server = New(c)
	w.server.clock = w.clock.after
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	w.server.Use(l)
	go func() { w.served <- w.server.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-w.served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return w
}

// until waits for something that is to come.
func (w *world) until(what string, is func() bool) {
	w.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("not in a minute: %s; %+v", what, w.server.Status())
		}
	}
}

// applied waits until the sink has what the last frames said.
func (w *world) applied(frames uint64) {
	w.Helper()
	w.until("all frames worked off", func() bool { s := w.server.Status(); return s.Frames == frames && s.Queued == 0 })
}

// client is a zebra of the test's.
type client struct {
	testing.TB
	net.Conn
	sent uint64 // frames
}

func (w *world) dial() *client {
	w.Helper()
	before := w.server.Status().Connections
	conn, err := net.Dial("tcp", w.addr.String())
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { conn.Close() })
	w.until("connected", func() bool { return w.server.Status().Connections == before+1 })
	return &client{TB: w, Conn: conn}
}

// leave ends the connection, and waits until the server knows.
func (w *world) leave(c *client) {
	w.Helper()
	c.Close()
	w.until("gone", func() bool { return !w.server.Status().Peer.IsValid() })
}

// say sends messages in one frame.
func (c *client) say(messages ...[]byte) {
	c.Helper()
	if _, err := c.Write(frame(messages...)); err != nil {
		c.Fatal(err)
	}
	c.sent++
}

func frame(messages ...[]byte) []byte {
	b := []byte{version, typeNetlink, 0, 0}
	for _, m := range messages {
		b = append(b, m...)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// netlink builds a message of a payload, and what the next one is aligned by.
func netlink(kind uint16, payload []byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(messageHeader+len(payload)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, 1, 5, 0, 0, 0, 0, 0, 0, 0, 0)
	b = append(b, payload...)
	return append(b, make([]byte, -len(b)&(messageAlign-1))...)
}

type attrs []byte

func (a attrs) num(kind uint16, n uint32) attrs {
	return appendAttribute(a, kind, binary.NativeEndian.AppendUint32(nil, n))
}

func (a attrs) addr(kind uint16, s string) attrs {
	return appendAttribute(a, kind, netip.MustParseAddr(s).AsSlice())
}

func family(a netip.Addr) byte {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func routeHead(p string, kind byte) attrs {
	prefix := netip.MustParsePrefix(p)
	head := attrs{family(prefix.Addr()), byte(prefix.Bits()), 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_BGP, 0, kind, 0, 0, 0, 0}
	return head.addr(unix.RTA_DST, prefix.Addr().String()).num(unix.RTA_PRIORITY, 20)
}

// via is a route through a gateway.
func via(p, gateway string) []byte {
	return netlink(unix.RTM_NEWROUTE, routeHead(p, unix.RTN_UNICAST).addr(unix.RTA_GATEWAY, gateway).num(unix.RTA_OIF, 2))
}

// by is a route by a next-hop object.
func by(p string, id uint32) []byte {
	return netlink(unix.RTM_NEWROUTE, routeHead(p, unix.RTN_UNICAST).num(rtaNHID, id))
}

func without(p string) []byte { return netlink(unix.RTM_DELROUTE, routeHead(p, unix.RTN_UNSPEC)) }

func nextHopHead(a string) attrs {
	f := byte(unix.AF_UNSPEC)
	if a != "" {
		f = family(netip.MustParseAddr(a))
	}
	return attrs{f, 0, unix.RTPROT_ZEBRA, 0, 0, 0, 0, 0}
}

func object1(id uint32, gateway string) []byte {
	return netlink(unix.RTM_NEWNEXTHOP, nextHopHead(gateway).num(unix.NHA_ID, id).addr(unix.NHA_GATEWAY, gateway).num(unix.NHA_OIF, 2))
}

func group(id uint32, members ...uint32) []byte {
	var b []byte
	for _, m := range members {
		b = append(binary.NativeEndian.AppendUint32(b, m), 0, 0, 0, 0)
	}
	return netlink(unix.RTM_NEWNEXTHOP, appendAttribute(nextHopHead("").num(unix.NHA_ID, id), unix.NHA_GROUP, b))
}

func withoutObject(id uint32) []byte {
	return netlink(unix.RTM_DELNEXTHOP, nextHopHead("").num(unix.NHA_ID, id))
}

// wantVia checks where packets to a prefix go; to nowhere with no gateways, and
// that there is no route with "none".
func (w *world) wantVia(p string, gateways ...string) {
	w.Helper()
	got, ok := w.sink.gateways(p)
	if slices.Equal(gateways, []string{"none"}) {
		if ok {
			w.Errorf("%s goes to %v, want no route", p, got)
		}
		return
	}
	var want []netip.Addr
	for _, g := range gateways {
		want = append(want, netip.MustParseAddr(g))
	}
	if !ok || !slices.Equal(got, want) {
		w.Errorf("%s goes to %v (there is one: %v), want %v", p, got, ok, want)
	}
}
