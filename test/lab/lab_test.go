package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/test/root"
)

// prefix is one for this test alone.
func prefix(t testing.TB) string {
	t.Helper()
	root.Require(t)
	p := fmt.Sprintf("weft-labtest-%d-", os.Getpid())
	t.Cleanup(func() {
		if err := Down(p); err != nil {
			t.Error(err)
		}
	})
	return p
}

func up(t testing.TB, topology Topology) *Lab {
	t.Helper()
	l, err := Up(t.Context(), topology, Options{Prefix: prefix(t)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// left is what there is of a lab: names in /run, processes in its namespaces, and links outside.
func left(t testing.TB, prefix string) (all []string) {
	t.Helper()
	for _, pattern := range []string{namespaceDir + "/" + prefix + "*", "/run/" + prefix + "*"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, names...)
	}
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, "to-") {
			all = append(all, "link "+l.Attrs().Name)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), prefix) {
		all = append(all, "a mount")
	}
	return all
}

func wantNothingLeft(t testing.TB, prefix string) {
	t.Helper()
	if l := left(t, prefix); len(l) > 0 {
		t.Errorf("left behind: %v", l)
	}
}

func mustParse(t testing.TB, line string) Topology {
	t.Helper()
	topology, err := Parse(strings.Fields(line))
	if err != nil {
		t.Fatal(err)
	}
	return topology
}

func TestHostsReachEachOther(t *testing.T) {
	for line, hosts := range map[string]int{"two-hosts": 2, "line 3": 2, "leaf-spine 3 2": 3} {
		t.Run(line, func(t *testing.T) {
			l := up(t, mustParse(t, line))
			reaches, err := l.Check(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if want := hosts * (hosts - 1) * 2; len(reaches) != want {
				t.Errorf("%d addresses were asked, want %d", len(reaches), want)
			}
			for _, r := range reaches {
				if r.Error != "" || r.RTT <= 0 || r.RTT > checkFor {
					t.Errorf("%s does not reach %s %s: RTT %s, %s", r.From, r.To, r.Addr, r.RTT, r.Error)
				}
			}
			if err := l.Down(); err != nil {
				t.Fatal(err)
			}
			wantNothingLeft(t, l.Prefix())
		})
	}
}

// A packet that crosses the longest line arrives with TTL 1.
func TestLongestLine(t *testing.T) {
	l := up(t, mustParse(t, fmt.Sprint("line ", MaxLine)))
	reaches, err := l.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range reaches {
		if r.Error != "" {
			t.Errorf("%s does not reach %s: %s", r.From, r.Addr, r.Error)
		}
	}
}

// A check that cannot fail would prove nothing.
func TestCheckFindsWhatIsBroken(t *testing.T) {
	l := up(t, TwoHosts())
	if err := l.In("r1", func() error { return setSysctls([][2]string{{"net.ipv4.ip_forward", "0"}}) }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), checkFor/3)
	defer cancel()
	reaches, err := l.Check(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range reaches {
		if broken := r.Error != ""; broken != r.Addr.Is4() {
			t.Errorf("%s to %s: %q", r.From, r.Addr, r.Error)
		}
	}
	var b strings.Builder
	if err := WriteTable(&b, reaches); err != nil || !strings.Contains(b.String(), "no answer in "+checkFor.String()) {
		t.Errorf("table is %s, %v", b.String(), err)
	}
}

func TestLeafHasAPathThroughEachSpine(t *testing.T) {
	l := up(t, mustParse(t, "leaf-spine 2 3"))
	err := l.In("leaf1", func() error {
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			routes, err := netlink.RouteList(nil, family)
			if err != nil {
				return err
			}
			paths := 0
			for _, r := range routes {
				paths = max(paths, len(r.MultiPath))
			}
			if paths != 3 {
				t.Errorf("family %d: leaf1 has %d paths, want 3", family, paths)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOffloads(t *testing.T) {
	l := up(t, TwoHosts())
	out, err := l.Output("h1", "ethtool", "-k", "eth0")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"generic-receive-offload: on", "tx-checksumming: off"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("eth0 of h1 has not %s:\n%s", want, out)
		}
	}
}

func TestUpLeavesNothingWhenItFails(t *testing.T) {
	p := prefix(t)
	unreachable := TwoHosts()
	unreachable.Routes = append(unreachable.Routes,
		Route{"h2", netip.MustParsePrefix("192.0.2.0/24"), []netip.Addr{netip.MustParseAddr("198.51.100.1")}})
	if _, err := Up(t.Context(), unreachable, Options{Prefix: p}); err == nil || !strings.Contains(err.Error(), "198.51.100.1") {
		t.Errorf("Up with a gateway that is nowhere: %v", err)
	}
	wantNothingLeft(t, p)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := Up(ctx, mustParse(t, "line 60"), Options{Prefix: p}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Up that is interrupted: %v", err)
	}
	wantNothingLeft(t, p)
}

func TestClash(t *testing.T) {
	l := up(t, TwoHosts())
	_, err := Up(t.Context(), mustParse(t, "line 2"), Options{Prefix: l.Prefix()})
	if !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), "weft lab down") {
		t.Errorf("second Up: %v", err)
	}
	if again, err := Open(l.Prefix()); err != nil || again.Name != "two-hosts" || len(again.Links) != 2 {
		t.Errorf("the first lab is gone: %v, %v", again, err)
	}
}

// Somebody's namespace that has a lab's name is not the lab's to remove.
func TestForeignNamespace(t *testing.T) {
	p := prefix(t)
	if err := makeNamespace(p + "h1"); err != nil {
		t.Fatal(err)
	}
	if _, err := Up(t.Context(), TwoHosts(), Options{Prefix: p}); !errors.Is(err, ErrExists) {
		t.Errorf("Up: %v", err)
	}
	if names, err := Namespaces(p); err != nil || len(names) != 1 {
		t.Errorf("namespaces %v, %v; want the foreign one", names, err)
	}
	if err := makeNamespace(p + "h1"); err == nil {
		t.Error("a namespace was made twice")
	}
}

func TestDown(t *testing.T) {
	p := prefix(t)
	if err := Down(p); err != nil {
		t.Errorf("Down of nothing: %v", err)
	}
	l, err := Up(t.Context(), TwoHosts(), Options{Prefix: p})
	if err != nil {
		t.Fatal(err)
	}
	other, err := Up(t.Context(), TwoHosts(), Options{Prefix: p + "2-"})
	if err != nil {
		t.Fatal(err)
	}
	polite, err := l.Start("h1", "sleep", "1000")
	if err != nil {
		t.Fatal(err)
	}
	stubborn, err := l.Start("r1", "sh", "-c", "trap '' TERM; echo started; while :; do sleep 1; done")
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if b, _ := os.ReadFile(stubborn.Log); string(b) == "started\n" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the process in r1 does not start")
		}
	}
	in, err := identities([]string{l.Namespace("h1")})
	if err != nil {
		t.Fatal(err)
	}
	if pids, err := processes(in); err != nil || len(pids) != 1 || pids[0] != polite.Pid {
		t.Errorf("processes in h1 are %v, %v; want %d", pids, err, polite.Pid)
	}
	for range 2 {
		if err := Down(p); err != nil {
			t.Errorf("Down: %v", err)
		}
	}
	for _, process := range []*Process{polite, stubborn} {
		select {
		case <-process.Done:
		case <-time.After(5 * time.Second):
			t.Errorf("process %d is still there", process.Pid)
		}
	}
	if _, err := Open(p); !errors.Is(err, ErrNotFound) {
		t.Errorf("Open after Down: %v", err)
	}
	if reaches, err := other.Check(t.Context()); err != nil || reaches[0].Error != "" {
		t.Errorf("Down of one lab hurt another: %v, %v", reaches, err)
	}
	if err := other.Down(); err != nil {
		t.Fatal(err)
	}
	wantNothingLeft(t, p)
}

func TestStart(t *testing.T) {
	l := up(t, TwoHosts())
	if _, err := l.Start("h9", "true"); !errors.Is(err, ErrNode) {
		t.Errorf("Start in a node that is not there: %v", err)
	}
	if _, err := l.Start("h1", "/nonexistent"); err == nil {
		t.Error("Start of a program that is not there succeeded")
	}
	out, err := l.Output("r1", "cat", "/proc/self/net/dev")
	if err != nil || !strings.Contains(string(out), "to-h1") {
		t.Errorf("interfaces of r1: %s, %v", out, err)
	}
	if _, err := l.Output("r1", "sh", "-c", "echo why >&2; exit 3"); err == nil || !strings.Contains(err.Error(), "why") {
		t.Errorf("a command that fails: %v", err)
	}
	p, err := l.Start("h1", "sleep", "1000")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Done
	if p.Err() == nil {
		t.Error("a killed process ended well")
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Errorf("signal to a process that ended: %v", err)
	}
}

// What runs in a namespace must not take the process there: /proc/self would be another namespace's.
func TestInLeavesTheProcessWhereItIs(t *testing.T) {
	l := up(t, TwoHosts())
	before, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		done := make(chan error)
		go func() { done <- l.In("h1", func() error { return nil }) }()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if after, err := os.Readlink("/proc/self/ns/net"); err != nil || after != before {
		t.Errorf("the process is in %s, was in %s, %v", after, before, err)
	}
}
