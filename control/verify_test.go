package control

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
	"weft/control/rib"
	"weft/fib"
	"weft/test/fulltable"
)

// program stands for a live program that reads the image, except for the
// addresses in wrong.
func (w *world) program(image **fib.Image, wrong map[netip.Addr]fib.GroupID) Resolve {
	return func(vrf int, dst []netip.Addr, group []fib.GroupID, ok []bool) error {
		reader := readers.Join()
		defer reader.Leave()
		t, err := (*image).Table(vrf)
		if err != nil {
			return err
		}
		for i, a := range dst {
			group[i], ok[i] = t.Lookup(a), !a.IsMulticast()
			if g, is := wrong[a]; is {
				group[i] = g
			}
		}
		return nil
	}
}

// verify compares with a program that reads the RIB's image.
func (w *world) verify(wrong map[netip.Addr]fib.GroupID) Verified {
	w.Helper()
	var image *fib.Image
	w.do(func(r *rib.RIB) { image = r.Image() })
	v, err := w.Verify(context.Background(), w.program(&image, wrong), func(int, int) {})
	if err != nil {
		w.Fatal(err)
	}
	return v
}

// allKinds puts a route of each kind into the kernel.
func allKinds(t testing.TB) {
	ip(t, "nexthop add id 1 via 10.0.1.2 dev port1")
	ip(t, "nexthop add id 2 via 10.0.2.2 dev port2")
	ip(t, "nexthop add id 3 blackhole")
	ip(t, "nexthop add id 10 group 1,3/2,1")
	ip(t, "nexthop add id 11 group 1/2 type resilient buckets 32")
	for _, line := range []string{
		"route add default via 10.0.1.2",
		"-6 route add default via 2001:db8:1::2",
		"route add 10.8.0.0/16 via 10.0.1.2 metric 100",
		"route add 10.8.0.0/16 via 10.0.2.2 metric 200",
		"route add blackhole 10.8.0.0/16 metric 300",
		"route add 10.8.0.0/24 nexthop via 10.0.1.2 weight 3 nexthop via 10.0.2.2",
		"route add 10.8.0.0/32 nhid 10",
		"route add 10.9.0.0/16 nhid 1",
		"route add 10.9.1.0/24 nhid 3",
		"route add 10.9.2.0/24 nhid 11",
		"route add blackhole 10.10.0.0/16",
		"route add unreachable 10.11.0.0/16",
		"route add prohibit 10.12.0.0/16",
		"route add throw 10.13.0.0/16",
		"route add 10.14.0.0/16 dev lo",
		"route add 10.15.0.0/16 via inet6 fe80::1 dev port1",
		"route add 10.16.0.0/16 via 10.0.1.2 mtu 1400",
		"route add local 10.17.0.0/16 dev lo",
		"route add 10.18.0.0/16 tos 0x10 via 10.0.1.2",
		"route add 10.19.0.0/16 dev port2 proto bird scope link",
		"-6 route add 2001:db8:8::/48 nexthop via 2001:db8:1::2 weight 2 nexthop via 2001:db8:2::2",
		"-6 route add 2001:db8:9::/48 via 2001:db8:1::2 metric 10",
		"-6 route append 2001:db8:9::/48 via 2001:db8:2::2 metric 10",
		"-6 route add 2001:db8:9::/48 via 2001:db8:2::2 metric 20",
		"-6 route add blackhole 2001:db8:a::/48",
		"-6 route add unreachable 2001:db8:b::/48",
		"-6 route add 2001:db8:c::/48 dev port1",
		"-6 route add 2001:db8:d::1/128 via fe80::1 dev port1 mtu 1400",
		"-6 route add local 2001:db8:e::/48 dev lo",
	} {
		ip(t, line)
	}
	ip(t, "neigh add 10.0.1.0 lladdr 02:00:00:00:01:09 dev port1 nud permanent") // the first address of a subnet
}

func TestVerifyAgrees(t *testing.T) {
	enterNetns(t)
	twoPorts(t)
	allKinds(t)
	w := follow(t, Config{})
	check := func() {
		t.Helper()
		w.eventually(func() string { // until it has heard of all changes
			v := w.verify(nil)
			if len(v.Differences) > 0 {
				t.Errorf("%+v", v)
			}
			var v4, v6 int
			w.do(func(r *rib.RIB) {
				for _, k := range r.Keys(nil) {
					if k.Prefix().Addr().Is4() {
						v4++
					} else {
						v6++
					}
				}
			})
			if v.IPv4 != v4 || v.IPv6 != v6 || v4 < 20 || v6 < 12 || v.Changing > 0 {
				return fmt.Sprintf("compared %d and %d prefixes, there are %d and %d; %d change", v.IPv4, v.IPv6, v4, v6, v.Changing)
			}
			return ""
		})
	}
	check()
	rnd := rand.New(rand.NewPCG(3, 0))
	for range 5 {
		var lines []string
		for range 100 {
			lines = append(lines, randomChange(rnd))
		}
		ipBatch(t, lines)
		check()
	}
}

// finding is something wrong, and what Verify says of it.
type finding struct {
	name        string
	spoil, mend func(w *world, r *rib.RIB)
	wrong       map[netip.Addr]fib.GroupID
	want        []string // parts, in order
}

func (w *world) tableOf(r *rib.RIB) fib.Table {
	t, err := r.Image().Table(0)
	if err != nil {
		w.Fatal(err)
	}
	return t
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) insert(r *rib.RIB, prefix, asOf string) {
	g, ok := r.Answer(rib.KeyOf(0, netip.MustParsePrefix(asOf)))
	if !ok {
		w.Fatalf("no route to %s", asOf)
	}
	w.must(w.tableOf(r).Insert(netip.MustParsePrefix(prefix), g))
}

func (w *world) remove(r *rib.RIB, prefix string) {
	w.must(w.tableOf(r).Delete(netip.MustParsePrefix(prefix)))
}

// spoilGroup changes the group of a prefix behind the RIB's back.
func (w *world) spoilGroup(r *rib.RIB, prefix string, edit func(*fib.Group)) {
	id, _ := r.Answer(rib.KeyOf(0, netip.MustParsePrefix(prefix)))
	g, err := r.Image().Group(id)
	w.must(err)
	g.Members = slices.Clone(g.Members)
	edit(&g)
	w.must(r.Image().SetGroup(id, g))
}

func (w *world) spoilAdjacency(r *rib.RIB, edit func(*fib.Adjacency)) {
	for id, a := range r.Image().Adjacencies() {
		if a.Neighbor == netip.MustParseAddr("fe80::1") {
			edit(&a)
			w.must(r.Image().SetAdjacency(id, a))
			return
		}
	}
	w.Fatal("no adjacency to fe80::1")
}

// inKernel is a route to 10.50.0.0/16 that the kernel does not have.
func inKernel(r *rib.RIB) *kernel.Route {
	m := &kernel.Route{
		Prefix: netip.MustParsePrefix("10.50.0.0/16"), Table: 254, Type: unix.RTN_UNICAST, Protocol: unix.RTPROT_BOOT,
		Hops: []kernel.Hop{{Gateway: netip.MustParseAddr("10.0.1.2"), Weight: 1}},
	}
	for l := range r.Links {
		if l.Name == "port1" {
			m.Hops[0].Link = l.Index
		}
	}
	return m
}

var findings = []finding{
	{
		name:  "a route is gone from the image",
		spoil: func(w *world, r *rib.RIB) { w.remove(r, "10.10.0.0/16") },
		mend:  func(w *world, r *rib.RIB) { w.insert(r, "10.10.0.0/16", "10.10.0.0/16") },
		want:  []string{"rib and image 10.10.0.0/16", "rib and image invalid Prefix"},
	},
	{
		name:  "a route of the image leads elsewhere",
		spoil: func(w *world, r *rib.RIB) { w.insert(r, "2001:db8:8::/48", "2001:db8:c::/48") },
		mend:  func(w *world, r *rib.RIB) { w.insert(r, "2001:db8:8::/48", "2001:db8:8::/48") },
		want:  []string{"rib and image 2001:db8:8::/48"},
	},
	{
		name:  "the image has a route too many, which hides another",
		spoil: func(w *world, r *rib.RIB) { w.insert(r, "10.10.0.0/17", "10.11.0.0/16") },
		mend:  func(w *world, r *rib.RIB) { w.remove(r, "10.10.0.0/17") },
		want:  []string{"rib and image 10.10.0.0/16", "rib and image invalid Prefix"},
	},
	{
		name:  "the RIB has a route that the kernel has not",
		spoil: func(_ *world, r *rib.RIB) { r.SetRoute(inKernel(r), rib.Add) },
		mend:  func(_ *world, r *rib.RIB) { r.DeleteRoute(inKernel(r)) },
		want:  []string{"kernel and rib 10.50.0.0/16 want no route"},
	},
	{
		name: "the RIB lacks the second of two routes",
		spoil: func(_ *world, r *rib.RIB) {
			m := inKernel(r)
			m.Prefix, m.Metric = netip.MustParsePrefix("10.8.0.0/16"), 100
			r.DeleteRoute(m)
		},
		mend: func(_ *world, r *rib.RIB) {
			m := inKernel(r)
			m.Prefix, m.Metric = netip.MustParsePrefix("10.8.0.0/16"), 100
			r.SetRoute(m, rib.Add)
		},
		want: []string{"kernel and rib 10.8.0.0/16"},
	},
	{
		name: "the program answers wrong",
		wrong: map[netip.Addr]fib.GroupID{
			netip.MustParseAddr("10.12.0.0"): 99, netip.MustParseAddr("2001:db8:a::"): 0, netip.MustParseAddr("1.0.0.0"): 7,
		},
		want: []string{"image and program 0.0.0.0/0", "image and program 10.12.0.0/16", "image and program 2001:db8:a::/48"},
	},
	{
		name: "a member of a group has another weight",
		spoil: func(w *world, r *rib.RIB) {
			w.spoilGroup(r, "10.8.0.0/24", func(g *fib.Group) { g.Members[0].Weight += 5 })
		},
		mend: func(w *world, r *rib.RIB) {
			w.spoilGroup(r, "10.8.0.0/24", func(g *fib.Group) { g.Members[0].Weight -= 5 })
		},
		want: []string{"rib and image invalid Prefix want  have group "},
	},
	{
		name:  "a group is of another kind",
		spoil: func(w *world, r *rib.RIB) { w.spoilGroup(r, "10.11.0.0/16", func(g *fib.Group) { g.Code = 13 }) },
		mend:  func(w *world, r *rib.RIB) { w.spoilGroup(r, "10.11.0.0/16", func(g *fib.Group) { g.Code = 1 }) },
		want:  []string{"rib and image invalid Prefix want  have group "},
	},
	{
		name:  "an adjacency has another MAC address",
		spoil: func(w *world, r *rib.RIB) { w.spoilAdjacency(r, func(a *fib.Adjacency) { a.Rewrite[5] ^= 1 }) },
		mend:  func(w *world, r *rib.RIB) { w.spoilAdjacency(r, func(a *fib.Adjacency) { a.Rewrite[5] ^= 1 }) },
		want:  []string{"rib and image invalid Prefix want  have adjacency "},
	},
}

func TestVerifyFinds(t *testing.T) {
	enterNetns(t)
	shortPause(t)
	twoPorts(t)
	allKinds(t)
	w := follow(t, Config{})
	for _, c := range findings {
		if c.spoil != nil {
			w.do(func(r *rib.RIB) { c.spoil(w, r) })
		}
		v := w.verify(c.wrong)
		var got []string
		for _, d := range v.Differences {
			got = append(got, fmt.Sprintf("%s %s want %s have %s", d.Between, d.Prefix, d.Want, d.Have))
		}
		ok := len(got) == len(c.want) && v.Changing == 0
		for i := range got {
			ok = ok && strings.HasPrefix(got[i], c.want[i])
		}
		if !ok {
			t.Errorf("%s:\ngot  %q\nwant %q", c.name, got, c.want)
		}
		if c.mend != nil {
			w.do(func(r *rib.RIB) { c.mend(w, r) })
		}
		if v := w.verify(nil); len(v.Differences) > 0 {
			t.Fatalf("%s: not mended: %+v", c.name, v)
		}
	}
}

func shortPause(t *testing.T) {
	before := verifyPause
	verifyPause = 20 * time.Millisecond
	t.Cleanup(func() { verifyPause = before })
}

// Changes that happen meanwhile are no differences, and hide none.
func TestVerifyDuringChanges(t *testing.T) {
	enterNetns(t)
	shortPause(t)
	twoPorts(t)
	allKinds(t)
	w := follow(t, Config{})
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	stop := churn(t, seed)
	var changing int
	for n := range 8 {
		wrong := map[netip.Addr]fib.GroupID{}
		if n%4 == 0 {
			wrong[netip.MustParseAddr("10.12.0.0")] = 999    // does not change
			wrong[netip.MustParseAddr("2001:db8:9::")] = 999 // changes
		}
		v := w.verify(wrong)
		changing += v.Changing
		for _, d := range v.Differences {
			if d.Have != "group 999" {
				t.Errorf("round %d: %+v", n, d)
			}
		}
		if n := len(v.Differences); n < len(wrong)/2 || n > len(wrong)+2 { // of what changes there may be none, or several
			t.Errorf("round %d: %d differences, want %d", n, len(v.Differences), len(wrong))
		}
	}
	t.Logf("%d prefixes were changing at each look", changing)
	stop()
	for deadline := time.Now().Add(time.Minute); ; { // it has to work off what has come: slowly, under the race detector
		v := w.verify(nil)
		if len(v.Differences)+v.Changing == 0 {
			return
		}
		if len(v.Differences) > 0 || time.Now().After(deadline) {
			t.Fatalf("%+v", v)
		}
	}
}

// churn changes routes without an end, until the returned function is called.
func churn(t *testing.T, seed uint64) (stop func()) {
	cmd := exec.Command("ip", "-force", "-batch", "-")
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		rnd := rand.New(rand.NewPCG(seed, 0))
		for {
			select {
			case <-end:
				return
			default:
				fmt.Fprintln(in, randomChange(rnd))
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(end)
		<-ended
		in.Close()
		_ = cmd.Wait() // some lines are refused
	})
}

func TestVerifyEnds(t *testing.T) {
	enterNetns(t)
	twoPorts(t)
	w := follow(t, Config{})
	var image *fib.Image
	w.do(func(r *rib.RIB) { image = r.Image() })
	failing := func(int, []netip.Addr, []fib.GroupID, []bool) error { return errors.New("no port") }
	if _, err := w.Verify(context.Background(), failing, func(int, int) {}); err == nil || !strings.Contains(err.Error(), "no port") {
		t.Errorf("a program that cannot be asked: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	wrong := map[netip.Addr]fib.GroupID{netip.MustParseAddr("10.0.1.0"): 999}
	if _, err := w.Verify(ctx, w.program(&image, wrong), func(int, int) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if v := w.verify(nil); len(v.Differences) > 0 {
		t.Errorf("after one that was cancelled: %+v", v)
	}
	w.stop()
	if _, err := w.Verify(context.Background(), w.program(&image, nil), func(int, int) {}); !errors.Is(err, ErrStopped) {
		t.Errorf("stopped: %v", err)
	}
}

// BenchmarkVerify compares the Internet table in kernel, RIB and image (s/verify),
// with a program that answers at no cost.
func BenchmarkVerify(b *testing.B) {
	b.Run("full", func(b *testing.B) {
		enterNetns(b)
		twoPorts(b)
		v4, v6, err := fulltable.Prefixes()
		if err != nil {
			b.Fatal(err)
		}
		loadKernel(b, v4, v6)
		w := follow(b, Config{Image: newImage(b, 64<<20)})
		var took, longest time.Duration
		for b.Loop() {
			stop, stopped := make(chan struct{}), make(chan struct{})
			go func() { // how long a change would wait
				defer close(stopped)
				for {
					select {
					case <-stop:
						return
					case <-time.After(time.Millisecond):
						start := time.Now()
						w.do(func(*rib.RIB) {})
						longest = max(longest, time.Since(start))
					}
				}
			}()
			start := time.Now()
			v := w.verify(nil)
			took += time.Since(start)
			close(stop)
			<-stopped
			if v.IPv4 < len(v4) || v.IPv6 < len(v6) || len(v.Differences) > 0 {
				b.Fatalf("%d and %d prefixes, differences %v", v.IPv4, v.IPv6, v.Differences)
			}
		}
		b.ReportMetric(took.Seconds()/float64(b.N), "s/verify")
		b.ReportMetric(longest.Seconds()*1e3, "ms/longest-wait")
		b.ReportMetric(float64(peakMemory(b)), "B/peak")
		b.ReportMetric(0, "ns/op")
	})
}
