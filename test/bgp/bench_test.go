package bgp

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"weft/test/daemons"
	"weft/test/star"
)

// frrWithKernel is zebra and bgpd.
func frrWithKernel(n *star.Network) *peer {
	n.Helper()
	f := daemons.NewFRR(n.TB, daemons.Node(n.Lab, "r1"))
	f.Start("zebra", "")
	f.Start("bgpd", `
router bgp 65001
 bgp router-id 10.2.0.1
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 neighbor 10.2.0.2 remote-as 65002
 neighbor 10.2.0.2 passive
 neighbor 2001:db8:2::2 remote-as 65002
 neighbor 2001:db8:2::2 passive
 address-family ipv4 unicast
  neighbor 10.2.0.2 activate
 exit-address-family
 address-family ipv6 unicast
  neighbor 2001:db8:2::2 activate
 exit-address-family
`)
	return &peer{
		Network: n, pid: f.Daemon("bgpd").Pid, has: func() int { return n.KernelRoutes() },
		stop: func() { f.Daemon("bgpd").Stop(); f.Daemon("zebra").Stop() },
	}
}

func birdWithKernel(n *star.Network) *peer {
	n.Helper()
	b := daemons.NewBIRD(n.TB, daemons.Node(n.Lab, "r1"), `
router id 10.2.0.1;
protocol device {}
protocol kernel { ipv4 { import none; export all; }; }
protocol kernel { ipv6 { import none; export all; }; }
protocol bgp four { local as 65001; neighbor 10.2.0.2 as 65002; passive; ipv4 { import all; export none; }; }
protocol bgp six { local as 65001; neighbor 2001:db8:2::2 as 65002; passive; ipv6 { import all; export none; }; }
`)
	return &peer{Network: n, pid: b.Pid, has: func() int { return n.KernelRoutes() }, stop: b.Stop}
}

// connected reports whether a BGP session of the router's has a connection.
func connected(n *star.Network) (is bool) {
	n.Helper()
	err := n.Lab.In("r1", func() error {
		for _, name := range []string{"tcp", "tcp6"} {
			text, err := os.ReadFile("/proc/thread-self/net/" + name)
			if err != nil {
				return err
			}
			for line := range strings.Lines(string(text)) {
				// sl local_address rem_address st
				f := strings.Fields(line)
				is = is || f[3] == "01" && (strings.HasSuffix(f[1], ":00B3") || strings.HasSuffix(f[2], ":00B3"))
			}
		}
		return nil
	})
	if err != nil {
		n.Fatal(err)
	}
	return is
}

// memory returns the resident memory of a process in MiB.
func memory(t testing.TB, pid int) (mib float64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(text), "VmRSS:")
	if _, err := fmt.Sscan(line, &mib); err != nil {
		t.Fatal(err)
	}
	return mib / 1024
}

// glance is between two looks at how far a table is.
const glance = time.Second / 4

// busy returns how much time of a core a process has used.
func busy(t testing.TB, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	const tick = time.Second / 100 // USER_HZ
	// pid (comm) state ppid ... utime stime: the 14th and 15th field, and a name may have blanks
	_, fields, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(fields)
	var sum time.Duration
	for _, n := range f[11:13] {
		ticks, err := strconv.Atoi(n)
		if err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(ticks) * tick
	}
	return sum
}

// BenchmarkFullTable takes an Internet table from BIRD: from the first connection until
// all of it counts, which is in GoBGP's table for GoBGP alone, in the FIB for weft, and in
// the kernel for FRR and BIRD. One feeder feeds them all, one after the other. With
// WEFT_BGP_ONE_OF=5 it has every fifth prefix only.
func BenchmarkFullTable(b *testing.B) {
	n := star.New(b)
	n.Wait = 5 * time.Minute
	oneOf := 1
	if text := os.Getenv("WEFT_BGP_ONE_OF"); text != "" {
		var err error
		if oneOf, err = strconv.Atoi(text); err != nil || oneOf < 1 {
			b.Fatalf("WEFT_BGP_ONE_OF=%s: want a number", text)
		}
	}
	f := newFeeder(n, oneOf)
	var alone time.Duration
	for _, c := range []struct {
		name  string
		start func(*star.Network) *peer
	}{
		{"gobgp_alone", gobgpAlone}, {"weft", weftAlone}, {"frr_kernel", frrWithKernel}, {"bird_kernel", birdWithKernel},
	} {
		b.Run(c.name, func(b *testing.B) {
			var sum time.Duration
			for range b.N {
				b.StopTimer()
				before := n.KernelRoutes()
				p := c.start(n)
				first, want := p.has(), f.v4+f.v6
				f.up()
				n.Until("there is a connection", func() bool { return connected(n) })
				used := busy(b, p.pid())
				b.StartTimer()
				start := time.Now()
				n.Until("all routes are there", func() bool {
					if p.has()-first >= want {
						sum += time.Since(start)
						return true
					}
					time.Sleep(glance) // to look takes the time of a core, too
					return false
				})
				b.StopTimer()
				b.ReportMetric((busy(b, p.pid()) - used).Seconds(), "core-s")
				b.ReportMetric(memory(b, p.pid()), "MiB")
				f.down()
				p.stop()
				n.Until("the kernel has what it had", func() bool { return n.KernelRoutes() <= before })
			}
			took := sum / time.Duration(b.N)
			if c.name == "gobgp_alone" {
				alone = took
			}
			b.ReportMetric(float64(f.v4+f.v6)/took.Seconds(), "routes/s")
			if alone != 0 {
				b.ReportMetric(float64(took)/float64(alone), "x-gobgp")
			}
		})
	}
}

// receiving is weft as a neighbor of the feeder.
const receiving = `
bgp:
  as: 65001
  router_id: 10.2.0.1
  neighbors:
    - {address: 10.2.0.2, remote_as: 65002, passive: true, families: [ipv4-unicast]}
    - {address: "2001:db8:2::2", remote_as: 65002, passive: true, families: [ipv6-unicast]}
`

func weftAlone(n *star.Network) *peer {
	n.Helper()
	n.Start("--config", write(n, receiving))
	return &peer{
		Network: n,
		pid:     func() int { return n.Daemon.Pid },
		has: func() int {
			s := n.Status()
			return s.FIB.IPv4Routes + s.FIB.IPv6Routes - s.FIB.NotInstalled
		},
		stop: func() {
			if o := n.Weft("stop"); o.Code != 0 {
				n.Fatalf("weft stop: %s", o.Stderr)
			}
			n.Ended()
		},
	}
}
