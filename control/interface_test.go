package control

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"weft/control/rib"
)

// setForwarding writes the setting of a link, or of "all", as sysctl does.
func setForwarding(t testing.TB, family, link string, on bool) {
	t.Helper()
	value := "0"
	if on {
		value = "1"
	}
	if err := os.WriteFile("/proc/sys/net/"+family+"/conf/"+link+"/forwarding", []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

// recorder is an owner that remembers what it was told.
type recorder struct {
	mu   sync.Mutex
	last map[string]Interface // by name
	log  []string
}

func (r *recorder) take(i Interface, there bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = map[string]Interface{}
	}
	what := "+"
	for name, old := range r.last {
		if old.Index == i.Index {
			delete(r.last, name)
			what = "~"
		}
	}
	if there {
		r.last[i.Name] = i
	} else {
		what = "-"
	}
	r.log = append(r.log, what+i.Name)
}

func (r *recorder) of(name string) (Interface, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, ok := r.last[name]
	return i, ok
}

// told returns what was told since the last time.
func (r *recorder) told() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	log := strings.Join(r.log, " ")
	r.log = nil
	return log
}

// wantForwarding waits until the owner knows what a link forwards.
func (w *world) wantForwarding(r *recorder, link string, ipv4, ipv6 bool) {
	w.Helper()
	w.eventually(func() string {
		if i, ok := r.of(link); !ok || i.IPv4 != ipv4 || i.IPv6 != ipv6 {
			return fmt.Sprintf("%s: ipv4 %v, ipv6 %v, there %v; want %v, %v", link, i.IPv4, i.IPv6, ok, ipv4, ipv6)
		}
		return ""
	})
}

func TestInterfacesAreTold(t *testing.T) {
	enterNetns(t)
	twoPorts(t)
	setForwarding(t, "ipv4", "port2", false)
	var r recorder
	w := follow(t, Config{Interface: r.take})
	if told := r.told(); told != "+lo +peer1 +port1 +peer2 +port2" {
		t.Errorf("told at first: %s; want the order of ifindexes", told)
	}
	i, _ := r.of("port1")
	if i.Kind != "veth" || i.MAC.String() != mac1 || !i.IPv4 || !i.IPv6 || i.Member || i.VRF != 0 || i.MTU != 1500 {
		t.Errorf("port1: %+v", i)
	}
	w.wantForwarding(&r, "port2", false, true)

	setForwarding(t, "ipv4", "port1", false)
	w.wantForwarding(&r, "port1", false, true)
	setForwarding(t, "ipv6", "port1", false)
	w.wantForwarding(&r, "port1", false, false)
	setForwarding(t, "ipv4", "all", false)
	w.wantForwarding(&r, "peer1", false, true)
	setForwarding(t, "ipv4", "all", true)
	setForwarding(t, "ipv6", "all", true)
	for _, link := range []string{"port1", "port2", "peer1"} {
		w.wantForwarding(&r, link, true, true)
	}

	// A link that comes has the settings of "default"; one that goes takes its own along.
	r.told()
	ip(t, "link add late type veth peer name late-peer")
	w.wantForwarding(&r, "late", true, true)
	setForwarding(t, "ipv4", "late", false)
	w.wantForwarding(&r, "late", false, true)
	before, _ := r.of("late")
	ip(t, "link del late")
	w.eventually(func() string {
		if _, there := r.of("late"); there {
			return "late is there"
		}
		return ""
	})
	ip(t, fmt.Sprintf("link add late index %d type veth peer name late-peer", before.Index))
	w.wantForwarding(&r, "late", true, true)
}

// A link that gets another name loses its settings for a moment: who is told
// does not see that.
func TestRenameKeepsForwarding(t *testing.T) {
	enterNetns(t)
	twoPorts(t)
	lost := false
	var r recorder
	w := follow(t, Config{Interface: func(i Interface, there bool) {
		lost = lost || there && strings.HasPrefix(i.Name, "port") && (!i.IPv4 || !i.IPv6)
		r.take(i, there)
	}})
	for n := range 20 {
		ip(t, fmt.Sprintf("link set %s name port%d", [...]string{"port1", "port9"}[n%2], 1+8*((n+1)%2)))
	}
	w.wantForwarding(&r, "port1", true, true)
	ip(t, "link set port1 name other")
	w.wantForwarding(&r, "other", true, true)
	w.do(func(*rib.RIB) {
		if lost {
			t.Error("told that a port does not forward")
		}
	})
	if _, there := r.of("port1"); there {
		t.Error("port1 is still there")
	}
}

// Below 1280 bytes Linux has no IPv6 on a link (RFC 8200 5).
func TestSmallMTUEndsIPv6(t *testing.T) {
	enterNetns(t)
	twoPorts(t)
	var r recorder
	w := follow(t, Config{Interface: r.take})
	ip(t, "link set port1 mtu 1279")
	w.wantForwarding(&r, "port1", true, false)
	ip(t, "link set port1 mtu 1280")
	w.wantForwarding(&r, "port1", true, true)
}

func TestBridgeMembers(t *testing.T) {
	enterNetns(t)
	twoPorts(t)
	ip(t, "link add br0 type bridge")
	var r recorder
	w := follow(t, Config{Interface: r.take})
	member := func(want bool) {
		t.Helper()
		w.eventually(func() string {
			i, _ := r.of("port1")
			if i.Member != want {
				return fmt.Sprintf("port1: %+v", i)
			}
			return ""
		})
	}
	member(false)
	ip(t, "link set port1 master br0")
	member(true)
	ip(t, "link set port1 nomaster")
	member(false)
	ip(t, "link set port1 master br0")
	member(true)
	ip(t, "link del br0")
	member(false)
	if i, _ := r.of("port1"); i.Master != 0 {
		t.Errorf("%+v", i)
	}
}

// What was missed in an overrun is told after it.
func TestInterfacesAfterOverrun(t *testing.T) {
	enterNetns(t)
	twoPorts(t)
	var r recorder
	w := follow(t, Config{Interface: r.take, ReceiveBuffer: 1})
	r.told()
	w.held(func() {
		for n := range 10 {
			ip(t, fmt.Sprintf("link add new%d type veth peer name far%d", n, n))
		}
		ip(t, "link del port2")
		setForwarding(t, "ipv4", "port1", false)
	})
	w.wantForwarding(&r, "new9", true, true)
	w.wantForwarding(&r, "port1", false, true)
	w.eventually(func() string { // what is gone is known when all has been read
		if _, there := r.of("port2"); there {
			return "port2 is still there"
		}
		return ""
	})
	if c, err := w.Counts(context.Background()); err != nil || c.Overruns == 0 {
		t.Errorf("%+v %v: want overruns", c, err)
	}
	w.agree()
}

// Who asks how things are is answered between two messages of a dump.
func TestDoDuringSynchronization(t *testing.T) {
	enterNetns(t)
	twoPorts(t)
	var lines []string
	for n := range 40_000 {
		lines = append(lines, fmt.Sprintf("route add 10.%d.%d.%d/32 via 10.0.1.2", 64+n>>14, n>>8&63, n&255))
	}
	ipBatch(t, lines)
	w := follow(t, Config{Image: newImage(t, 8<<20)})
	syncing := make(chan struct{})
	go func() {
		defer close(syncing)
		for range 5 {
			_ = w.Do(context.Background(), func(*rib.RIB) { w.again() })
		}
	}()
	time.Sleep(5 * time.Millisecond)
	var during, after int
	var longest time.Duration
	for running := true; running; {
		start := time.Now()
		w.do(func(r *rib.RIB) {
			if len(r.Keys(nil)) < 40_000 {
				t.Error("routes are missing")
			}
		})
		longest = max(longest, time.Since(start))
		select {
		case <-syncing:
			running = false
			after++
		default:
			during++
		}
	}
	t.Logf("%d answers during 5 synchronizations, the longest after %v", during, longest)
	if during < 10 {
		t.Errorf("%d answers during the synchronizations", during)
	}
	w.agree()
}
