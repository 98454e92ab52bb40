package control

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"weft/control/rib"
)

// table puts routes into the kernel that do not change, some with several metrics: dumps of
// it come in many parts, with changes in between.
func table(t *testing.T, routes int) {
	t.Helper()
	var lines []string
	for i := range routes {
		lines = append(lines,
			fmt.Sprintf("route add 10.%d.%d.0/25 via 10.0.1.2", 64+i>>8, i&255),
			fmt.Sprintf("route add 2001:db8:%x:80::/57 via 2001:db8:1::2", 0x100+i))
		if i%4 == 0 {
			lines = append(lines,
				fmt.Sprintf("route add 10.%d.%d.0/25 via 10.0.2.2 metric 50", 64+i>>8, i&255),
				fmt.Sprintf("route add 2001:db8:%x:80::/57 via 2001:db8:2::2 metric 50", 0x100+i))
		}
	}
	ipBatch(t, lines)
	for n := 1; n <= 2; n++ {
		ip(t, fmt.Sprintf("nexthop add id %d via 10.0.%d.2 dev port%d", n, n, n))
		ip(t, fmt.Sprintf("nexthop add id %d via 2001:db8:%d::2 dev port%d", 10+n, n, n))
	}
}

// anyChange is a line of iproute2 that may fail: changes of routes among those of table, in all ways in
// which the kernel tells of them.
func anyChange(rnd *rand.Rand, routes int) string {
	i, n := rnd.IntN(routes), 1+rnd.IntN(2)
	i -= i % 16 // the same ones again and again
	six := rnd.IntN(2)
	prefix := []string{fmt.Sprintf("10.%d.%d.0/%d", 64+i>>8, i&255, 24+rnd.IntN(3)), fmt.Sprintf("2001:db8:%x::/%d", 0x100+i, 48+8*rnd.IntN(3))}[six]
	to := []string{
		fmt.Sprintf("via 10.0.%d.%d", n, 2+rnd.IntN(3)),
		fmt.Sprintf("via 2001:db8:%d::%d", n, 2+rnd.IntN(3)),
	}[six]
	if rnd.IntN(8) == 0 {
		to = fmt.Sprintf("nexthop via 10.0.1.2 nexthop via 10.0.2.2 weight %d", 1+rnd.IntN(3))
		if six == 1 {
			to = "nexthop via 2001:db8:1::2 nexthop via 2001:db8:2::2"
		}
	}
	if how := rnd.IntN(8); how < 2 && six == 0 || how == 0 { // of IPv6, where Linux keeps one route twice, through gateways only
		return fmt.Sprintf("route %s %s metric %d proto %d %s", []string{"append", "prepend"}[how], prefix, []int{0, 50, 100}[rnd.IntN(3)], 186+rnd.IntN(2), to)
	}
	switch rnd.IntN(8) {
	case 0:
		to = fmt.Sprintf("nhid %d", 10*six+n)
	case 1:
		to = fmt.Sprintf("dev port%d", n)
	}
	kind := "unicast"
	if rnd.IntN(8) == 0 {
		kind, to = []string{"blackhole", "unreachable", "prohibit"}[rnd.IntN(3)], ""
	}
	rest := fmt.Sprintf("%s %s metric %d proto %d %s", kind, prefix, []int{0, 50, 100}[rnd.IntN(3)], 186+rnd.IntN(2), to)
	switch rnd.IntN(16) {
	case 0, 1, 2, 3:
		return "route add " + rest
	case 4, 5, 6, 7:
		return "route replace " + rest
	case 8, 9:
		return fmt.Sprintf("nexthop replace id %d via 10.0.%d.%d dev port%d", n, n, 2+rnd.IntN(3), n)
	case 10, 11:
		if rnd.IntN(8) == 0 { // its routes go with it
			return fmt.Sprintf("nexthop del id %d\nnexthop add id %d via 10.0.%d.2 dev port%d", n, n, n, n)
		}
		return fmt.Sprintf("nexthop replace id %d via 2001:db8:%d::%d dev port%d", 10+n, n, 2+rnd.IntN(3), n)
	default:
		return "route del " + prefix
	}
}

// rereading lets all be read again without a pause until the returned function is called.
func (w *world) rereading() (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			default:
				_ = w.Do(context.Background(), func(*rib.RIB) { w.again() })
			}
		}
	}()
	return func() { close(end); <-ended }
}

// Whatever changes while all is read again and again, and whatever of it is lost, the RIB
// has at the end what the kernel has.
func TestRandomChangesWhileRereading(t *testing.T) {
	enterNetns(t)
	shortPause(t)
	twoPorts(t)
	const routes = 3000
	table(t, routes)
	rounds := 3
	if os.Getenv("WEFT_SOAK") != "" {
		rounds = 1000
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	w := follow(t, Config{Image: newImage(t, 4<<20)})
	churn := func() {
		var lines []string
		for range 1000 {
			lines = append(lines, anyChange(rnd, routes))
		}
		ipBatch(t, lines)
	}
	for round := 0; round < rounds && !t.Failed(); round++ {
		stop := w.rereading()
		churn()
		stop()
		w.wantVerified(fmt.Sprintf("round %d", round))
	}
	w.stop()
	w = follow(t, Config{Image: newImage(t, 4<<20), ReceiveBuffer: 1})
	for round := 0; round < rounds && !t.Failed(); round++ {
		if round == 0 {
			w.held(churn)
		} else {
			churn()
		}
		w.wantVerified(fmt.Sprintf("round %d with losses", round))
	}
	if c, err := w.Counts(t.Context()); err != nil || c.Overruns == 0 {
		t.Errorf("%+v %v: want overruns", c, err)
	}
}

// wantVerified waits until nothing changes, and makes sure that all agree.
func (w *world) wantVerified(when string) {
	w.Helper()
	w.eventually(func() string {
		v := w.verify(nil)
		if n := len(v.Differences); n > 0 {
			var b strings.Builder
			for _, d := range v.Differences[:min(n, 4)] {
				fmt.Fprintf(&b, "\n%+v\n%s", d, ip(w, fmt.Sprintf("route show %s table all", d.Prefix)))
			}
			w.Errorf("%s: %d differences: %s", when, n, b.String())
			return ""
		}
		if v.Changing > 0 || v.Rereading.Why != "" {
			return fmt.Sprintf("%+v", v)
		}
		return ""
	})
}
