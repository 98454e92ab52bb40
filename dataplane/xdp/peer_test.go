package xdp_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/dataplane"
	"weft/dataplane/xdp"
)

// namedNetns makes a network namespace with a name, as ip-netns(8) does.
func namedNetns(t testing.TB) (name string) {
	t.Helper()
	name = fmt.Sprintf("weft-peer%d-%d", os.Getpid(), time.Now().UnixNano()%1e6)
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "del", name).Run() })
	return name
}

// sleeper starts a process in a network namespace of its own.
func sleeper(t testing.TB) (netns string) {
	t.Helper()
	c := exec.Command("sleep", "60")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	return fmt.Sprintf("/proc/%d/ns/net", c.Process.Pid)
}

// hidden makes a network namespace that no name and no process stands for: a thread does.
func hidden(t testing.TB) (netns string) {
	t.Helper()
	made, end := make(chan string), make(chan struct{})
	go func() {
		runtime.LockOSThread() // the thread ends with its namespace
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			made <- ""
			return
		}
		made <- fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
		<-end
	}()
	netns = <-made
	if netns == "" {
		t.Fatal("cannot make a network namespace")
	}
	t.Cleanup(func() { close(end) })
	return netns
}

// move takes an interface to a network namespace, up there.
func move(t testing.TB, name, netns string) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(netns)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := netlink.LinkSetNsFd(l, int(f.Fd())); err != nil {
		t.Fatal(err)
	}
	nsenter(t, netns, "ip", "link", "set", name, "up")
	nsenter(t, netns, "ethtool", "-K", name, "gro", "off")
	nsenter(t, netns, "ethtool", "-K", name, "gro", "on")
}

func nsenter(t testing.TB, netns string, argv ...string) {
	t.Helper()
	if out, err := exec.Command("nsenter", append([]string{"--net=" + netns}, argv...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v in %s: %v: %s", argv, netns, err, out)
	}
}

// wantPartial checks what the engine says of portIn and does with a packet whose
// checksum was left.
func (r *router) wantPartial(t testing.TB, partial bool, why string) {
	t.Helper()
	for _, p := range r.Ports() {
		if p.Number != portIn {
			continue
		}
		if p.Partial != partial || !strings.Contains(p.IngressReason, why) || (p.IngressReason != "") != partial {
			t.Errorf("port %+v: want partial %v, because %q", p, partial, why)
		}
	}
	want := dataplane.Forwarded
	if partial {
		want = dataplane.ChecksumPartial
	}
	if got, err := r.Run(toUs(ethIPv4, ipv4(host4, "10.0.0.1", 64, leftToHardware)), portIn); err != nil || got.Reason != want {
		t.Errorf("packet ends for %s (%v), want %s", got.Reason, err, want)
	}
}

func (r *router) mustCheck(t testing.TB) {
	t.Helper()
	if err := r.Check(); err != nil {
		t.Fatal(err)
	}
}

const turnOff = "'ethtool -K in-peer tx off'"

func TestPeers(t *testing.T) {
	for name, netns := range map[string]func() string{
		"same namespace":   func() string { return "" },
		"named namespace":  func() string { return "/run/netns/" + namedNetns(t) },
		"process's":        func() string { return sleeper(t) },
		"another thread's": func() string { return hidden(t) },
	} {
		t.Log(name)
		r := newRouter(t, xdp.Options{Ports: 16})
		fillTable(t, r)
		path := netns()
		if err := r.RemovePort(portIn); err != nil {
			t.Fatal(err)
		}
		set := func(value string) {
			t.Helper()
			if path != "" {
				nsenter(t, path, "ethtool", "-K", "in-peer", "tx", value)
			} else {
				setTX(t, "in-peer", value == "on")
			}
		}
		if path != "" {
			move(t, "in-peer", path)
		}
		attach := func() {
			t.Helper()
			if err := r.SetPort(port(portIn, r.port[portIn], 0, true)); err != nil {
				t.Fatal(err)
			}
		}
		if name == "another thread's" {
			set("off")
			attach()
			r.wantPartial(t, true, "not to be found")
			continue
		}
		attach()
		r.wantPartial(t, true, turnOff)
		for range 2 {
			set("off")
			r.mustCheck(t)
			r.wantPartial(t, false, "")
			set("on")
			r.mustCheck(t)
			r.wantPartial(t, true, turnOff)
		}
		set("off")
		if err := r.RemovePort(portIn); err != nil {
			t.Fatal(err)
		}
		attach()
		r.wantPartial(t, false, "")
	}
}

// TestPeerMoves takes a peer elsewhere while its port is attached, and its
// namespace away with it.
func TestPeerMoves(t *testing.T) {
	r := newRouter(t, xdp.Options{Ports: 16})
	fillTable(t, r)
	setTX(t, "in-peer", false)
	r.mustCheck(t)
	r.wantPartial(t, false, "")
	name := namedNetns(t)
	move(t, "in-peer", "/run/netns/"+name)
	nsenter(t, "/run/netns/"+name, "ip", "link", "set", "in-peer", "name", "eth0")
	status := func() dataplane.PortStatus { r.mustCheck(t); return r.Ports()[portIn-1] }
	for end := time.Now().Add(5 * time.Second); status().Partial; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the peer is not found: %s", r.Ports()[portIn-1].IngressReason)
		}
	}
	r.wantPartial(t, false, "")
	nsenter(t, "/run/netns/"+name, "ethtool", "-K", "eth0", "tx", "on")
	r.mustCheck(t)
	r.wantPartial(t, true, "'ethtool -K eth0 tx off'")
	if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := netlink.LinkByIndex(r.port[portIn]); err != nil {
			break
		}
		r.Check()
		if time.Now().After(end) {
			t.Fatal("the namespace is deleted, and its interfaces are still there")
		}
	}
}

// TestPartialOnlyWhereLeft has one port whose host leaves checksums, in a program
// made for that: other ports' packets go on.
func TestPartialOnlyWhereLeft(t *testing.T) {
	r := newRouter(t, xdp.Options{Ports: 16})
	fillTable(t, r)
	setTX(t, "in-peer", false)
	r.mustCheck(t)
	in := toUs(ethIPv4, ipv4(host4, "10.7.0.1", 64, leftToHardware))
	if got, err := r.Run(in, portVRF); err != nil || got.Reason != dataplane.ChecksumPartial {
		t.Errorf("%s, %v", got.Reason, err)
	}
	r.wantPartial(t, false, "")
	r.addVLANs(t)
	in = withTags(toUs(ethIPv4, ipv4(host4, "10.0.0.1", 64, leftToHardware)), tag(0x8100, 100))
	if got, err := r.Run(in, portIn); err != nil || got.Reason != dataplane.Forwarded {
		t.Errorf("in a VLAN: %s, %v", got.Reason, err)
	}
	setTX(t, "in-peer", true)
	r.mustCheck(t)
	if got, err := r.Run(in, portIn); err != nil || got.Reason != dataplane.ChecksumPartial || got.Ingress != vlanC {
		t.Errorf("in a VLAN: %s by port %d, %v", got.Reason, got.Ingress, err)
	}
}

// TestPartialModes has no need of it in mode tc, and finds it again in pins.
func TestPartialModes(t *testing.T) {
	r := tcRouter(t, xdp.Options{Ports: 16})
	for _, p := range r.Ports() {
		if p.Partial || p.IngressReason != "" {
			t.Errorf("port %+v", p)
		}
	}
	dir := pinRoot(t) + "/engine"
	r = newRouter(t, xdp.Options{Ports: 16, Dir: dir})
	fillTable(t, r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for _, partial := range []bool{true, false, true} {
		setTX(t, "in-peer", partial)
		e, im, err := xdp.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		r.Engine = e
		why := ""
		if partial {
			why = turnOff
		}
		r.wantPartial(t, partial, why)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		im.Close()
	}
}
