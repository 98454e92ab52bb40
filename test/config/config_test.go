package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/test/proof"
	"weft/test/star"
)

func TestMain(m *testing.M) { star.Main(m) }

// network is one of whose configuration nothing is kept.
func network(t *testing.T) *star.Network {
	t.Helper()
	n := star.New(t)
	kept := "/run/weft/" + n.Netns() + ".config"
	t.Cleanup(func() { os.RemoveAll(kept) })
	return n
}

// write makes a configuration file.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weft.yaml")
	if err := os.WriteFile(path, []byte("version: 1\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func weft(n *star.Network, args ...string) star.Outcome {
	n.Helper()
	o := n.Weft(args...)
	if o.Code != 0 {
		n.Fatalf("weft %s: exit code %d: %s", strings.Join(args, " "), o.Code, o.Stderr)
	}
	return o
}

// answers asserts what weft does with packets to an address, whatever Linux would
// do.
func answers(n *star.Network, dst, reason string) {
	n.Helper()
	if l := n.Lookup(dst); l.Reason != reason {
		n.Errorf("packets to %s: %+v", dst, l)
	}
}

// Static routes of a file and of the command line carry packets, and are there
// again after a kill.
func TestStaticRoutes(t *testing.T) {
	n := network(t)
	file := write(t, `
nexthop_groups:
  second: [{via: 10.2.0.2}]
routes:
  - {prefix: 10.77.0.0/16, via: 10.2.0.2, dev: to-h2}
  - {prefix: 10.78.0.0/16, group: second}
  - {prefix: 10.79.0.0/16, type: blackhole}
  - {prefix: "2001:db8:77::/48", via: "2001:db8:2::2"}
  - {prefix: 10.80.0.0/16, dev: later}
neighbors:
  - {addr: 10.2.0.77, dev: to-h2, lladdr: 02:00:00:00:00:77}
`)
	n.Run("--config", file)
	n.Resolve()
	p := n.Path(2)
	crosses := func() {
		t.Helper()
		for _, dst := range []string{"10.77.1.1", "10.78.1.1", "2001:db8:77::1"} {
			p.Crosses(p.Packet(dst))
		}
		answers(n, "10.79.1.1", "blackhole_route")
	}
	crosses()
	if out := n.IP("r1", "neigh show 10.2.0.77"); !strings.Contains(out, "02:00:00:00:00:77") || !strings.Contains(out, "PERMANENT") || !strings.Contains(out, "119") {
		t.Errorf("neighbor: %s", out)
	}
	weft(n, "routes", "add", "10.81.0.0/16", "via", "10.2.0.2")
	p.Crosses(p.Packet("10.81.1.1"))
	if n.Signal(unix.SIGKILL); n.Ended() == 0 {
		t.Error("it was not killed")
	}
	n.Run("--config", file)
	crosses()
	p.Crosses(p.Packet("10.81.1.1")) // the file is the one that was, so what was added stays
	n.IP("r1", "link add later type veth peer name other")
	n.IP("r1", "link set later up")
	n.IP("r1", "link set other up")
	n.Until("the route over a link that has come is there", func() bool {
		return strings.Contains(n.Weft("routes", "10.80.0.0/16").Stdout, "dev later")
	})
	weft(n, "routes", "del", "10.81.0.0/16")
	n.WantReason("10.81.1.1", "ipv4_lpm_miss")
	weft(n, "config", "rollback")
	p.Crosses(p.Packet("10.81.1.1"))
	weft(n, "stop")
	if out := n.IP("r1", "neigh show 10.2.0.77"); out != "" {
		t.Errorf("a neighbor is left behind: %s", out)
	}
}

// mistaken asserts that a file is refused with a place and an excerpt.
func mistaken(n *star.Network, place string, args ...string) {
	n.Helper()
	if o := n.Weft(args...); o.Code != 1 || !strings.HasPrefix(o.Stderr, place) || !strings.Contains(o.Stderr, "^^^") || o.Stdout != "" {
		n.Errorf("weft %s: exit code %d\n%s%s", strings.Join(args, " "), o.Code, o.Stdout, o.Stderr)
	}
}

// A file with mistakes is refused before anything is changed.
func TestRefused(t *testing.T) {
	n := network(t)
	wrong := write(t, "routes:\n  - prefix: 10.77.0.0/66\n    via: 10.2.0.2\n")
	mistaken(n, wrong+":3:13: ", "run", "--config", wrong)
	n.WantNothing(star.Objects{})
	n.Run()
	before := n.Status()
	mistaken(n, wrong+":3:13: ", "config", "apply", wrong)
	// Never forwarded, which only the RIB knows: of two routes none is taken.
	reserved := write(t, "routes: [{prefix: 10.77.0.0/16, via: 10.2.0.2}, {prefix: 127.1.0.0/16, via: 10.2.0.2}]")
	refused := n.Weft("config", "apply", reserved)
	refused.WantError(t, 1, "127.1.0.0/16", "never forwarded")
	n.WantReason("10.77.1.1", "ipv4_lpm_miss")
	if after := n.Status(); after.FIB.IPv4Routes != before.FIB.IPv4Routes {
		t.Errorf("%d routes, before %d", after.FIB.IPv4Routes, before.FIB.IPv4Routes)
	}
}

// What is not confirmed is taken back in time, also when the daemon is killed in
// between.
func TestConfirm(t *testing.T) {
	n := network(t)
	good := write(t, "routes: [{prefix: 10.77.0.0/16, via: 10.2.0.2}]")
	bad := write(t, "routes: [{prefix: 10.77.0.0/16, type: blackhole}]")
	n.Run("--config", good)
	n.Resolve()
	forwards := func() bool { return n.Lookup("10.77.1.1").Verdict == "forward" }
	if !forwards() {
		t.Fatal("the good one is not in force")
	}
	const confirm = time.Second
	rounds := 0
	for _, kill := range []string{"", "at once", "until it is over"} {
		began := time.Now()
		weft(n, "config", "apply", bad, "--confirm", confirm.String())
		if kill != "" {
			n.Signal(unix.SIGKILL)
			if kill != "at once" {
				time.Sleep(confirm - time.Since(began)) // the deadline is what is tested
			}
			n.Run("--config", bad)
		}
		n.Until("taken back, killed: "+kill, forwards)
		if took := time.Since(began); took < confirm {
			t.Errorf("killed %q: taken back after %v", kill, took)
		}
		rounds++
	}
	weft(n, "config", "apply", bad, "--confirm", "1h")
	weft(n, "config", "confirm")
	answers(n, "10.77.1.1", "blackhole_route")
	proof.Record(t, proof.Result{Kind: proof.Fault, Name: "R15", What: "configuration that is not confirmed: taken back in time, daemon killed in between", Count: uint64(rounds)})
}

// Killed at any moment of an apply, the daemon has all of the old configuration or
// all of the new one.
func TestKilledWhileApplying(t *testing.T) {
	n := network(t)
	const routes, rounds = 300, 8
	var files [2]string
	for i := range files {
		var b strings.Builder
		b.WriteString("routes:\n")
		for r := range routes {
			fmt.Fprintf(&b, "  - {prefix: 10.77.%d.%d/32, via: 10.%d.0.2}\n", r>>8, r&255, i+1)
		}
		files[i] = write(t, b.String())
	}
	n.Run("--config", files[0])
	for round := range rounds {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := 0; n.Weft("config", "apply", files[i&1]).Code == 0; i++ {
			}
		}()
		time.Sleep(time.Duration(20+13*round) * time.Millisecond)
		n.Signal(unix.SIGKILL)
		<-done
		n.Run()
		text := weft(n, "config", "show").Stdout
		first, second := strings.Count(text, "via: 10.1.0.2"), strings.Count(text, "via: 10.2.0.2")
		if first+second != routes || first != 0 && second != 0 {
			t.Fatalf("round %d: %d routes of one, %d of the other", round, first, second)
		}
		for _, dst := range []string{"10.77.0.0", "10.77.1.43"} {
			if l, want := n.Lookup(dst), fmt.Sprintf("10.%d.0.2", 1+second/routes); l.Gateway != want {
				t.Errorf("round %d: packets to %s go to %s, not %s", round, dst, l.Gateway, want)
			}
		}
	}
	proof.Record(t, proof.Result{Kind: proof.Fault, Name: "R14", What: "killed while a configuration is applied: all of the old one or all of the new", Count: rounds})
}

// FRR is served where the configuration says so.
func TestFPMOfConfiguration(t *testing.T) {
	n := network(t)
	n.Run("--config", write(t, "fpm: {listen: 127.0.0.1:2621, hold: 30s}\n"))
	var status struct{ FPM struct{ Address string } }
	n.Ask(&status, "status")
	if status.FPM.Address != "127.0.0.1:2621" {
		t.Errorf("%+v", status)
	}
	if out := n.Command("r1", "ss", "-Hltn", "sport", "=", "2621"); !strings.Contains(out, "127.0.0.1:2621") {
		t.Errorf("nobody listens: %q", out)
	}
}
