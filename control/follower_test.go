package control

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
	"weft/control/rib"
)

const (
	mac1 = "02:00:00:00:00:01"
	mac2 = "02:00:00:00:00:02"
	far1 = "02:00:00:00:01:01"
	far2 = "02:00:00:00:01:02"
)

// twoPorts makes two veth pairs with a subnet of each family on each.
func twoPorts(t testing.TB) {
	t.Helper()
	for i, mac := range []string{mac1, mac2} {
		n := i + 1
		ip(t, fmt.Sprintf("link add port%d address %s type veth peer name peer%d", n, mac, n))
		ip(t, fmt.Sprintf("link set peer%d up", n))
		ip(t, fmt.Sprintf("link set port%d up", n))
		ip(t, fmt.Sprintf("addr add 10.0.%d.1/24 dev port%d", n, n))
		ip(t, fmt.Sprintf("addr add 2001:db8:%d::1/64 dev port%d nodad", n, n))
		ip(t, fmt.Sprintf("neigh add 10.0.%d.2 lladdr 02:00:00:00:01:0%d dev port%d nud permanent", n, n, n))
		ip(t, fmt.Sprintf("neigh add 2001:db8:%d::2 lladdr 02:00:00:00:01:0%d dev port%d nud permanent", n, n, n))
		ip(t, fmt.Sprintf("neigh add fe80::%d lladdr 02:00:00:00:01:0%d dev port%d nud permanent", n, n, n))
	}
}

func one(port, addr, far, near, kind string) string {
	return fmt.Sprintf("%s %s x1 mtu 1500 %s<%s %s", port, addr, far, near, kind)
}

func TestFollowerStartsFromWhatIsThere(t *testing.T) {
	enterNetns(t)
	twoPorts(t)
	ip(t, "route add 10.8.0.0/16 via 10.0.1.2")
	ip(t, "-6 route add 2001:db8:8::/48 via 2001:db8:2::2")
	w := follow(t, Config{})
	w.want("10.8.0.0/16", one("port1", "10.0.1.2", far1, mac1, "0800"))
	w.want("2001:db8:8::/48", one("port2", "2001:db8:2::2", far2, mac2, "86dd"))
	w.want("10.0.1.0/24", "glean port1")
	w.want("10.0.1.1/32", "local")
	w.want("10.0.1.2/32", one("port1", "10.0.1.2", far1, mac1, "0800"))
	w.want("10.0.1.255/32", "punt 4")
	w.agree()
}

func TestRouteTypes(t *testing.T) {
	enterNetns(t)
	twoPorts(t)
	w := follow(t, Config{})
	for kind, want := range map[string][2]string{
		"blackhole": {"blackhole", "blackhole"}, "unreachable": {"reject 1", "reject 0"},
		"prohibit": {"reject 13", "reject 1"}, "throw": {"punt 8", "punt 8"},
	} {
		ip(t, "route add "+kind+" 10.8.0.0/16")
		ip(t, "-6 route add "+kind+" 2001:db8:8::/48")
		w.want("10.8.0.0/16", want[0])
		w.want("2001:db8:8::/48", want[1])
		w.agree()
		ip(t, "route del "+kind+" 10.8.0.0/16")
		ip(t, "-6 route del "+kind+" 2001:db8:8::/48")
		w.want("10.8.0.0/16", "")
		w.want("2001:db8:8::/48", "")
	}
	ip(t, "route add 10.8.0.0/16 dev lo") // no port of ours
	w.want("10.8.0.0/16", "punt 1")
	ip(t, "route add 10.9.0.0/16 via inet6 fe80::1 dev port1") // RFC 5549
	w.want("10.9.0.0/16", one("port1", "fe80::1", far1, mac1, "0800"))
	ip(t, "route add 10.10.0.0/16 via 10.0.1.2 mtu 1400")
	w.want("10.10.0.0/16", "port1 10.0.1.2 x1 mtu 1400 "+far1+"<"+mac1+" 0800")
	ip(t, "route add local 10.11.0.0/16 dev lo")
	w.want("10.11.0.0/16", "local")
	ip(t, "route add 10.12.0.1/32 via 10.0.1.77 dev port1 onlink")
	w.want("10.12.0.1/32", "port1 10.0.1.77 x1 mtu 1500 incomplete")
	ip(t, "route add 10.13.0.0/16 tos 0x10 via 10.0.1.2")
	w.want("10.13.0.0/16", "punt 10") // the kernel looks at the TOS
	ip(t, "route del 10.13.0.0/16 tos 0x10 via 10.0.1.2")
	w.want("10.13.0.0/16", "")
	w.agree()
}

func TestMetricReplaceDelete(t *testing.T) {
	enterNetns(t)
	twoPorts(t)
	w := follow(t, Config{})
	for _, f := range []struct{ flag, prefix, gateway1, gateway2, kind string }{
		{"-4", "10.8.0.0/16", "10.0.1.2", "10.0.2.2", "0800"},
		{"-6", "2001:db8:8::/48", "2001:db8:1::2", "2001:db8:2::2", "86dd"},
	} {
		via1, via2 := one("port1", f.gateway1, far1, mac1, f.kind), one("port2", f.gateway2, far2, mac2, f.kind)
		ip(t, f.flag+" route add "+f.prefix+" via "+f.gateway1+" metric 100")
		w.want(f.prefix, via1)
		ip(t, f.flag+" route add "+f.prefix+" via "+f.gateway2+" metric 200")
		w.agree()
		w.want(f.prefix, via1)
		ip(t, f.flag+" route add "+f.prefix+" via "+f.gateway2+" metric 50")
		w.want(f.prefix, via2)
		ip(t, f.flag+" route del "+f.prefix+" metric 50")
		w.want(f.prefix, via1)
		ip(t, f.flag+" route replace "+f.prefix+" via "+f.gateway2+" metric 100")
		w.want(f.prefix, via2)
		ip(t, f.flag+" route replace blackhole "+f.prefix+" metric 100")
		w.want(f.prefix, "blackhole")
		ip(t, f.flag+" route del "+f.prefix+" metric 100")
		w.want(f.prefix, via2) // metric 200
		ip(t, f.flag+" route del "+f.prefix)
		w.want(f.prefix, "")
		w.agree()
	}
}

func TestMultipath(t *testing.T) {
	enterNetns(t)
	twoPorts(t)
	w := follow(t, Config{})
	ip(t, "route add 10.8.0.0/16 nexthop via 10.0.1.2 weight 3 nexthop via 10.0.2.2 weight 1")
	w.want("10.8.0.0/16", "port1 10.0.1.2 x3 mtu 1500 "+far1+"<"+mac1+" 0800, "+one("port2", "10.0.2.2", far2, mac2, "0800"))
	ip(t, "-6 route add 2001:db8:8::/48 via 2001:db8:1::2")
	ip(t, "-6 route append 2001:db8:8::/48 via 2001:db8:2::2")
	both := one("port1", "2001:db8:1::2", far1, mac1, "86dd") + ", " + one("port2", "2001:db8:2::2", far2, mac2, "86dd")
	w.want("2001:db8:8::/48", both)
	ip(t, "-6 route del 2001:db8:8::/48 via 2001:db8:1::2")
	w.want("2001:db8:8::/48", one("port2", "2001:db8:2::2", far2, mac2, "86dd"))
	ip(t, "-6 route replace 2001:db8:8::/48 nexthop via 2001:db8:1::2 nexthop via 2001:db8:2::2")
	w.want("2001:db8:8::/48", both)
	w.agree()
	// A port without carrier is left out, although the kernel goes on using it.
	ip(t, "link set peer1 down")
	w.want("10.8.0.0/16", one("port2", "10.0.2.2", far2, mac2, "0800"))
	ip(t, "link set peer1 up")
	ip(t, "neigh replace 10.0.1.2 lladdr "+far1+" dev port1 nud permanent")
	w.want("10.8.0.0/16", "port1 10.0.1.2 x3 mtu 1500 "+far1+"<"+mac1+" 0800, "+one("port2", "10.0.2.2", far2, mac2, "0800"))
	ip(t, "link set port1 down")
	ip(t, "link set port2 down")
	w.agree()
}

func TestNextHopObjects(t *testing.T) {
	enterNetns(t)
	twoPorts(t)
	w := follow(t, Config{})
	ip(t, "nexthop add id 1 via 10.0.1.2 dev port1")
	ip(t, "nexthop add id 2 via 10.0.2.2 dev port2")
	ip(t, "nexthop add id 10 group 1,3/2,1")
	ip(t, "route add 10.8.0.0/16 nhid 1")
	ip(t, "route add 10.9.0.0/16 nhid 10")
	via1, via2 := one("port1", "10.0.1.2", far1, mac1, "0800"), one("port2", "10.0.2.2", far2, mac2, "0800")
	w.want("10.8.0.0/16", via1)
	w.want("10.9.0.0/16", "port1 10.0.1.2 x3 mtu 1500 "+far1+"<"+mac1+" 0800, "+via2)
	var before uint32
	group := func() (id uint32) {
		w.do(func(r *rib.RIB) {
			id = uint32(r.At(rib.KeyOf(0, netip.MustParsePrefix("10.8.0.0/16")))[0].Group)
		})
		return id
	}
	before = group()
	ip(t, "nexthop replace id 1 via 10.0.2.2 dev port2")
	w.want("10.8.0.0/16", via2)
	w.want("10.9.0.0/16", "port2 10.0.2.2 x4 mtu 1500 "+far2+"<"+mac2+" 0800")
	if group() != before {
		t.Error("the route has another group now: every route of the object was written")
	}
	ip(t, "nexthop replace id 1 via 10.0.1.2 dev port1")
	w.want("10.8.0.0/16", via1)
	ip(t, "nexthop add id 3 blackhole")
	ip(t, "route replace 10.8.0.0/16 nhid 3")
	w.want("10.8.0.0/16", "blackhole")
	ip(t, "route replace 10.8.0.0/16 nhid 1")
	w.want("10.8.0.0/16", via1)
	w.agree()
	ip(t, "nexthop del id 1") // takes the route along, without a word
	w.want("10.8.0.0/16", "")
	w.want("10.9.0.0/16", via2)
	w.agree()
	ip(t, "nexthop add id 20 group 2 type resilient buckets 32")
	ip(t, "route add 10.10.0.0/16 nhid 20")
	w.want("10.10.0.0/16", "resilient "+via2)
	ip(t, "route del 10.10.0.0/16")
	ip(t, "link set port2 down") // takes all of them along, without a word
	w.agree()
}

func TestNeighbors(t *testing.T) {
	enterNetns(t)
	twoPorts(t)
	w := follow(t, Config{Refresh: 50 * time.Millisecond})
	ip(t, "route add 10.8.0.0/16 via 10.0.1.5")
	incomplete := "port1 10.0.1.5 x1 mtu 1500 incomplete"
	w.want("10.8.0.0/16", incomplete)
	w.want("10.0.1.5/32", "")
	ip(t, "neigh add 10.0.1.5 lladdr 02:00:00:00:01:05 dev port1 nud reachable")
	w.want("10.8.0.0/16", one("port1", "10.0.1.5", "02:00:00:00:01:05", mac1, "0800"))
	w.want("10.0.1.5/32", one("port1", "10.0.1.5", "02:00:00:00:01:05", mac1, "0800"))
	ip(t, "neigh replace 10.0.1.5 lladdr 02:00:00:00:01:06 dev port1 nud permanent")
	w.want("10.8.0.0/16", one("port1", "10.0.1.5", "02:00:00:00:01:06", mac1, "0800"))
	// A longer prefix between the subnet and the host hides the host.
	ip(t, "route add 10.0.1.4/30 via 10.0.2.2")
	w.want("10.0.1.5/32", "")
	w.agree()
	ip(t, "route del 10.0.1.4/30")
	w.want("10.0.1.5/32", one("port1", "10.0.1.5", "02:00:00:00:01:06", mac1, "0800"))
	ip(t, "neigh del 10.0.1.5 dev port1")
	w.want("10.8.0.0/16", incomplete)
	w.want("10.0.1.5/32", "")
	w.agree()
	// A stale one is asked for, does not answer here, and fails.
	for _, setting := range []string{"delay_first_probe_time=1", "ucast_solicit=1", "mcast_solicit=0", "retrans_time_ms=100"} {
		setNeighbor(t, "port1", setting)
	}
	ip(t, "neigh add 10.0.1.5 lladdr 02:00:00:00:01:05 dev port1 nud stale")
	w.want("10.8.0.0/16", one("port1", "10.0.1.5", "02:00:00:00:01:05", mac1, "0800"))
	w.want("10.8.0.0/16", incomplete)
	w.agree()
}

// A neighbor that packets of XDP go to stays reachable, though the kernel does not
// see the packets.
func TestNeighborInUseStaysReachable(t *testing.T) {
	enterNetns(t)
	twoPorts(t)
	far := exec.Command("unshare", "-n", "sleep", "60")
	if err := far.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Process.Kill(); _ = far.Wait() })
	inFar := fmt.Sprintf("nsenter -t %d -n ip ", far.Process.Pid)
	run := func(command string) error {
		args := strings.Fields(command)
		return exec.Command(args[0], args[1:]...).Run()
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		own, err1 := os.Readlink("/proc/thread-self/ns/net")
		its, err2 := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", far.Process.Pid))
		if err1 == nil && err2 == nil && own != its {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err1, err2)
		}
	}
	ip(t, fmt.Sprintf("link set peer1 netns %d", far.Process.Pid))
	for _, line := range []string{"link set peer1 address 02:00:00:00:01:05", "link set peer1 up", "addr add 10.0.1.5/24 dev peer1"} {
		if err := run(inFar + line); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	for _, setting := range []string{"delay_first_probe_time=1", "retrans_time_ms=100"} {
		setNeighbor(t, "port1", setting)
	}
	w := follow(t, Config{Refresh: 50 * time.Millisecond})
	ip(t, "route add 10.8.0.0/16 via 10.0.1.5")
	ip(t, "neigh replace 10.0.1.5 lladdr 02:00:00:00:01:05 dev port1 nud stale")
	w.want("10.8.0.0/16", one("port1", "10.0.1.5", "02:00:00:00:01:05", mac1, "0800"))
	w.eventually(func() string {
		if out := string(ip(t, "neigh show 10.0.1.5")); !strings.Contains(out, "REACHABLE") {
			return out
		}
		return ""
	})
	// It gets another MAC address without a word: the probe of the old one fails, packets go to the kernel again, and
	// the kernel finds the new one.
	if err := run(inFar + "link set peer1 address 02:00:00:00:01:07"); err != nil {
		t.Fatal(err)
	}
	ip(t, "neigh replace 10.0.1.5 lladdr 02:00:00:00:01:05 dev port1 nud stale")
	w.want("10.8.0.0/16", "port1 10.0.1.5 x1 mtu 1500 incomplete")
	punted, err := net.Dial("udp4", "10.0.1.5:9")
	if err != nil {
		t.Fatal(err)
	}
	defer punted.Close()
	if _, err := punted.Write([]byte("punted")); err != nil {
		t.Fatal(err)
	}
	w.want("10.8.0.0/16", one("port1", "10.0.1.5", "02:00:00:00:01:07", mac1, "0800"))
}

func TestLinks(t *testing.T) {
	enterNetns(t)
	twoPorts(t)
	w := follow(t, Config{})
	ip(t, "route add 10.8.0.0/16 via 10.0.1.2")
	ip(t, "route add 10.8.0.0/16 via 10.0.2.2 metric 10")
	via2 := one("port2", "10.0.2.2", far2, mac2, "0800")
	w.want("10.8.0.0/16", one("port1", "10.0.1.2", far1, mac1, "0800"))
	ip(t, "link set port1 mtu 1300")
	w.want("10.8.0.0/16", "port1 10.0.1.2 x1 mtu 1300 "+far1+"<"+mac1+" 0800")
	ip(t, "link set port1 address 02:00:00:00:00:0a")
	w.eventually(func() string { return difference(oracle(w), w.image()) })
	ip(t, "link set port1 down") // the kernel drops the route without a word
	w.want("10.8.0.0/16", via2)
	w.agree()
	ip(t, "link set port1 up")
	ip(t, "route add 10.8.0.0/16 via 10.0.1.2")
	w.agree()
	ip(t, "link set port1 down")
	ip(t, "link set port1 name other") // no port any more
	ip(t, "link set other up")
	ip(t, "route add 10.8.0.0/16 via 10.0.1.2")
	w.want("10.8.0.0/16", "punt 1")
	w.agree()
	ip(t, "link del other")
	w.want("10.8.0.0/16", via2)
	w.agree()
	ip(t, "link add port1 address "+mac1+" type veth peer name peer1")
	ip(t, "link set port1 up")
	ip(t, "link set peer1 up")
	ip(t, "addr add 10.0.1.1/24 dev port1")
	ip(t, "route add 10.8.0.0/16 via 10.0.1.2")
	w.want("10.8.0.0/16", "port1 10.0.1.2 x1 mtu 1500 incomplete")
	ip(t, "addr del 10.0.1.1/24 dev port1")
	w.agree()
	ip(t, "addr add 10.0.2.9/24 dev port2")
	ip(t, "route add 10.9.0.0/16 via 10.0.2.2 src 10.0.2.9")
	w.want("10.9.0.0/16", via2)
	ip(t, "addr del 10.0.2.9/24 dev port2") // drops the route without a word
	w.want("10.9.0.0/16", "")
}

func TestBridgePortsAreNoLinks(t *testing.T) {
	enterNetns(t)
	twoPorts(t)
	w := follow(t, Config{})
	ip(t, "link add br0 type bridge")
	ip(t, "link set peer1 master br0")
	ip(t, "link set br0 up")
	ip(t, "link set peer1 nomaster") // RTM_DELLINK of AF_BRIDGE
	ip(t, "link set port2 mtu 1400")
	w.agree()
	w.do(func(r *rib.RIB) {
		names := map[string]bool{}
		for l := range r.Links {
			names[l.Name] = true
		}
		if !names["peer1"] || !names["br0"] {
			t.Errorf("links: %v", names)
		}
	})
}

// randomChange is one line of iproute2 that may fail.
func randomChange(rnd *rand.Rand) string {
	n := 1 + rnd.IntN(2)
	prefix := fmt.Sprintf("10.%d.%d.0/%d", 8+rnd.IntN(4), 16*rnd.IntN(4), []int{16, 20, 24}[rnd.IntN(3)])
	gateway := fmt.Sprintf("10.0.%d.%d", n, 2+rnd.IntN(3))
	other := fmt.Sprintf("10.0.%d.%d", 3-n, 2+rnd.IntN(3))
	if rnd.IntN(2) == 0 {
		prefix = fmt.Sprintf("2001:db8:%x:%x::/%d", 8+rnd.IntN(4), 0x100*rnd.IntN(4), []int{48, 56, 64}[rnd.IntN(3)])
		gateway = fmt.Sprintf("2001:db8:%d::%d", n, 2+rnd.IntN(3))
		other = fmt.Sprintf("2001:db8:%d::%d", 3-n, 2+rnd.IntN(3))
	}
	prefix = netip.MustParsePrefix(prefix).Masked().String()
	metric := fmt.Sprintf(" metric %d", 100*(1+rnd.IntN(3)))
	switch rnd.IntN(12) {
	case 0, 1, 2:
		return "route add " + prefix + " via " + gateway + metric
	case 3, 4:
		return "route replace " + prefix + " via " + gateway + metric
	case 5:
		return fmt.Sprintf("route replace %s%s nexthop via %s weight %d nexthop via %s weight %d", prefix, metric, gateway, 1+rnd.IntN(4), other, 1+rnd.IntN(4))
	case 6:
		return "route add " + []string{"blackhole ", "unreachable ", "prohibit "}[rnd.IntN(3)] + prefix + metric
	case 7:
		return fmt.Sprintf("neigh replace %s lladdr 02:00:00:00:02:%02x dev port%d nud permanent", gateway, rnd.IntN(256), n)
	case 8:
		return fmt.Sprintf("neigh replace %s lladdr %s dev port%d nud failed", gateway, far1, n)
	default:
		return "route del " + prefix + metric
	}
}

func TestRandomChanges(t *testing.T) {
	enterNetns(t)
	twoPorts(t)
	w := follow(t, Config{})
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 20 {
		var lines []string
		for range 50 {
			lines = append(lines, randomChange(rnd))
		}
		ipBatch(t, lines)
		w.agree()
	}
	c, err := w.Counts(context.Background())
	if err != nil || c.Syncs != 1 || c.Undecodable != 0 {
		t.Errorf("%+v %v: want one synchronization: the rest by following", c, err)
	}
	w.do(func(r *rib.RIB) {
		if c := r.Counts(); c.Unmatched != 0 || c.Failed != 0 || c.NotInstalled != 0 {
			t.Errorf("%+v", c)
		}
	})
}

// held calls fn while the Follower does nothing.
func (w *world) held(fn func()) {
	stopped, resume := make(chan struct{}), make(chan struct{})
	go func() { _ = w.Do(context.Background(), func(*rib.RIB) { close(stopped); <-resume }) }()
	<-stopped
	defer close(resume)
	fn()
}

func TestOverrunIsRepaired(t *testing.T) {
	enterNetns(t)
	twoPorts(t)
	w := follow(t, Config{ReceiveBuffer: 1})
	rnd := rand.New(rand.NewPCG(1, 0))
	for range 5 {
		var lines []string
		for range 400 {
			lines = append(lines, randomChange(rnd))
		}
		w.held(func() { ipBatch(t, lines) })
	}
	w.agree()
	c, err := w.Counts(context.Background())
	if err != nil || c.Overruns == 0 || c.Syncs < 2 {
		t.Errorf("%+v %v: want overruns", c, err)
	}
}

// Reading all again and again does not disturb following.
func TestChangesDuringSynchronizations(t *testing.T) {
	enterNetns(t)
	twoPorts(t)
	w := follow(t, Config{})
	stop := w.rereading()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 5 {
		var lines []string
		for range 400 {
			lines = append(lines, randomChange(rnd))
		}
		ipBatch(t, lines)
	}
	stop()
	w.agree()
	if c, err := w.Counts(context.Background()); err != nil || c.Syncs < 10 || c.Failed > c.Syncs {
		t.Errorf("%+v %v", c, err)
	}
}

// What arrives during a dump is taken behind it, links and neighbors only behind
// their own; routes at once, too, until a next-hop object goes.
func TestHold(t *testing.T) {
	f := &Follower{
		config: Config{Log: slog.New(slog.DiscardHandler)}, arrived: make(chan arrival, 8), timer: time.NewTimer(time.Hour),
		rib: rib.New(newImage(t, 1<<20), rib.Options{Ports: &testPorts{}, Reasons: testReasons}),
	}
	payload := appendRoute(nil, netip.MustParsePrefix("10.0.0.0/8"), 7, false)[unix.SizeofNlMsghdr:]
	link := append([]byte{0, 0, 1, 0, 5, 0, 0, 0}, make([]byte, 8)...)
	send := func() {
		f.arrived <- arrival{events: []kernel.Event{{Type: unix.RTM_NEWROUTE, Payload: payload}, {Type: unix.RTM_NEWLINK, Payload: link}}}
	}
	has := func(route, aLink bool) {
		t.Helper()
		_, gotLink := f.rib.Link(5)
		gotRoute := len(f.rib.Keys(nil)) > 0
		if gotRoute != route || gotLink != aLink {
			t.Errorf("route %v, link %v; want %v, %v", gotRoute, gotLink, route, aLink)
		}
	}
	f.rib.BeginSync()
	f.retakes = map[rib.Key]*retake{}
	send()
	f.hold()
	has(false, false)
	if err := f.releaseOthers(); err != nil {
		t.Fatal(err)
	}
	has(true, true)
	if len(f.retakes) != 1 || len(f.held) != 0 {
		t.Errorf("%d prefixes have changed, %d changes are held: want 1, 0", len(f.retakes), len(f.held))
	}
	f.takeDumpedRoute(payload) // maybe older: it waits
	if m := f.retakes[rib.KeyOf(0, netip.MustParsePrefix("10.0.0.0/8"))]; m == nil || len(m.dumped) != 1 || len(m.changes) != 1 {
		t.Errorf("of the prefix is known %+v, want a dumped route and a change", m)
	}
	f.arrived <- arrival{events: []kernel.Event{{Type: unix.RTM_DELNEXTHOP}, {Type: unix.RTM_DELROUTE, Payload: payload}}}
	f.holdRoutes()
	has(true, true)
	if len(f.held) != 2 {
		t.Errorf("%d changes are held behind the end of a next-hop object, want 2", len(f.held))
	}
	f.retake()
	f.rib.EndSync()
	has(true, true)
	f.held = f.held[1:]
	f.release()
	has(false, true)
}

// A second Follower on the image of the first finds it as it should be.
func TestRestartKeepsTheImage(t *testing.T) {
	enterNetns(t)
	twoPorts(t)
	image := newImage(t, 1<<20)
	w := follow(t, Config{Image: image})
	rnd := rand.New(rand.NewPCG(2, 0))
	var lines []string
	for range 300 {
		lines = append(lines, randomChange(rnd))
	}
	ipBatch(t, lines)
	w.agree()
	before := groupsOf(w)
	w.stop()
	ip(t, "route add 10.99.0.0/16 via 10.0.1.2")
	w = follow(t, Config{Image: image})
	w.agree()
	after := groupsOf(w)
	for p, g := range before {
		if after[p] != g {
			t.Errorf("%s: group %d before, %d after the restart", p, g, after[p])
		}
	}
	w.do(func(r *rib.RIB) {
		groups, adjacencies := 0, 0
		for range image.Groups() {
			groups++
		}
		for range image.Adjacencies() {
			adjacencies++
		}
		if c := r.Counts(); c.Groups != groups || c.Adjacencies != adjacencies {
			t.Errorf("image has %d groups and %d adjacencies, of which are known: %+v", groups, adjacencies, c)
		}
	})
}

func groupsOf(w *world) map[string]uint32 {
	groups := map[string]uint32{}
	w.do(func(r *rib.RIB) {
		table, err := r.Image().Table(0)
		if err != nil {
			w.Fatal(err)
		}
		for p, g := range table.All() {
			groups[p.String()] = uint32(g)
		}
	})
	return groups
}
