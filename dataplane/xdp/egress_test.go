package xdp_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/dataplane"
	"weft/dataplane/xdp"
)

// forwardInKernel makes Linux forward as the engine does, so that what punts
// comes out as well.
func (r *router) forwardInKernel(t testing.TB) {
	t.Helper()
	for _, sysctl := range []string{"ip_forward", "conf/in/forwarding", "conf/out/forwarding"} {
		if err := os.WriteFile("/proc/sys/net/ipv4/"+sysctl, []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
	}
	for n, mac := range map[int]dataplane.MAC{portIn: ourMAC, portOut: outMAC} {
		l, err := netlink.LinkByIndex(r.port[n])
		if err == nil {
			err = netlink.LinkSetHardwareAddr(l, mac[:])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	_, dst, _ := net.ParseCIDR("10.0.0.0/16")
	err := netlink.RouteAdd(&netlink.Route{LinkIndex: r.port[portOut], Dst: dst, Scope: netlink.SCOPE_LINK})
	if err == nil {
		err = netlink.NeighAdd(&netlink.Neigh{
			LinkIndex: r.port[portOut], State: netlink.NUD_PERMANENT, IP: net.IPv4(10, 0, 0, 1), HardwareAddr: nextMAC[:],
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// await checks the engine until a port's egress is as wanted.
func (r *router) await(t testing.TB, number int, want dataplane.Egress) dataplane.PortStatus {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if err := r.Check(); err != nil {
			t.Fatal(err)
		}
		p := r.Ports()[number-1]
		if p.Egress == want {
			return p
		}
		if time.Now().After(end) {
			t.Fatalf("egress of port %d is %s (%s), want %s", number, p.Egress, p.EgressReason, want)
		}
	}
}

// received counts the frames to nextMAC that a socket gets until none comes any more.
func received(t testing.TB, fd int) (frames int) {
	t.Helper()
	wait := unix.Timeval{Usec: 100_000}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2048)
	for {
		n, err := unix.Read(fd, b)
		if errors.Is(err, unix.EAGAIN) {
			return frames
		}
		if err != nil {
			t.Fatal(err)
		}
		if n >= 6 && bytes.Equal(b[:6], nextMAC[:]) {
			frames++
		}
	}
}

// isNoNAPI is the errno of a veth whose peer has neither NAPI nor a program: of its
// driver, or of newer kernels before they come to that.
func isNoNAPI(errno syscall.Errno) bool { return errno == unix.ENXIO || errno == unix.EOPNOTSUPP }

// TestEgressWithoutNAPI has a port whose peer drops what is redirected to it:
// the kernel forwards, until the peer takes frames.
func TestEgressWithoutNAPI(t *testing.T) {
	r := newRouter(t, xdp.Options{Ports: 16})
	fillTable(t, r)
	r.forwardInKernel(t)
	if err := r.RemovePort(portOut); err != nil {
		t.Fatal(err)
	}
	setGRO(t, "out-peer", false)
	if err := r.SetPort(port(portOut, r.port[portOut], 0, true)); err != nil {
		t.Fatal(err)
	}
	p := r.Ports()[portOut-1]
	if p.Egress != dataplane.KernelEgress || !strings.Contains(p.EgressReason, "ethtool -K out-peer gro on") {
		t.Errorf("egress %q (%s), want kernel, and the remedy", p.Egress, p.EgressReason)
	}
	if p.EgressLost != 0 {
		t.Errorf("%d frames lost before there was traffic: the probe is none", p.EgressLost)
	}
	tx, rx := socket(t, r.in[portIn]), socket(t, r.in[portOut])
	const count = 200
	pass := func(first uint32) {
		t.Helper()
		for n := range uint32(count) {
			in := numbered(first+n, 4)
			send(t, tx, in)
			if got, want := receive(t, rx), forwarded(in); !bytes.Equal(got, want) {
				t.Fatalf("frame %d:\n%x, want\n%x", n, got, want)
			}
		}
	}
	pass(0)
	if c := settle(r.Engine, portIn, count); c[dataplane.ErifDisabled].Packets != count || c.Received().Packets != count {
		t.Errorf("counters%s, want erif_disabled=%d", nonzero(c), count)
	}
	setGRO(t, "out-peer", true)
	if p := r.await(t, portOut, dataplane.NativeEgress); p.EgressLost != 0 || p.EgressReason != "" {
		t.Errorf("port %+v, want nothing lost and no reason", p)
	}
	pass(count)
	if c := settle(r.Engine, portIn, 2*count); c[dataplane.Forwarded].Packets != count || c.Received().Packets != 2*count {
		t.Errorf("counters%s, want forwarded=%d", nonzero(c), count)
	}
}

// TestEgressLost takes NAPI from a port's peer under traffic.
func TestEgressLost(t *testing.T) {
	r := newRouter(t, xdp.Options{Ports: 16})
	fillTable(t, r)
	r.forwardInKernel(t)
	tx, rx := socket(t, r.in[portIn]), socket(t, r.in[portOut])
	const each = 2000
	sent := 0
	pass := func() {
		t.Helper()
		for range each {
			send(t, tx, numbered(uint32(sent), 4))
			sent++
		}
		settle(r.Engine, portIn, uint64(sent))
	}
	pass()
	stop, sending := make(chan struct{}), make(chan error)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				sending <- nil
				return
			default:
			}
			if _, err := unix.Write(tx, numbered(uint32(n), 4)); err != nil {
				sending <- err
				return
			}
			sent++
		}
	}()
	time.Sleep(20 * time.Millisecond)
	setGRO(t, "out-peer", false)
	time.Sleep(20 * time.Millisecond)
	p := r.await(t, portOut, dataplane.KernelEgress)
	time.Sleep(20 * time.Millisecond)
	close(stop)
	if err := <-sending; err != nil {
		t.Fatal(err)
	}
	settle(r.Engine, portIn, uint64(sent))
	lost := r.Ports()[portOut-1].EgressLost
	if lost == 0 || !isNoNAPI(p.EgressErrno) {
		t.Errorf("%d frames lost, errno %v; want some, ENXIO or EOPNOTSUPP", lost, p.EgressErrno)
	}
	if got := received(t, rx); got+int(lost) != sent {
		t.Errorf("received %d of %d, lost %d", got, sent, lost)
	}
	pass() // the kernel's
	if got := received(t, rx); got != each || r.Ports()[portOut-1].EgressLost != lost {
		t.Errorf("received %d of %d by the kernel's way, lost %d more", got, each, r.Ports()[portOut-1].EgressLost-lost)
	}
	setGRO(t, "out-peer", true)
	if p := r.await(t, portOut, dataplane.NativeEgress); p.EgressLost != lost {
		t.Errorf("%d frames lost, want still %d", p.EgressLost, lost)
	}
	pass()
	if got := received(t, rx); got != each {
		t.Errorf("received %d of %d once it is native again", got, each)
	}
	c := r.Counters(portIn)
	if c[dataplane.Forwarded].Packets+c[dataplane.ErifDisabled].Packets != uint64(sent) || c.Received().Packets != uint64(sent) {
		t.Errorf("counters%s, want %d forwarded and erif_disabled", nonzero(c), sent)
	}
}

// TestEgressTooLong sends frames that are longer than the port takes: they are
// counted, and the port stays open for others.
func TestEgressTooLong(t *testing.T) {
	r := newRouter(t, xdp.Options{Ports: 16})
	fillTable(t, r)
	for _, ifindex := range []int{r.port[portIn], r.in[portIn]} {
		l, err := netlink.LinkByIndex(ifindex)
		if err == nil {
			err = netlink.LinkSetMTU(l, 2000)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r.route(t, 0, via(r.add(t, adjacency(portOut, 2000))), "10.0.0.1/32")
	tx, rx := socket(t, r.in[portIn]), socket(t, r.in[portOut])
	long := toUs(ethIPv4, pad(ipv4(host4, "10.0.0.1", 64, sized(1600)), 1600-20-len(payload)))
	for range 3 {
		send(t, tx, long)
	}
	settle(r.Engine, portIn, 3)
	if err := r.Check(); err != nil {
		t.Fatal(err)
	}
	p := r.Ports()[portOut-1]
	if p.Egress != dataplane.NativeEgress || p.EgressLost != 3 || p.EgressErrno != unix.EMSGSIZE {
		t.Errorf("egress %s, %d lost, errno %v; want native, 3, EMSGSIZE", p.Egress, p.EgressLost, p.EgressErrno)
	}
	in := numbered(1, 4)
	send(t, tx, in)
	if got, want := receive(t, rx), forwarded(in); !bytes.Equal(got, want) {
		t.Errorf("frame\n%x, want\n%x", got, want)
	}
}

// TestEgressWithoutTracepoints is on a kernel that does not tell of lost frames.
func TestEgressWithoutTracepoints(t *testing.T) {
	defer xdp.WithoutTracepoints()()
	r := newRouter(t, xdp.Options{Ports: 16, Dir: filepath.Join(pinRoot(t), "engine")})
	if err := r.Watch(); !errors.Is(err, unix.ENOENT) {
		t.Errorf("Watch: %v, want the reason why there is none", err)
	}
	with, _ := veth(t, "with", "with-peer")
	without, _ := veth(t, "without", "without-peer")
	setGRO(t, "with-peer", true)
	for n, ifindex := range map[uint32]int{8: with, 9: without} {
		if err := r.SetPort(port(n, ifindex, 0, true)); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range r.Ports() {
		want := dataplane.NativeEgress
		if p.Number == 9 {
			want = dataplane.KernelEgress
		}
		if p.Egress != want {
			t.Errorf("egress of port %d is %s (%s), want %s", p.Number, p.Egress, p.EgressReason, want)
		}
	}
}

// TestEgressAdopted loses frames while nobody is home.
func TestEgressAdopted(t *testing.T) {
	dir := filepath.Join(pinRoot(t), "engine")
	r := newRouter(t, xdp.Options{Ports: 16, Dir: dir})
	fillTable(t, r)
	r.forwardInKernel(t)
	tx, rx := socket(t, r.in[portIn]), socket(t, r.in[portOut])
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	setGRO(t, "out-peer", false)
	for n := range uint32(3) {
		send(t, tx, numbered(n, 4))
	}
	time.Sleep(50 * time.Millisecond) // nobody is there to ask whether they are through
	open := func() {
		t.Helper()
		e, im, err := xdp.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Stop(); im.Close() })
		r.Engine = e
	}
	open()
	p := r.await(t, portOut, dataplane.KernelEgress)
	if p.EgressLost != 3 || !isNoNAPI(p.EgressErrno) {
		t.Errorf("%d lost, errno %v; want 3, ENXIO or EOPNOTSUPP", p.EgressLost, p.EgressErrno)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	open()
	if p = r.Ports()[portOut-1]; p.Egress != dataplane.KernelEgress || p.EgressReason == "" {
		t.Errorf("adopted port has egress %s (%s), want kernel", p.Egress, p.EgressReason)
	}
	p = r.await(t, portOut, dataplane.KernelEgress)
	if !strings.Contains(p.EgressReason, "gro on") {
		t.Errorf("adopted port has egress %s (%s), want kernel", p.Egress, p.EgressReason)
	}
	in := numbered(9, 4)
	send(t, tx, in)
	if got, want := receive(t, rx), forwarded(in); !bytes.Equal(got, want) {
		t.Errorf("frame\n%x, want\n%x", got, want)
	}
	setGRO(t, "out-peer", true)
	r.await(t, portOut, dataplane.NativeEgress)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), "_next") {
			t.Errorf("pin %s is left", e.Name())
		}
	}
}

// TestEgressElsewhere loses frames in another engine's namespace: they are not
// ours, although its interfaces have the same numbers.
func TestEgressElsewhere(t *testing.T) {
	r := newRouter(t, xdp.Options{Ports: 16})
	fillTable(t, r)
	done := make(chan error)
	go func() {
		done <- func() error {
			// The thread is thrown away with its namespace: it stays locked.
			other := newRouter(t, xdp.Options{Ports: 16})
			fillTable(t, other)
			if other.port != r.port {
				return fmt.Errorf("interfaces %v, want %v", other.port, r.port)
			}
			setGRO(t, "out-peer", false)
			tx := socket(t, other.in[portIn])
			send(t, tx, numbered(1, 4))
			settle(other.Engine, portIn, 1)
			if p := other.Ports()[portOut-1]; p.EgressLost != 1 {
				return fmt.Errorf("%d lost there, want 1", p.EgressLost)
			}
			return nil
		}()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if p := r.Ports()[portOut-1]; p.EgressLost != 0 {
		t.Errorf("%d lost here, want 0", p.EgressLost)
	}
}

// TestEgressRemedy has a peer whose GRO was switched on while it was down. What
// EgressReason says is what helps: on alone does not.
func TestEgressRemedy(t *testing.T) {
	r := newRouter(t, xdp.Options{Ports: 16})
	if err := r.RemovePort(portOut); err != nil {
		t.Fatal(err)
	}
	setGRO(t, "out-peer", false)
	peer, err := netlink.LinkByName("out-peer")
	if err == nil {
		err = netlink.LinkSetDown(peer)
	}
	if err != nil {
		t.Fatal(err)
	}
	setGRO(t, "out-peer", true)
	if err := netlink.LinkSetUp(peer); err != nil {
		t.Fatal(err)
	}
	if err := r.SetPort(port(portOut, r.port[portOut], 0, true)); err != nil {
		t.Fatal(err)
	}
	if p := r.Ports()[portOut-1]; p.Egress == dataplane.NativeEgress {
		t.Skip("this kernel tells the other end")
	} else if !strings.Contains(p.EgressReason, "ethtool -K out-peer gro off && ethtool -K out-peer gro on") {
		t.Errorf("remedy: %s", p.EgressReason)
	}
	setGRO(t, "out-peer", true)
	time.Sleep(1100 * time.Millisecond) // until it is tried again
	r.mustCheck(t)
	if p := r.Ports()[portOut-1]; p.Egress != dataplane.KernelEgress {
		t.Errorf("GRO on is enough: egress is %s", p.Egress)
	}
	setGRO(t, "out-peer", false)
	setGRO(t, "out-peer", true)
	r.await(t, portOut, dataplane.NativeEgress)
}
