package router

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"weft/test/star"

	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Interrupted, weft gives the ports back: Linux forwards by the same routes.
func TestInterrupt(t *testing.T) {
	n := star.New(t)
	n.Run()
	n.Resolve()
	p := n.Path(2)
	p.Crosses(p.Packet("10.2.0.2"))
	left := n.Objects()
	if len(left.Maps) < 5 || len(left.Programs) < 1 {
		t.Errorf("pinned are only %+v", left)
	}
	if code := n.Signal(unix.SIGINT); code != 0 {
		t.Errorf("exit code %d", code)
	}
	n.WantNothing(left)
	p.Arrives(p.Packet("10.2.0.2"))
	p.Arrives(p.Packet("2001:db8:2::2"))
	if o := n.Weft("stop"); o.Code != 0 || !strings.Contains(o.Stderr, "nothing to stop") {
		t.Errorf("weft stop where nothing is: exit code %d, %s", o.Code, o.Stderr)
	}
	n.Run() // and again
	if n.Status().Adopted {
		t.Error("something was left to adopt")
	}
}

// `weft stop` ends a daemon in the background, and what one that was killed left.
func TestStop(t *testing.T) {
	n := star.New(t)
	log := filepath.Join(t.TempDir(), "log")
	for _, kill := range []bool{false, true} {
		if o := n.Weft("run", "--detach", "--log", log); o.Code != 0 || !strings.Contains(o.Stderr, log) {
			t.Fatalf("weft run --detach: exit code %d, %s", o.Code, o.Stderr)
		}
		if s := n.Status(); s.State != "forwarding" {
			t.Errorf("it has returned while %s", s.State)
		}
		pid := n.Status().PID
		p := n.Path(2)
		p.Arrives(p.Packet("10.2.0.2"))
		n.WantForward("10.2.0.2", "to-h2", "")
		p.Crosses(p.Packet("10.2.0.2"))
		left := n.Objects()
		if kill {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			n.Until("it is dead", func() bool { return !running(pid) })
			p.Arrives(p.Packet("10.2.0.2"))
		}
		if o := n.Weft("stop"); o.Code != 0 || o.Stdout+o.Stderr != "" {
			t.Errorf("weft stop: exit code %d, %s%s", o.Code, o.Stdout, o.Stderr)
		}
		if running(pid) {
			t.Errorf("process %d is still there", pid)
		}
		n.WantNothing(left)
		p.Arrives(p.Packet("10.2.0.2"))
	}
	if text, err := os.ReadFile(log); err != nil || strings.Count(string(text), "msg=forwarding") != 2 {
		t.Errorf("log: %v\n%s", err, text)
	}
}

// running tells whether a process runs; one that nobody has waited for does not.
func running(pid int) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(after, "Z")
}

// A network namespace that goes while its daemon is dead leaves pins that the
// next daemon, of whatever namespace, removes.
func TestStalePins(t *testing.T) {
	n := star.New(t)
	n.Run()
	left := n.Objects()
	other := star.New(t)
	n.Pins(func(dir string) {
		n.Signal(unix.SIGKILL)
		n.Daemon = nil
		if err := n.Lab.Down(); err != nil {
			t.Fatal(err)
		}
		n.Until("the kernel has removed the interfaces", func() bool {
			return attachedTo(dir, 1)+attachedTo(dir, 2)+attachedTo(dir, 3) == 0
		})
		other.Run()
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("pins are left: %v", err)
		}
	})
	other.Until("programs and maps are gone", func() bool { return !other.Exist(left) })
}

// attachedTo returns the ifindex of a port by its pinned link: 0 if there is none
// any more.
func attachedTo(dir string, port int) uint32 {
	l, err := link.LoadPinnedLink(filepath.Join(dir, fmt.Sprint("link_", port)), nil)
	if err != nil {
		return 0
	}
	defer l.Close()
	if info, err := l.Info(); err == nil && info.XDP() != nil {
		return info.XDP().Ifindex
	}
	return 0
}
