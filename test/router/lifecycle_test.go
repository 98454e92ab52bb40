package router

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

func (n *network) signal(s unix.Signal) (code int) {
	n.Helper()
	if err := n.daemon.Signal(s); err != nil {
		n.Fatal(err)
	}
	return n.ended()
}

// A daemon that is killed, or ended by SIGTERM as for an upgrade, leaves packets
// forwarded; the next takes over what it left and catches up.
func TestDaemonEndsUnderTraffic(t *testing.T) {
	for _, c := range []struct {
		signal unix.Signal
		code   int
	}{{unix.SIGKILL, -1}, {unix.SIGTERM, 0}} {
		t.Run(unix.SignalName(c.signal), func(t *testing.T) {
			n := newNetwork(t)
			n.run()
			n.resolve()
			program := n.status().Program.ID
			n.ip("r1", "route add 10.70.0.0/16 via 10.2.0.2")
			n.wantForward("10.70.0.1", "to-h2", "10.2.0.2")
			end := n.stableStream()
			if code := n.signal(c.signal); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			time.Sleep(300 * time.Millisecond)
			if o := n.weft("status"); o.code != 4 || !strings.Contains(o.stderr, "no daemon runs in network namespace") {
				t.Errorf("weft status without a daemon: exit code %d, %s", o.code, o.stderr)
			}
			// What changes meanwhile is not lost.
			n.ip("r1", "route replace 10.70.0.0/16 via 10.3.0.2")
			n.ip("r1", "route add 10.72.0.0/16 via 10.3.0.2")
			n.ip("r1", "addr add 192.0.2.77/32 dev lo")
			n.start()
			if s := n.status(); !s.Adopted || s.Program.ID == program {
				t.Errorf("the daemon has not taken over, or with the old program %d: %+v", program, s)
			}
			n.wantForward("10.70.0.1", "to-h3", "10.3.0.2")
			n.wantForward("10.72.0.1", "to-h3", "10.3.0.2")
			n.wantReason("192.0.2.77", "local_route")
			time.Sleep(300 * time.Millisecond)
			end()
		})
	}
}

// A daemon dies again and again while routes change, at whatever point it is.
func TestDaemonKilledWhileItWorks(t *testing.T) {
	n := newNetwork(t)
	n.run()
	n.resolve()
	end := n.stableStream()
	n.fill(100000) // an image that has grown
	for i := range 6 {
		n.ip("r1", fmt.Sprintf("route add 10.7%d.0.0/16 via 10.2.0.2", i))
		if i%2 == 0 { // at work
			n.ip("r1", "route replace 20.0.0.0/20 via 10.3.0.2")
		}
		n.signal(unix.SIGKILL)
		if i == 3 { // links that go and come while nobody looks
			n.ip("r1", "link add later type veth peer name later2")
			n.ip("r1", "link set later up")
		}
		var err error
		if n.daemon, err = n.lab.Start("r1", weft, "run"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i) * 40 * time.Millisecond) // it is on its way when it is killed
	}
	n.signal(unix.SIGKILL)
	n.start()
	for i := range 6 {
		n.wantForward(fmt.Sprintf("10.7%d.0.1", i), "to-h2", "10.2.0.2")
	}
	n.wantForward("20.0.0.1", "to-h3", "10.3.0.2")
	end()
}

// Interrupted, weft gives the ports back: Linux forwards by the same routes.
func TestInterrupt(t *testing.T) {
	n := newNetwork(t)
	n.run()
	n.resolve()
	p := n.path(2)
	p.crosses(p.packet("10.2.0.2"))
	left := n.objects()
	if len(left.maps) < 5 || len(left.programs) < 1 {
		t.Errorf("pinned are only %+v", left)
	}
	if code := n.signal(unix.SIGINT); code != 0 {
		t.Errorf("exit code %d", code)
	}
	n.wantNothing(left)
	p.arrives(p.packet("10.2.0.2"))
	p.arrives(p.packet("2001:db8:2::2"))
	if o := n.weft("stop"); o.code != 0 || !strings.Contains(o.stderr, "nothing to stop") {
		t.Errorf("weft stop where nothing is: exit code %d, %s", o.code, o.stderr)
	}
	n.run() // and again
	if n.status().Adopted {
		t.Error("something was left to adopt")
	}
}

// `weft stop` ends a daemon in the background, and what one that was killed left.
func TestStop(t *testing.T) {
	n := newNetwork(t)
	log := filepath.Join(t.TempDir(), "log")
	for _, kill := range []bool{false, true} {
		if o := n.weft("run", "--detach", "--log", log); o.code != 0 || !strings.Contains(o.stderr, log) {
			t.Fatalf("weft run --detach: exit code %d, %s", o.code, o.stderr)
		}
		if s := n.status(); s.State != "forwarding" {
			t.Errorf("it has returned while %s", s.State)
		}
		pid := n.status().PID
		p := n.path(2)
		p.arrives(p.packet("10.2.0.2"))
		n.wantForward("10.2.0.2", "to-h2", "")
		p.crosses(p.packet("10.2.0.2"))
		left := n.objects()
		if kill {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			n.until("it is dead", func() bool { return !running(pid) })
			p.arrives(p.packet("10.2.0.2"))
		}
		if o := n.weft("stop"); o.code != 0 || o.stdout+o.stderr != "" {
			t.Errorf("weft stop: exit code %d, %s%s", o.code, o.stdout, o.stderr)
		}
		if running(pid) {
			t.Errorf("process %d is still there", pid)
		}
		n.wantNothing(left)
		p.arrives(p.packet("10.2.0.2"))
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
	n := newNetwork(t)
	n.run()
	left := n.objects()
	other := newNetwork(t)
	n.pins(func(dir string) {
		n.signal(unix.SIGKILL)
		n.daemon = nil
		if err := n.lab.Down(); err != nil {
			t.Fatal(err)
		}
		n.until("the kernel has removed the interfaces", func() bool {
			return attachedTo(dir, 1)+attachedTo(dir, 2)+attachedTo(dir, 3) == 0
		})
		other.run()
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("pins are left: %v", err)
		}
	})
	other.until("programs and maps are gone", func() bool { return !other.exist(left) })
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
