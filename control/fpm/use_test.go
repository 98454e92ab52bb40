package fpm

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

func listenAnywhere(t *testing.T) *Listener {
	t.Helper()
	l, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// isRefused asserts that nobody listens.
func isRefused(t *testing.T, at netip.AddrPort) {
	t.Helper()
	if conn, err := net.Dial("tcp", at.String()); err == nil {
		conn.Close()
		t.Errorf("somebody listens at %s", at)
	}
}

// Another listener ends the connection over the first one. The routes stay for the
// hold time, in which the peer finds the other one.
func TestUseAnother(t *testing.T) {
	w := newWorld(t, Config{})
	c := w.dial()
	c.say(via("192.0.2.0/24", "198.51.100.1"), via("203.0.113.0/24", "198.51.100.1"))
	w.applied(1)
	first, l := w.addr, listenAnywhere(t)
	w.addr = l.Addr()
	w.server.Use(l)
	isRefused(t, first)
	if s := w.server.Status(); s.Address != w.addr || s.Peer.IsValid() || s.Routes != 2 || s.Stale != 2 {
		t.Errorf("%+v", s)
	}
	again := w.dial() // at once: nobody is in the way
	again.say(via("192.0.2.0/24", "198.51.100.2"))
	w.applied(2)
	if s := w.server.Status(); s.Routes != 2 || s.Stale != 1 || s.Refused != 0 || w.sink.deleted() != 0 {
		t.Errorf("%d deleted, %+v", w.sink.deleted(), s)
	}
	w.wantVia("192.0.2.0/24", "198.51.100.2")
	w.wantVia("203.0.113.0/24", "198.51.100.1")
}

// Without a listener there are no routes, at once; and with one there are again.
func TestUseNone(t *testing.T) {
	w := newWorld(t, Config{})
	c := w.dial()
	c.say(object1(1, "198.51.100.1"), by("192.0.2.0/24", 1), via("203.0.113.0/24", "198.51.100.1"))
	w.applied(1)
	w.server.Use(nil)
	isRefused(t, w.addr)
	w.until("the routes have gone", func() bool { s := w.server.Status(); return s.Sweeps == 1 && s.Routes == 0 && s.NextHops == 0 })
	if w.sink.len() != 0 || w.server.Status().Address.IsValid() {
		t.Errorf("%d routes, %+v", w.sink.len(), w.server.Status())
	}
	l := listenAnywhere(t)
	w.addr = l.Addr()
	w.server.Use(l)
	w.dial().say(via("192.0.2.0/24", "198.51.100.1"))
	w.applied(2)
	w.wantVia("192.0.2.0/24", "198.51.100.1")
}

// The hold time of routes that are stale already may be changed.
func TestSetHold(t *testing.T) {
	w := newWorld(t, Config{Hold: time.Hour})
	c := w.dial()
	c.say(via("192.0.2.0/24", "198.51.100.1"))
	w.applied(1)
	w.leave(c)
	w.held(1)
	w.server.SetHold(time.Hour) // which is no change
	w.server.SetHold(8 * time.Second)
	w.held(2)
	if asked := w.clock.last(); asked != 7*time.Second {
		t.Errorf("the hold time goes on for %v", asked)
	}
	w.pass()
	w.pass()
	if s := w.server.Status(); s.Routes != 0 || s.Swept != 1 || w.clock.last() != time.Second {
		t.Errorf("%+v after %v", s, w.clock.last())
	}
}
