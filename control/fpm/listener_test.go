package fpm

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"weft/test/root"
)

func TestParseAddress(t *testing.T) {
	for in, want := range map[string]string{
		"127.0.0.1": "127.0.0.1:2620", "::1": "[::1]:2620", "127.0.0.1:99": "127.0.0.1:99", "[::1]:99": "[::1]:99", "0.0.0.0:2620": "0.0.0.0:2620",
	} {
		if got, err := ParseAddress(in); err != nil || got.String() != want {
			t.Errorf("%s: %v, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "2620", ":2620", "localhost:2620", "127.0.0.1:", "127.0.0.1:70000", "[::1]"} {
		if got, err := ParseAddress(in); err == nil || !strings.Contains(err.Error(), "want one like 127.0.0.1:2620") {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
}

func TestListenTwice(t *testing.T) {
	w := newWorld(t, Config{})
	if l, err := Listen(w.addr); err == nil {
		l.Close()
		t.Error("two listen on one address")
	} else if !strings.Contains(err.Error(), w.addr.String()) {
		t.Error(err)
	}
}

func TestOwner(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0A3C 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:8001 0100007F:0A3C 01 00000000:00000000 00:00000000 00000000  1000        0 2 1 0 20 4 30 10 -1
   2: 0100007F:8002 0100007F:0A3C 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0
   3: 0100007F:8003 0100007F:0A3C 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 20 4 30 10 -1
   4: 00000000000000000000000001000000:8004 00000000000000000000000001000000:0A3C 01 0:0 00:0 0   102        0 4 1 0
`
	a := netip.MustParseAddrPort
	for _, c := range []struct {
		from, to string
		uid      int
		ok       bool
	}{
		{"127.0.0.1:32769", "127.0.0.1:2620", 1000, true},
		{"127.0.0.1:32770", "127.0.0.1:2620", 0, false}, // it was closed: nobody's
		{"127.0.0.1:32771", "127.0.0.1:2620", 0, true},
		{"[::1]:32772", "[::1]:2620", 102, true},
		{"127.0.0.1:32769", "127.0.0.1:2621", 0, false},
		{"127.0.0.1:32775", "127.0.0.1:2620", 0, false},
	} {
		uid, ok, err := owner(strings.NewReader(table), a(c.from), a(c.to))
		if uid != c.uid || ok != c.ok || err != nil {
			t.Errorf("%s: user %d, %v, %v; want %d, %v", c.from, uid, ok, err, c.uid, c.ok)
		}
	}
}

// Only root and frr may decide where packets go.
func TestForeignPeer(t *testing.T) {
	root.Require(t)
	for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := Listen(netip.MustParseAddrPort(at))
		if err != nil {
			t.Fatal(err)
		}
		w := newWorldAt(t, Config{}, l)
		// The message goes out with the connection; and the process is gone at once.
		cmd := exec.Command("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "bash", "-c",
			`exec 3<>/dev/tcp/`+w.addr.Addr().String()+`/`+strconv.Itoa(int(w.addr.Port()))+` && cat >&3`)
		cmd.Stdin = strings.NewReader(string(frame(via("192.0.2.0/24", "198.51.100.1"))))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Logf("%v: %s", err, out) // it was refused while it wrote
		}
		w.until("refusal", func() bool { return w.server.Status().Refused == 1 })
		if s := w.server.Status(); s.Frames+s.Connections != 0 || s.Routes+s.Queued != 0 {
			t.Errorf("%+v", s)
		}
		w.dial().say(via("203.0.113.0/24", "198.51.100.1"))
		w.applied(1)
		w.wantVia("192.0.2.0/24", "none")
	}
}

// A server that ends closes its connection, and what the Sink has stays.
func TestServeEnds(t *testing.T) {
	w := newWorld(t, Config{})
	c := w.dial()
	c.say(via("192.0.2.0/24", "198.51.100.1"))
	w.applied(1)
	w.cancel()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read: %v", err)
	}
	if err := <-w.served; err != nil {
		t.Error(err)
	}
	w.served <- nil
	if conn, err := net.Dial("tcp", w.addr.String()); err == nil {
		conn.Close()
		t.Error("it still listens")
	}
	w.wantVia("192.0.2.0/24", "198.51.100.1")
}
