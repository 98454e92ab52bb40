package bench

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"weft/test/bench/peer"
	"weft/test/bench/result"
	"weft/test/root"
)

// hastily runs tests in their shortest form, of IPv4, and asserts that nothing is left of them.
func hastily(t *testing.T, o Options) *result.Document {
	t.Helper()
	root.Require(t)
	o.Families = []string{"ipv4"}
	d, err := Run(t.Context(), o)
	if err != nil || d.Partial != "" {
		t.Fatalf("partial %q: %v", d.Partial, err)
	}
	if names := left(t); names != nil {
		t.Errorf("left: %q", names)
	}
	return d
}

// want returns a row's only sample, which is in bounds.
func want(t *testing.T, d *result.Document, table, test, system, metric string, least, most float64) float64 {
	t.Helper()
	k := oneCase{"ipv4", table, "64"}.key(test, system, metric)
	r := d.Find(k)
	if r == nil {
		t.Fatalf("no row %s", k)
	}
	if len(r.Samples) != 1 || r.Median < least || r.Median > most {
		t.Errorf("%s is %v, want %g to %g", k, r.Samples, least, most)
	}
	return r.Median
}

const much = 1e12

func TestTax(t *testing.T) {
	d := hastily(t, short(t, "tax"))
	want(t, d, "1", "tax", "weft_xdp", "rate", 1, much)
	for _, f := range peer.Features {
		rate := want(t, d, "1", "tax", f.Name, "rate", 1, much)
		t.Logf("%s: %.0f packets a second, tax %.1f ns", f.Name, rate, want(t, d, "1", "tax", f.Name, "tax", -much, much))
	}
}

func TestECMP(t *testing.T) {
	d := hastily(t, short(t, "ecmp"))
	for _, metric := range []string{"rate_of_1", "rate_of_2", "rate_of_16", "rate_of_256"} {
		want(t, d, "1", "ecmp", "linux", metric, 1, much)
		want(t, d, "1", "ecmp", "weft_xdp", metric, 1, much)
	}
}

func TestChurn(t *testing.T) {
	o := short(t, "churn")
	o.Tables = []string{"1000"}
	d := hastily(t, o)
	for _, s := range o.Systems {
		for _, n := range []string{"0", "1000", "10000"} {
			want(t, d, "1000", "churn", s, "rate_at_"+n+"/s", 1, much)
			want(t, d, "1000", "churn", s, "blocked_at_"+n+"/s", 0, 1000)
		}
		want(t, d, "1000", "churn", s, "changes_at_1000/s", 1, 1100)
	}
}

func TestCores(t *testing.T) {
	d := hastily(t, short(t, "cores"))
	for n := 1; n <= runtime.NumCPU(); n = next(n, runtime.NumCPU()) {
		want(t, d, "1", "cores", "weft_xdp", "rate_of_"+strconv.Itoa(n), 1, much)
	}
}

func TestRouters(t *testing.T) {
	d := hastily(t, short(t, "routers"))
	for _, s := range []string{"linux", "weft_xdp"} {
		want(t, d, "1", "routers", s, "rate_of_16", 1, much)
	}
}

func TestNextNumberOfCPUs(t *testing.T) {
	for all, want := range map[int][]int{1: {1}, 2: {1, 2}, 6: {1, 2, 4, 6}, 8: {1, 2, 4, 8}} {
		var got []int
		for n := 1; n <= all; n = next(n, all) {
			got = append(got, n)
		}
		if len(got) != len(want) || got[len(got)-1] != all {
			t.Errorf("of %d CPUs: %v, want %v", all, got, want)
		}
	}
}

func TestConvergence(t *testing.T) {
	o := short(t, "convergence")
	o.Tables = []string{"1000"}
	d := hastily(t, o)
	for _, s := range o.Systems {
		for _, f := range failures {
			want(t, d, "1000", "convergence", s, f.name, 0, 2000)
		}
	}
	for _, n := range d.Notes {
		if strings.Contains(n, neverArrived) {
			t.Error(n)
		}
	}
}

func TestCPUCost(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("needs two CPUs")
	}
	d := hastily(t, short(t, "cost"))
	for _, s := range []string{"linux", "weft_xdp"} {
		k := oneCase{"ipv4", "1", "64"}.key("cost", s, "cpu")
		told := slices.ContainsFunc(d.Notes, func(n string) bool { return strings.HasPrefix(n, "cost: "+s) })
		if r := d.Find(k); told == (r != nil) || r != nil && (r.Median < 0 || r.Median > 20_000) { // on a busy machine there is none
			t.Errorf("%s: %+v, and notes %q", k, r, d.Notes)
		}
	}
}

func TestPerPacket(t *testing.T) {
	// 100,000 packets more take a tenth of a second.
	if ns, ok := perPacket(soak{packets: 5000, left: 1000}, soak{packets: 105_000, left: 900}); !ok || ns < 999 || ns > 1001 {
		t.Errorf("%g ns, want 1000", ns)
	}
	if _, ok := perPacket(soak{packets: 5000}, soak{packets: 105_000}); ok {
		t.Error("a figure of a CPU of which nothing is left")
	}
}

// The daemon dies under packets, and comes back; then it has nothing to do.
func TestDaemon(t *testing.T) {
	root.Require(t)
	o := short(t, "reset", "idle")
	o.Systems = []string{"weft_xdp", "weft_soft"}
	o.Daemon = filepath.Join(t.TempDir(), "weft")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", o.Daemon, "weft/cmd/weft").CombinedOutput(); err != nil {
		t.Fatalf("build weft: %v: %s", err, out)
	}
	d := hastily(t, o)
	for _, s := range o.Systems {
		want(t, d, "1", "reset", s, "restart", 1, 60_000)
		lost := want(t, d, "1", "reset", s, "lost", 0, 20_000)
		if s == "weft_xdp" && lost > 0 {
			t.Errorf("%g packets were lost though programs outlive the daemon", lost)
		}
		want(t, d, "1", "idle", s, "cpu", 0, 100)
		want(t, d, "1", "idle", s, "memory", 1, 4096)
	}
}

// Frames of 9000 bytes have a network of their own.
func TestJumbo(t *testing.T) {
	o := short(t, "mrr")
	o.Systems, o.Sizes = []string{"linux", "fib_lookup", "lpm_trie", "ceiling", "weft_xdp"}, []string{"64", "9000"}
	d := hastily(t, o)
	for _, s := range o.Systems {
		k := oneCase{"ipv4", "1", "9000"}.key("mrr", s, "rate")
		if r := d.Find(k); r == nil || r.Min < 1 {
			t.Errorf("%s: %+v", k, r)
		}
	}
}
