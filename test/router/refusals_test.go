package router

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

// wantError asserts that a command has refused: one line on stderr that has all
// words in it, nothing on stdout.
func (o *outcome) wantError(t testing.TB, code int, words ...string) {
	t.Helper()
	if o.code != code || o.stdout != "" || strings.Count(o.stderr, "\n") != 1 || !strings.HasPrefix(o.stderr, "weft: ") {
		t.Errorf("exit code %d, want %d and one line\nstdout: %s\nstderr: %s", o.code, code, o.stdout, o.stderr)
	}
	for _, w := range words {
		if !strings.Contains(o.stderr, w) {
			t.Errorf("%q is not in %q", w, o.stderr)
		}
	}
}

// Questions that have no answer. The same come as JSON, with a code.
func TestBadQuestions(t *testing.T) {
	n := newNetwork(t)
	n.run()
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
		o := n.weft(args...)
		o.wantError(t, c.exit, c.words...)
		wantJSONError(t, n.weft(append([]string{"--json"}, args...)...), c.exit, c.code)
	}
	o := execute(t, exec.Command(weft, "-n", "weft-no-such-namespace", "status"))
	o.wantError(t, 2, "weft-no-such-namespace", "ip netns list")
}

func wantJSONError(t testing.TB, o outcome, exit int, code string) {
	t.Helper()
	var e struct {
		Error struct{ Code, Message, Hint string }
	}
	if err := json.Unmarshal([]byte(o.stderr), &e); err != nil || o.code != exit || e.Error.Code != code || e.Error.Message == "" || o.stdout != "" {
		t.Errorf("exit code %d, want %d and %s\nstdout: %s\nstderr: %s", o.code, exit, code, o.stdout, o.stderr)
	}
}

// There can be one daemon in a network namespace, and at a socket.
func TestSecondDaemon(t *testing.T) {
	n := newNetwork(t)
	n.run()
	n.resolve()
	s := n.status()
	for _, args := range [][]string{{"run"}, {"run", "--detach"}, {"--socket", "/run/" + n.lab.Prefix() + "state/other.sock", "run"}} {
		o := n.weft(args...)
		o.wantError(t, 1, "in use", fmt.Sprint("process ", s.PID), "weft stop")
	}
	if again := n.status(); again.PID != s.PID || again.Program != s.Program || again.FIB.Generation != s.FIB.Generation {
		t.Errorf("the first daemon was %+v, and is %+v", s, again)
	}
	p := n.path(2)
	p.crosses(p.packet("10.2.0.2"))

	other := newNetwork(t)
	socket := n.socket()
	o := other.weft("--socket", socket, "run")
	o.stderr = lastLine(o.stderr)
	o.wantError(t, 1, socket, "in use")
	other.wantNothing(objects{})
	if n.status().PID != s.PID {
		t.Error("the first daemon has lost its socket")
	}

	// A file that is no socket is no place for one, and stays.
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	o = other.weft("--socket", file, "run")
	o.stderr = lastLine(o.stderr)
	o.wantError(t, 1, file, "no socket")
	if text, err := os.ReadFile(file); string(text) != "precious" {
		t.Errorf("the file has %q, %v", text, err)
	}
	other.wantNothing(objects{})
}

// lastLine leaves out what a daemon logs before it ends.
func lastLine(text string) string {
	lines := strings.SplitAfter(text, "\n")
	return lines[max(0, len(lines)-2)]
}

// socket is where the router's daemon answers.
func (n *network) socket() string { return "/run/weft/" + n.netns() + ".sock" }

// What a dead daemon left at the socket's place is no obstacle.
func TestSocketLeft(t *testing.T) {
	n := newNetwork(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: n.socket(), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	n.run()
}

// A port that has another's XDP program stays Linux's, and is told of; the other
// ports forward. It is a port when the program is gone.
func TestForeignProgram(t *testing.T) {
	n := newNetwork(t)
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "foreign", Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Close()
	var busy link.Link
	ifindex := n.link("r1", "to-h3").Attrs().Index
	err = n.lab.In("r1", func() (err error) {
		busy, err = link.AttachXDP(link.XDPOptions{Program: prog, Interface: ifindex})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	id := n.link("r1", "to-h3").Attrs().Xdp.ProgId
	n.start()
	n.isPort("to-h1")
	n.isPort("to-h2")
	n.before = n.accounts()
	name := fmt.Sprintf("id %d (foreign)", id)
	var list portList
	n.ask(&list, "ports")
	if len(list.Refused) != 1 || list.Refused[0].Ifname != "to-h3" || !strings.Contains(list.Refused[0].Error, name) {
		t.Errorf("refused: %+v, want to-h3 for %s", list.Refused, name)
	}
	for _, args := range []string{"ports", "status", "doctor"} {
		if o := n.weft(args); !strings.Contains(o.stdout, "to-h3") || !strings.Contains(o.stdout, "foreign") {
			t.Errorf("weft %s does not tell of the program:\n%s", args, o.stdout)
		}
	}
	n.command("r1", "ping", "-q", "-c", "1", "-W", "5", "10.2.0.2")
	n.wantForward("10.2.0.2", "to-h2", "")
	h2, h3 := n.path(2), n.path(3)
	h2.crosses(h2.packet("10.2.0.2"))
	n.wantCounted("to-h1", "forwarded", 0, func() { h3.arrives(h3.packet("10.3.0.2")) })
	if x := n.link("r1", "to-h3").Attrs().Xdp; x == nil || x.ProgId != id {
		t.Errorf("the program is %+v, was %d", x, id)
	}
	if err := busy.Close(); err != nil {
		t.Fatal(err)
	}
	n.isPort("to-h3")
	n.wantForward("10.3.0.2", "to-h3", "")
	h3.crosses(h3.packet("10.3.0.2"))
}

// No interface is a port: weft runs, and says what is wrong.
func TestNoPorts(t *testing.T) {
	n := newNetwork(t)
	n.start("--ports", "nonexistent*")
	if s := n.status(); len(s.Trouble) == 0 || !strings.Contains(s.Trouble[0], "NO PORTS") || !strings.Contains(s.Trouble[0], "weft doctor") {
		t.Errorf("trouble: %v", s.Trouble)
	}
	p := n.path(2)
	p.arrives(p.packet("10.2.0.2"))
	o := n.weft("routes", "get", "10.2.0.2")
	o.wantError(t, 1, "no interface is a port")
}
