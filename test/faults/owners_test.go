package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"weft/test/star"
)

// There can be one daemon in a network namespace, and at a socket. Others end with
// exit code 1 and name the process; code 5 is for those that may not.
func TestSecondDaemon(t *testing.T) {
	f := begin(t, "R11", "second daemon started")
	f.Run()
	f.Resolve()
	traffic := f.BeginStable()
	s := f.Status()
	for _, args := range [][]string{{"run"}, {"run", "--detach"}, {"--socket", "/run/" + f.Lab.Prefix() + "state/other.sock", "run"}} {
		o := f.Weft(args...)
		o.WantError(t, 1, "in use", fmt.Sprint("process ", s.PID), "weft stop")
		f.proved.Count++
	}
	if again := f.Status(); again.PID != s.PID || again.Program != s.Program || again.FIB.Generation != s.FIB.Generation {
		t.Errorf("the first daemon was %+v, and is %+v", s, again)
	}

	other := star.New(t)
	socket := f.Socket()
	o := other.Weft("--socket", socket, "run").LastLine()
	o.WantError(t, 1, socket, "in use")
	other.WantNothing(star.Objects{})
	if f.Status().PID != s.PID {
		t.Error("the first daemon has lost its socket")
	}

	// A file that is no socket is no place for one, and stays.
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	o = other.Weft("--socket", file, "run").LastLine()
	o.WantError(t, 1, file, "no socket")
	if text, err := os.ReadFile(file); string(text) != "precious" {
		t.Errorf("the file has %q, %v", text, err)
	}
	other.WantNothing(star.Objects{})
	f.proved.Count += 2
	f.proved.Packets = traffic.Finish()
}

// A port that has another's XDP program stays Linux's, and is told of; the other
// ports forward. It is a port when the program is gone. libxdp's dispatcher is such
// a program, in a link or without one.
func TestForeignProgram(t *testing.T) {
	for _, c := range []struct {
		name, what string
		attach     func(t *testing.T, f *fault, prog *ebpf.Program) (detach func())
	}{
		{"foreign", "another's XDP program on a port", attachLink},
		{"xdp_dispatcher", "libxdp's dispatcher on a port", attachByNetlink},
	} {
		t.Run(c.name, func(t *testing.T) { testForeign(t, c.name, c.what, c.attach) })
	}
}

func attachLink(t *testing.T, f *fault, prog *ebpf.Program) (detach func()) {
	ifindex := f.Link("r1", "to-h3").Attrs().Index
	var l link.Link
	err := f.Lab.In("r1", func() (err error) {
		l, err = link.AttachXDP(link.XDPOptions{Program: prog, Interface: ifindex})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return func() { l.Close() }
}

func attachByNetlink(t *testing.T, f *fault, prog *ebpf.Program) (detach func()) {
	pin := filepath.Join("/sys/fs/bpf", f.Lab.Prefix()+"dispatcher")
	if err := prog.Pin(pin); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { prog.Unpin() })
	// ip netns exec would have a /sys without the pin.
	if o := star.Execute(t, "nsenter", "--net=/run/netns/"+f.Lab.Namespace("r1"), "ip", "link", "set", "to-h3", "xdpdrv", "pinned", pin); o.Code != 0 {
		t.Fatal(o.Stderr)
	}
	return func() { f.IP("r1", "link set to-h3 xdpdrv off") }
}

func testForeign(t *testing.T, name, what string, attach func(*testing.T, *fault, *ebpf.Program) func()) {
	f := begin(t, "R12", what)
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: name, Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Close()
	detach := attach(t, f, prog)
	id := f.Link("r1", "to-h3").Attrs().Xdp.ProgId
	f.Start()
	f.IsPort("to-h1")
	f.IsPort("to-h2")
	f.Before = f.Accounts()
	var list star.PortList
	f.Ask(&list, "ports")
	if len(list.Refused) != 1 || list.Refused[0].Ifname != "to-h3" {
		t.Fatalf("refused: %+v, want to-h3", list.Refused)
	}
	for _, word := range []string{fmt.Sprintf("id %d (%s)", id, name), "ip link set dev to-h3 xdp off"} {
		if !strings.Contains(list.Refused[0].Error+list.Refused[0].Hint, word) {
			t.Errorf("%q is not told of %+v", word, list.Refused[0])
		}
	}
	for _, args := range []string{"ports", "status", "doctor"} {
		if o := f.Weft(args); !strings.Contains(o.Stdout, "to-h3") || !strings.Contains(o.Stdout, name) {
			t.Errorf("weft %s does not tell of the program:\n%s", args, o.Stdout)
		}
	}
	f.Command("r1", "ping", "-q", "-c", "1", "-W", "5", "10.2.0.2")
	f.WantForward("10.2.0.2", "to-h2", "")
	h3 := f.Path(3)
	s := f.Stream("10.2.0.2")
	s.Begin()
	f.WantCounted("to-h3", "forwarded", 0, func() { h3.Arrives(h3.Packet("10.3.0.2")) })
	if x := f.Link("r1", "to-h3").Attrs().Xdp; x == nil || x.ProgId != id {
		t.Errorf("the program is %+v, was %d", x, id)
	}
	detach()
	f.IsPort("to-h3")
	f.WantForward("10.3.0.2", "to-h3", "")
	h3.Arrives(h3.Packet("10.3.0.2"))
	s.Stop()
	f.proved.Packets, f.proved.Count = s.WantAll(), 1
}
