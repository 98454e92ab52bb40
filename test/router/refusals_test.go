package router

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weft/test/star"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
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

// There can be one daemon in a network namespace, and at a socket.
func TestSecondDaemon(t *testing.T) {
	n := star.New(t)
	n.Run()
	n.Resolve()
	s := n.Status()
	for _, args := range [][]string{{"run"}, {"run", "--detach"}, {"--socket", "/run/" + n.Lab.Prefix() + "state/other.sock", "run"}} {
		o := n.Weft(args...)
		o.WantError(t, 1, "in use", fmt.Sprint("process ", s.PID), "weft stop")
	}
	if again := n.Status(); again.PID != s.PID || again.Program != s.Program || again.FIB.Generation != s.FIB.Generation {
		t.Errorf("the first daemon was %+v, and is %+v", s, again)
	}
	p := n.Path(2)
	p.Crosses(p.Packet("10.2.0.2"))

	other := star.New(t)
	socket := n.Socket()
	o := other.Weft("--socket", socket, "run")
	o.Stderr = lastLine(o.Stderr)
	o.WantError(t, 1, socket, "in use")
	other.WantNothing(star.Objects{})
	if n.Status().PID != s.PID {
		t.Error("the first daemon has lost its socket")
	}

	// A file that is no socket is no place for one, and stays.
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	o = other.Weft("--socket", file, "run")
	o.Stderr = lastLine(o.Stderr)
	o.WantError(t, 1, file, "no socket")
	if text, err := os.ReadFile(file); string(text) != "precious" {
		t.Errorf("the file has %q, %v", text, err)
	}
	other.WantNothing(star.Objects{})
}

// lastLine leaves out what a daemon logs before it ends.
func lastLine(text string) string {
	lines := strings.SplitAfter(text, "\n")
	return lines[max(0, len(lines)-2)]
}

// A port that has another's XDP program stays Linux's, and is told of; the other
// ports forward. It is a port when the program is gone.
func TestForeignProgram(t *testing.T) {
	n := star.New(t)
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "foreign", Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Close()
	var busy link.Link
	ifindex := n.Link("r1", "to-h3").Attrs().Index
	err = n.Lab.In("r1", func() (err error) {
		busy, err = link.AttachXDP(link.XDPOptions{Program: prog, Interface: ifindex})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	id := n.Link("r1", "to-h3").Attrs().Xdp.ProgId
	n.Start()
	n.IsPort("to-h1")
	n.IsPort("to-h2")
	n.Before = n.Accounts()
	name := fmt.Sprintf("id %d (foreign)", id)
	var list star.PortList
	n.Ask(&list, "ports")
	if len(list.Refused) != 1 || list.Refused[0].Ifname != "to-h3" || !strings.Contains(list.Refused[0].Error, name) {
		t.Errorf("refused: %+v, want to-h3 for %s", list.Refused, name)
	}
	for _, args := range []string{"ports", "status", "doctor"} {
		if o := n.Weft(args); !strings.Contains(o.Stdout, "to-h3") || !strings.Contains(o.Stdout, "foreign") {
			t.Errorf("weft %s does not tell of the program:\n%s", args, o.Stdout)
		}
	}
	n.Command("r1", "ping", "-q", "-c", "1", "-W", "5", "10.2.0.2")
	n.WantForward("10.2.0.2", "to-h2", "")
	h2, h3 := n.Path(2), n.Path(3)
	h2.Crosses(h2.Packet("10.2.0.2"))
	n.WantCounted("to-h1", "forwarded", 0, func() { h3.Arrives(h3.Packet("10.3.0.2")) })
	if x := n.Link("r1", "to-h3").Attrs().Xdp; x == nil || x.ProgId != id {
		t.Errorf("the program is %+v, was %d", x, id)
	}
	if err := busy.Close(); err != nil {
		t.Fatal(err)
	}
	n.IsPort("to-h3")
	n.WantForward("10.3.0.2", "to-h3", "")
	h3.Crosses(h3.Packet("10.3.0.2"))
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
