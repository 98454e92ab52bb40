package control

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
	"weft/control/rib"
	"weft/fib"
)

// testReasons are numbers that differ from each other.
var testReasons = rib.Reasons{
	NoPort: 1, LinkDown: 2, Unresolved: 3, Broadcast: 4, Multicast: 5, LinkLocal: 6, Martian: 7, Throw: 8, Encap: 9, Policy: 10,
}

// enterNetns moves the test into a network namespace of its own, which goes with
// the test's thread, however the test ends. Without the right to, the test is
// skipped, except in CI, where it fails.
func enterNetns(t testing.TB) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("make network namespace: %v: CI runs this as root", err)
		}
		t.Skipf("make network namespace: %v: run as root", err)
	}
	for _, setting := range []string{
		"net/ipv4/ip_forward=1", "net/ipv6/conf/all/forwarding=1", "net/ipv6/conf/default/accept_dad=0",
		"net/ipv4/conf/all/rp_filter=0",
	} {
		name, value, _ := strings.Cut(setting, "=")
		if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
	ip(t, "link set lo up")
}

// ip runs iproute2 in the test's namespace.
func ip(t testing.TB, args string) []byte {
	t.Helper()
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v\n%s", args, err, out)
	}
	return out
}

// ipBatch runs lines of iproute2, of which the kernel may refuse some.
func ipBatch(t testing.TB, lines []string) {
	t.Helper()
	cmd := exec.Command("ip", "-force", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(append(lines, "route add blackhole 10.255.255.255"), "\n") + "\n")
	out, _ := cmd.CombinedOutput()
	if exec.Command("ip", "route", "del", "blackhole", "10.255.255.255").Run() != nil {
		t.Fatalf("ip -batch gave up:\n%s", out)
	}
}

// testPorts makes ports of the links whose name begins with "port".
type testPorts struct {
	mu    sync.Mutex
	links map[int]kernel.Link
}

func (p *testPorts) Number(link int) (uint32, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l, ok := p.links[link]; ok && strings.HasPrefix(l.Name, "port") {
		return uint32(link + 1000), true
	}
	return 0, false
}

func (p *testPorts) set(i Interface, there bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if delete(p.links, i.Index); there {
		p.links[i.Index] = i.Link
	}
}

// world is a namespace and a Follower of it.
type world struct {
	testing.TB
	*Follower
	ports *testPorts
	stop  func()
}

// readers are those of the tests' images beside their writers.
var readers fib.Readers

func newImage(t testing.TB, size int) *fib.Image {
	t.Helper()
	im, err := fib.Create(make([]byte, size), fib.Options{Grace: &readers})
	if err != nil {
		t.Fatal(err)
	}
	return im
}

// follow starts a Follower in the test's namespace and waits for its first
// synchronization.
func follow(t testing.TB, config Config) *world {
	t.Helper()
	w := &world{TB: t, ports: &testPorts{links: map[int]kernel.Link{}}}
	if config.Image == nil {
		config.Image = newImage(t, 1<<20)
	}
	also := config.Interface
	config.Ports, config.Reasons, config.Interface = w.ports, testReasons, func(i Interface, there bool) {
		w.ports.set(i, there)
		if also != nil {
			also(i, there)
		}
	}
	config.Log = slog.New(slog.NewTextHandler(logWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	f, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	w.Follower = f
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(w.stop)
	select {
	case <-f.Synced():
	case <-time.After(30 * time.Second):
		t.Fatal("the image is not filled")
	}
	return w
}

type logWriter struct{ testing.TB }

func (l logWriter) Write(b []byte) (int, error) {
	l.Logf("%s", bytes.TrimSpace(b))
	return len(b), nil
}

// do calls fn in the Follower.
func (w *world) do(fn func(*rib.RIB)) {
	w.Helper()
	if err := w.Do(context.Background(), fn); err != nil {
		w.Fatal(err)
	}
}

// image says what the image holds, in the words of oracle.
func (w *world) image() map[netip.Prefix]string {
	all := map[netip.Prefix]string{}
	w.do(func(r *rib.RIB) {
		table, err := r.Image().Table(0)
		if err != nil {
			w.Fatal(err)
		}
		for p, id := range table.All() {
			g, err := r.Image().Group(id)
			if err != nil {
				w.Fatalf("%s: %v", p, err)
			}
			all[p] = w.describe(r, g)
		}
	})
	return all
}

func (w *world) describe(r *rib.RIB, g fib.Group) string {
	name := func(port uint32) string {
		l, _ := r.Link(int(port) - 1000)
		return l.Name
	}
	switch g.Kind {
	case fib.Local:
		return "local"
	case fib.Glean:
		return "glean " + name(g.Port)
	case fib.Blackhole:
		return "blackhole"
	case fib.Reject:
		return fmt.Sprintf("reject %d", g.Code)
	case fib.Punt:
		return fmt.Sprintf("punt %d", g.Reason)
	}
	var members []string
	for _, m := range g.Members {
		a, ok := r.Image().Adjacency(m.Adjacency)
		if !ok {
			w.Fatalf("no adjacency %d", m.Adjacency)
		}
		to := "incomplete"
		if a.Complete {
			to = fmt.Sprintf("%s<%s %x", kernel.MAC(a.Rewrite[:6]), kernel.MAC(a.Rewrite[6:12]), a.Rewrite[12:a.RewriteLen])
		}
		members = append(members, fmt.Sprintf("%s %s x%d mtu %d %s", name(a.Port), a.Neighbor, m.Weight, a.MTU, to))
	}
	slices.Sort(members)
	mode := ""
	if g.Mode == fib.Resilient {
		mode = "resilient "
	}
	return mode + strings.Join(members, ", ")
}

// agree waits until the image is what the kernel says now.
func (w *world) agree() {
	w.Helper()
	w.eventually(func() string { return difference(oracle(w), w.image()) })
}

// want waits until the image holds what is wanted of a prefix; "" is nothing.
func (w *world) want(prefix, want string) {
	w.Helper()
	p := netip.MustParsePrefix(prefix)
	w.eventually(func() string {
		if got := w.image()[p]; got != want {
			return fmt.Sprintf("%s: got  %q\n%*s want %q", prefix, got, len(prefix), "", want)
		}
		return ""
	})
}

// eventually waits until a check has nothing to complain of.
func (w *world) eventually(check func() string) {
	w.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		complaint := check()
		if complaint == "" {
			return
		}
		if time.Now().After(deadline) {
			c, err := w.Counts(context.Background())
			w.Fatalf("after 5 s still: %s\n%+v %v", complaint, c, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func difference(want, got map[netip.Prefix]string) string {
	var b strings.Builder
	prefixes := slices.SortedFunc(maps.Keys(want), netip.Prefix.Compare)
	for p := range got {
		if _, ok := want[p]; !ok {
			prefixes = append(prefixes, p)
		}
	}
	n := 0
	for _, p := range prefixes {
		if want[p] == got[p] {
			continue
		}
		if n++; n <= 10 {
			fmt.Fprintf(&b, "\n%s\n\timage: %q\n\tkernel: %q", p, got[p], want[p])
		}
	}
	if n > 0 {
		fmt.Fprintf(&b, "\n%d prefixes differ", n)
	}
	return b.String()
}

// setNeighbor sets a parameter of IPv4 neighbors on a link.
func setNeighbor(t testing.TB, link, setting string) {
	t.Helper()
	name, value, _ := strings.Cut(setting, "=")
	if err := os.WriteFile("/proc/sys/net/ipv4/neigh/"+link+"/"+name, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}
