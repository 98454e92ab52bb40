package router

import (
	"encoding/json"
	"net"
	"strings"
	"testing"

	"weft/test/star"
)

// Questions that have no answer. The same come as JSON, with a code.
func TestBadQuestions(t *testing.T) {
	n := star.New(t)
	n.Run()
	for _, c := range []struct {
		line  string
		exit  int
		code  string
		words []string
	}{
		{"ports to-h9", 2, "not_found", []string{"to-h9", "no such port"}},
		{"routes get 10.1.2", 2, "usage", []string{"10.1.2"}},
		{"routes get 10.1.2.3.4", 2, "usage", []string{"10.1.2.3.4"}},
		{"routes get 2001:db8::1%eth0", 2, "usage", []string{"2001:db8::1%eth0"}},
		{"routes get 10.2.0.2 iif nowhere", 2, "not_found", []string{"nowhere"}},
		{"routes get 10.2.0.2 from 2001:db8::1", 2, "usage", []string{"2001:db8::1"}},
		{"routes 10.0.0.0/33", 2, "usage", []string{"10.0.0.0/33"}},
		{"drops --reason nonsense", 2, "usage", []string{"nonsense"}},
		{"prots", 2, "usage", []string{"prots", "ports"}},
		{"ports --jsn", 2, "usage", []string{"--jsn"}},
		{"stop now", 2, "usage", []string{"now"}},
		{"run --mode fast", 2, "usage", []string{"fast", "native"}},
		{"run --ports [", 2, "usage", []string{"["}},
		{"run --receive-buffer -1", 2, "usage", []string{"-1"}},
	} {
		args := strings.Fields(c.line)
		o := n.Weft(args...)
		o.WantError(t, c.exit, c.words...)
		wantJSONError(t, n.Weft(append([]string{"--json"}, args...)...), c.exit, c.code)
	}
	o := star.Execute(t, star.Weft, "-n", "weft-no-such-namespace", "status")
	o.WantError(t, 2, "weft-no-such-namespace", "ip netns list")
}

func wantJSONError(t testing.TB, o star.Outcome, exit int, code string) {
	t.Helper()
	var e struct {
		Error struct{ Code, Message, Hint string }
	}
	if err := json.Unmarshal([]byte(o.Stderr), &e); err != nil || o.Code != exit || e.Error.Code != code || e.Error.Message == "" || o.Stdout != "" {
		t.Errorf("exit code %d, want %d and %s\nstdout: %s\nstderr: %s", o.Code, exit, code, o.Stdout, o.Stderr)
	}
}

// No interface is a port: weft runs, and says what is wrong.
func TestNoPorts(t *testing.T) {
	n := star.New(t)
	n.Start("--ports", "nonexistent*")
	if s := n.Status(); len(s.Trouble) == 0 || !strings.Contains(s.Trouble[0], "NO PORTS") || !strings.Contains(s.Trouble[0], "weft doctor") {
		t.Errorf("trouble: %v", s.Trouble)
	}
	p := n.Path(2)
	p.Arrives(p.Packet("10.2.0.2"))
	o := n.Weft("routes", "get", "10.2.0.2")
	o.WantError(t, 1, "no interface is a port")
}

// What a dead daemon left at the socket's place is no obstacle.
func TestSocketLeft(t *testing.T) {
	n := star.New(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: n.Socket(), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	n.Run()
}
