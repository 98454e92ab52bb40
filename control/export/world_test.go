package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
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
)

// enterNetns moves the test into a network namespace of its own, which goes with
// the test's thread, with two links in it. Without the right to, the test is skipped,
// except in CI, where it fails.
func enterNetns(t testing.TB) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("make network namespace: %v: CI runs this as root", err)
		}
		t.Skipf("make network namespace: %v: run as root", err)
	}
	ip(t, "link set lo up")
	for i, index := range []int{11, 12} {
		ip(t, "link add name p%d index %d type veth peer name q%d", i+1, index, i+1)
		ip(t, "link set p%d up", i+1)
		ip(t, "link set q%d up", i+1)
		ip(t, "addr add 192.0.%d.1/24 dev p%d", i+1, i+1)
	}
}

func ip(t testing.TB, format string, args ...any) string {
	t.Helper()
	line := fmt.Sprintf(format, args...)
	out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v\n%s", line, err, out)
	}
	return string(out)
}

// bench is a running Exporter, that is told what a RIB would tell.
type bench struct {
	testing.TB
	*Exporter
	end func()
}

// run starts an Exporter in the test's namespace.
func run(t testing.TB) *bench {
	t.Helper()
	e, err := New(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		e.Run(ctx, func(context.Context, func(*rib.RIB)) error { return errors.New("no RIB") })
	}()
	b := &bench{TB: t, Exporter: e, end: sync.OnceFunc(func() { cancel(); <-ended; e.Close() })}
	t.Cleanup(b.end)
	return b
}

// until waits for something.
func (b *bench) until(what string, is func() bool) {
	b.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("not %s after 20 s: %+v, %s", what, b.Status(), b.have())
		}
	}
}

func (b *bench) idle() {
	b.Helper()
	b.until("idle", func() bool { return b.Status().Waiting == 0 })
}

func (b *bench) take(x *rib.Export) {
	b.Helper()
	b.Take(x)
	b.idle()
}

func groupOf(id uint32, hops ...string) rib.ExportGroup {
	g := rib.ExportGroup{ID: id, Type: unix.RTN_UNICAST}
	for _, text := range hops { // "link gateway weight"
		var h kernel.Hop
		var gateway string
		if _, err := fmt.Sscan(text, &h.Link, &gateway, &h.Weight); err != nil {
			panic(err)
		}
		h.Gateway, _ = netip.ParseAddr(gateway)
		g.Hops = append(g.Hops, h)
	}
	return g
}

func key(prefix string) rib.Key { return rib.KeyOf(0, netip.MustParsePrefix(prefix)) }

func routeTo(prefix string, group, metric uint32) rib.ExportRoute {
	return rib.ExportRoute{Key: key(prefix), Group: group, Metric: metric, Source: rib.Static}
}

type shown struct {
	Dst, Type, Gateway, Dev string
	Via                     struct{ Host string }
	Metric, NHID            uint32
	Metrics                 []struct{ MTU int }
	NextHops                []struct {
		Gateway, Dev string
		Via          struct{ Host string }
		Weight       int
	}
}

// have says what the kernel has of weft's routes, as `ip` shows it, and whether
// objects are left.
func (b *bench) have() string {
	var lines []string
	for _, family := range []string{"-4", "-6"} {
		out, err := exec.Command("ip", family, "-j", "-d", "route", "show", "table", "main", "proto", "119").CombinedOutput()
		var routes []shown
		if err != nil || json.Unmarshal(out, &routes) != nil {
			b.Fatalf("ip route: %v\n%s", err, out)
		}
		for _, r := range routes {
			lines = append(lines, r.String())
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func (r shown) String() string {
	s := fmt.Sprintf("%s metric %d", r.Dst, r.Metric)
	if r.Type != "" && r.Type != "unicast" {
		s = r.Type + " " + s
	} else {
		if r.NHID < FirstID {
			s += " without object"
		}
		if len(r.NextHops) == 0 {
			s += fmt.Sprintf(" via %s%s %s", r.Gateway, r.Via.Host, r.Dev)
		}
	}
	for _, h := range r.NextHops {
		s += fmt.Sprintf(" via %s%s %s x%d", h.Gateway, h.Via.Host, h.Dev, h.Weight)
	}
	for _, m := range r.Metrics {
		s += fmt.Sprintf(" mtu %d", m.MTU)
	}
	return s
}

func (b *bench) wants(lines ...string) {
	b.Helper()
	slices.Sort(lines)
	if got, want := b.have(), strings.Join(lines, "\n"); got != want {
		b.Errorf("the kernel has\n%s\nwant\n%s", got, want)
	}
}

// objectsInKernel counts next-hop objects of weft's.
func (b *bench) objectsInKernel() int {
	return strings.Count(ip(b, "nexthop show"), "proto 119")
}
