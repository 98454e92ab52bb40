package peer

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/cilium/ebpf/rlimit"

	"weft/test/root"
	"weft/test/traffic"
)

// What the kernel must not forward beside is in a router of its own, whose kernel does not forward; others stay.
func TestOf(t *testing.T) {
	root.Require(t)
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // not unlocked: the thread ends with the test
	n, err := New(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closeNetwork(t, n)
	bare, err := n.Of("testpmd_af_packet")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := n.Of("testpmd_af_xdp"); err != nil || again != bare || bare == n {
		t.Errorf("of one kind there are two networks: %v", err)
	}
	if same, err := n.Of("linux"); err != nil || same != n {
		t.Errorf("linux is in another network: %v", err)
	}
	for _, at := range []struct {
		n    *Network
		want string
	}{{n, "1"}, {bare, "0"}} {
		err := at.n.InRouter(func() error {
			for _, path := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"} {
				if text, err := os.ReadFile(path); err != nil || strings.TrimSpace(string(text)) != at.want {
					t.Errorf("%s is %q, want %s: %v", path, text, at.want, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	for name, at := range map[string]*Network{"testpmd_af_packet": n, "linux": bare, "weft_xdp+ecmp2": n} {
		if _, err := at.Attach(name); err == nil || !strings.Contains(err.Error(), "see Of") {
			t.Errorf("%s: %v", name, err)
		}
	}
	g, err := bare.Generator(stream("ipv4", One().Destinations(false, 16, nil), 64))
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if o, err := bare.Trial(t.Context(), g, traffic.Load{Packets: 100}); err != nil || o.Sent.Packets != 100 || o.Got.Packets != 0 {
		t.Errorf("the kernel has forwarded %d of %d packets: %v", o.Got.Packets, o.Sent.Packets, err)
	}
}

// Routers in a row each take one from the TTL, and each next hop of a wide route has its MAC.
func TestRoutersAndWidth(t *testing.T) {
	root.Require(t)
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // not unlocked: the thread ends with the test
	for what, o := range map[string]Options{
		"three routers": {Routers: 3, Sink: traffic.SinkOptions{Check: true, TTL: 61, MAC: hopMAC(1)}},
		"256 next hops": {Width: 256, Sink: traffic.SinkOptions{Check: true, TTL: 63, MAC: hopMAC(256)}},
	} {
		n, err := New(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		for _, system := range []string{"linux", "weft_xdp"} {
			const sent = 1 << 14 // a flow each
			g, err := n.Generator(stream("ipv4", One().Destinations(false, 1024, nil), 64))
			if err != nil {
				t.Fatal(err)
			}
			got, err := n.Forward(t.Context(), system, g, 0, sent)
			g.Close()
			if err != nil || got.Packets != sent || got.WrongTTL+got.Corrupt+got.Repeated != 0 {
				t.Errorf("%s, %s: %+v: %v", what, system, got, err)
			}
			right := sent - got.WrongMAC // 1 of 256, with next hops
			if o.Width == 0 && right != sent || o.Width > 0 && (right == 0 || right > sent/64) {
				t.Errorf("%s, %s: %d of %d packets to %x", what, system, right, sent, o.Sink.MAC)
			}
		}
		closeNetwork(t, n)
	}
}
