package upgrade

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/dataplane/xdp"
	"weft/test/proof"
	"weft/test/star"
)

// began starts weft of a format, which is to take over what forwards.
func began(n *star.Network, program string) {
	n.Helper()
	star.Weft = program
	n.Start()
	if s := n.Status(); !s.Adopted {
		n.Errorf("the daemon has not taken over: %+v", s)
	}
	n.Pins(func(dir string) { wantPins(n, dir) })
}

// stream begins a stream that must lose nothing; end asserts that weft forwarded and
// counted all of it.
func stream(n *star.Network) (end func() (sent uint64)) {
	n.Helper()
	addRoutes(n)
	forwards(n)
	s := n.Stream(destinations...)
	before := n.Count("to-h1", "forwarded")
	s.Begin()
	return func() uint64 {
		n.Helper()
		s.Stop()
		sent := s.WantAll()
		if got := n.Count("to-h1", "forwarded") - before; got != sent {
			n.Errorf("%d packets went by XDP, want all %d", got, sent)
		}
		return sent
	}
}

// Daemons of one format and of the next follow each other, up and down, in each mode.
func TestUpAndDown(t *testing.T) {
	all := programs(t)
	for _, mode := range []string{"native", "generic", "tc"} {
		t.Run(mode, func(t *testing.T) {
			n := newNetwork(t)
			n.Start("--mode", mode)
			n.Until("there are three ports", func() bool { return len(n.Ports()) == 3 })
			n.Resolve()
			n.Before = n.Accounts()
			end := stream(n)
			changes := 0
			format := xdp.Format
			for _, signal := range []unix.Signal{unix.SIGKILL, unix.SIGTERM, unix.SIGTERM, unix.SIGKILL} {
				counted := n.Count("to-h1", "forwarded")
				n.Signal(signal)
				format = 2*xdp.Format + 1 - format
				began(n, all[format])
				changes++
				if now := n.Count("to-h1", "forwarded"); now < counted {
					t.Errorf("counters have gone back from %d to %d", counted, now)
				}
				log := n.DaemonLog()
				if told := strings.Count(log, fmt.Sprintf("new_format=%d ", format)); told != (changes+1)/2 || strings.Contains(log, "start at 0") {
					t.Errorf("the log does not tell of format %d, or counters do not go on:\n%s", format, log)
				}
				n.IP("r1", fmt.Sprintf("route add 10.80.%d.0/24 via 10.3.0.2", changes))
				n.WantForward(fmt.Sprintf("10.80.%d.1", changes), "to-h3", "10.3.0.2")
			}
			sent := end()
			for _, p := range n.Ports() {
				if p.Mode != mode {
					t.Errorf("%s is in mode %s", p.Ifname, p.Mode)
				}
			}
			n.WantVerified()
			proof.Record(t, proof.Result{
				Kind: proof.Upgrade, Name: fmt.Sprintf("%d, %d, %s", xdp.Format, xdp.Format+1, mode),
				What: "a daemon of the next format takes over, and back", Count: uint64(changes), Packets: sent,
			})
		})
	}
}

// Daemons are killed while they take over from another format: at the points that
// can be seen from outside, and at any.
func TestKilledWhileItTakesOver(t *testing.T) {
	all := programs(t)
	n := newNetwork(t)
	n.Run()
	n.Resolve()
	end := stream(n)
	next := fmt.Sprintf("format_%d", xdp.Format+1)
	kills := 0
	kill := func(format int, when func(dir string) bool) {
		n.Helper()
		n.Signal(unix.SIGKILL)
		var err error
		if n.Daemon, err = n.Lab.Start("r1", all[format], "run"); err != nil {
			t.Fatal(err)
		}
		n.Pins(func(dir string) {
			for deadline := time.Now().Add(10 * time.Second); !when(dir); {
				if time.Now().After(deadline) {
					t.Fatalf("kill %d: what to wait for does not happen\n%s", kills, n.DaemonLog())
				}
			}
		})
		kills++
	}
	isThere := func(pin string) func(string) bool {
		return func(dir string) bool { _, err := os.Lstat(filepath.Join(dir, pin)); return err == nil }
	}
	leadsTo := func(maps string) func(string) bool {
		return func(dir string) bool {
			to, _ := os.Readlink(filepath.Join(dir, "current"))
			return strings.HasPrefix(to, maps)
		}
	}
	now := fmt.Sprintf("format_%d", xdp.Format)
	kill(xdp.Format+1, isThere(next))             // its maps are on their way
	kill(xdp.Format, isThere("link_1"))           // the old one begins to come
	kill(xdp.Format+1, isThere(next+"/counters")) // more of its maps
	kill(xdp.Format+1, isThere(next+"/about"))    // what is left is removed first
	kill(xdp.Format+1, leadsTo(next))             // its maps are current: links and counters are on their way
	kill(xdp.Format, isThere(now+"/tx_ports"))    // from what was half taken over
	kill(xdp.Format+1, leadsTo(next))             // it takes over what it has left itself
	kill(xdp.Format, leadsTo(now))                // and back
	kill(xdp.Format+1, leadsTo(next))             // each time not to the end
	for i := range 6 {
		kill(xdp.Format+i%2, func(string) bool { time.Sleep(time.Duration(i) * 60 * time.Millisecond); return true })
	}
	for _, format := range []int{xdp.Format, xdp.Format + 1, xdp.Format} {
		n.Signal(unix.SIGKILL)
		began(n, all[format])
	}
	forwards(n)
	sent := end()
	n.WantVerified()
	n.WantBalance()
	proof.Record(t, proof.Result{
		Kind: proof.Upgrade, Name: "killed", What: "daemons of two formats are killed while they take over", Count: uint64(kills), Packets: sent,
	})
}
