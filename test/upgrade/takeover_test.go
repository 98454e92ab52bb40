package upgrade

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"weft/test/proof"
	"weft/test/star"
)

// received is what a port of format 1 has counted: by reason, over CPUs.
func (r *format1) received(port string) (all [96]uint64) {
	r.Helper()
	value := make([]byte, r.maps["counters"].ValueSize())
	if err := r.maps["counters"].Lookup(uint32(0), &value); err != nil {
		r.Fatal(err)
	}
	for number, name := range r.names {
		if name != port {
			continue
		}
		rows := len(value) / 256
		for off := int(number) * rows; off < (int(number)+1)*rows; off += 16 {
			all[off%rowSize/16] += binary.NativeEndian.Uint64(value[off:])
		}
	}
	return all
}

// What the first format's code left is taken over by today's daemon, in each mode,
// without losing a packet, and counters go on.
func TestFormat1(t *testing.T) {
	for _, mode := range []string{"native", "generic", "tc"} {
		t.Run(mode, func(t *testing.T) {
			n := newNetwork(t)
			resolve(n)
			addRoutes(n)
			old := restore(n, "testdata/format1", mode)
			s := n.Stream(destinations...)
			before := old.received("to-h1")
			s.Begin()
			went := old.received("to-h1")
			if went[0] <= before[0] {
				t.Fatalf("format 1 does not forward: it has counted %d packets, and before %d", went[0], before[0])
			}
			n.Start()
			if log := n.DaemonLog(); !strings.Contains(log, "format=1") || strings.Contains(log, "counters start at 0") {
				t.Errorf("the log does not tell of format 1, or counters do not go on:\n%s", log)
			}
			s.Until("packets go by the new program", func() bool { return n.Count("to-h1", "forwarded") > went[0]+star.Rate/10 })
			s.Stop()
			sent := s.WantAll()
			if got, want := n.Count("to-h1", "forwarded"), before[0]+sent; got != want {
				t.Errorf("to-h1 has forwarded %d packets, want %d and the %d of before: %d", got, sent, before[0], want)
			}
			for _, p := range n.Ports() {
				if p.Mode != mode {
					t.Errorf("%s is in mode %s", p.Ifname, p.Mode)
				}
			}
			n.Pins(func(dir string) { wantPins(t, dir) })
			n.Before = n.Accounts()
			n.WantVerified()
			proof.Record(t, proof.Result{
				Kind: proof.Upgrade, Name: "1 to 2, " + mode, What: "pins of format 1 are taken over under traffic", Count: 1, Packets: sent,
				Lost: uint64(s.Lost()),
			})
			n.Signal(unix.SIGKILL) // and those of this format by the next
			n.Start()
			if n.Count("to-h1", "forwarded") < before[0]+sent {
				t.Errorf("counters have gone back to %d", n.Count("to-h1", "forwarded"))
			}
		})
	}
}

// resolve makes neighbors known before weft runs.
func resolve(n *star.Network) {
	n.Helper()
	for host := 1; host <= 3; host++ {
		for _, family := range []int{4, 6} {
			n.Command("r1", "ping", "-q", "-c", "1", "-W", "5", star.HostAddr(host, family).String())
		}
	}
}

// wantPins asserts that there is nothing but links and one set of maps.
func wantPins(t testing.TB, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	current, err := os.Readlink(dir + "/current")
	if err != nil {
		t.Error(err)
	}
	want := fmt.Sprintf("current %s link_1 link_2 link_3 tracepoint_xdp_devmap_xmit tracepoint_xdp_redirect_err", current)
	if got := strings.Join(names, " "); got != want {
		t.Errorf("pinned are %s, want %s", got, want)
	}
}
