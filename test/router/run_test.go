package router

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// lab is two hosts, left and right, with a router between them.
type lab struct {
	testing.TB
	prefix string
}

func (l *lab) ns(name string) string { return l.prefix + name }

// sh runs a command and fails the test if it does.
func (l *lab) sh(args ...string) {
	l.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		l.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (l *lab) ip(ns, line string) {
	l.Helper()
	l.sh(append([]string{"ip", "-n", l.ns(ns)}, strings.Fields(line)...)...)
}

func newLab(t testing.TB) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("this test makes network namespaces: CI must run it as root")
		}
		t.Skip("this test makes network namespaces: run it as root")
	}
	l := &lab{t, fmt.Sprintf("weft-test-%d-", os.Getpid())}
	for _, name := range []string{"left", "router", "right"} {
		l.sh("ip", "netns", "add", l.ns(name))
		t.Cleanup(func() { exec.Command("ip", "netns", "del", l.ns(name)).Run() })
	}
	for i, host := range []string{"left", "right"} {
		port := "to-" + host
		l.sh("ip", "link", "add", port, "netns", l.ns("router"), "type", "veth", "peer", "eth0", "netns", l.ns(host))
		l.ip("router", fmt.Sprintf("addr add 192.0.2.%d/25 dev %s", i*128+1, port))
		l.ip("router", fmt.Sprintf("addr add 2001:db8:%d::1/64 dev %s nodad", i, port))
		l.ip(host, fmt.Sprintf("addr add 192.0.2.%d/25 dev eth0", i*128+2))
		l.ip(host, fmt.Sprintf("addr add 2001:db8:%d::2/64 dev eth0 nodad", i))
		l.ip("router", "link set "+port+" up")
		l.ip(host, "link set eth0 up")
		l.ip(host, fmt.Sprintf("route add default via 192.0.2.%d", i*128+1))
		l.ip(host, fmt.Sprintf("-6 route add default via 2001:db8:%d::1", i))
		// Without NAPI a veth drops what is redirected into its peer. A checksum that is
		// left for hardware to fill in is never filled in on a way through XDP.
		l.sh("ip", "netns", "exec", l.ns(host), "ethtool", "-K", "eth0", "gro", "on", "tx", "off")
	}
	for _, s := range []string{"net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"} {
		l.sh("ip", "netns", "exec", l.ns("router"), "sysctl", "-q", "-w", s)
	}
	return l
}

// in runs f on a thread in a namespace.
func (l *lab) in(ns string, f func() error) {
	l.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		h, err := netns.GetFromName(l.ns(ns))
		if err == nil {
			defer h.Close()
			if err = netns.Set(h); err == nil {
				err = f()
			}
		}
		done <- err
	}()
	if err := <-done; err != nil {
		l.Fatal(err)
	}
}

// exchange sends n datagrams from left to right and returns the TTLs that they
// arrive with.
func (l *lab) exchange(to string, n int) (ttls []int) {
	l.Helper()
	addr := netip.MustParseAddr(to)
	var conn *net.UDPConn
	l.in("right", func() (err error) {
		conn, err = net.ListenUDP("udp", &net.UDPAddr{IP: addr.AsSlice(), Port: 9999})
		if err != nil {
			return err
		}
		raw, err := conn.SyscallConn()
		if err != nil {
			return err
		}
		var set error
		err = raw.Control(func(fd uintptr) {
			// What is sent is read afterwards: all of it must fit.
			if set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); set != nil {
				return
			}
			if addr.Is4() {
				set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVTTL, 1)
			} else {
				set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1)
			}
		})
		if err == nil {
			err = set
		}
		return err
	})
	defer conn.Close()
	l.in("left", func() error {
		c, err := net.Dial("udp", netip.AddrPortFrom(addr, 9999).String())
		if err != nil {
			return err
		}
		defer c.Close()
		for i := range n {
			if _, err := fmt.Fprintf(c, "datagram %06d", i); err != nil {
				return err
			}
		}
		return nil
	})
	buf, oob := make([]byte, 2000), make([]byte, 200)
	for i := range n {
		if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			l.Fatal(err)
		}
		size, oobn, _, _, err := conn.ReadMsgUDP(buf, oob)
		if err != nil {
			l.Fatalf("datagram %d of %d to %s: %v", i, n, to, err)
		}
		if want := fmt.Sprintf("datagram %06d", i); string(buf[:size]) != want {
			l.Fatalf("got %q, want %q", buf[:size], want)
		}
		messages, err := syscall.ParseSocketControlMessage(oob[:oobn])
		if err != nil || len(messages) != 1 {
			l.Fatalf("control messages: %v, %v", messages, err)
		}
		ttls = append(ttls, int(messages[0].Data[0]))
	}
	return ttls
}

type portReport struct {
	Device string            `json:"dev"`
	Mode   string            `json:"mode"`
	Total  map[string]uint64 `json:"packets"`
}

// output collects what a process writes while the test reads it.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// ports returns the last complete report.
func (o *output) ports(t testing.TB) (ports []portReport) {
	t.Helper()
	lines := strings.Split(o.String(), "\n")
	if len(lines) < 2 {
		return nil
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-2]), &ports); err != nil {
		t.Fatal(err)
	}
	return ports
}

// forwarded returns how many packets from a port have gone through XDP.
func (o *output) forwarded(t testing.TB, device string) uint64 {
	t.Helper()
	for _, p := range o.ports(t) {
		if p.Device == device {
			return p.Total["forwarded"]
		}
	}
	return 0
}

// until waits for something to become true.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 30 s still not: %s", what)
		}
	}
}

func TestRun(t *testing.T) {
	l := newLab(t)
	binary := filepath.Join(t.TempDir(), "weft")
	l.sh("go", "build", "-o", binary, "weft/cmd/weft")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	weft := exec.CommandContext(ctx, "ip", "netns", "exec", l.ns("router"), binary, "run", "-json", "-interval", "100ms")
	var stdout, stderr output
	weft.Stdout, weft.Stderr = &stdout, &stderr
	if err := weft.Start(); err != nil {
		t.Fatal(err)
	}
	defer weft.Process.Kill()
	attached := func() int {
		out, err := exec.Command("ip", "-n", l.ns("router"), "link").Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(out), "prog/xdp")
	}
	until(t, "weft forwards by two ports", func() bool { return len(stdout.ports(t)) == 2 })

	const n = 500
	for _, to := range []string{"192.0.2.130", "2001:db8:1::2"} {
		// The first datagrams go by way of the kernel, which finds the neighbor.
		before := stdout.forwarded(t, "to-left")
		until(t, "datagrams to "+to+" go through XDP", func() bool {
			l.exchange(to, 1)
			return stdout.forwarded(t, "to-left") > before
		})
		time.Sleep(time.Second) // a report has all of them
		before = stdout.forwarded(t, "to-left")
		for i, ttl := range l.exchange(to, n) {
			if ttl != 63 {
				t.Fatalf("datagram %d to %s came with TTL %d, want 63", i, to, ttl)
			}
		}
		time.Sleep(time.Second)
		// Neighbor discovery between the hosts and the router is not forwarded.
		if got := stdout.forwarded(t, "to-left") - before; got != n {
			t.Errorf("%d packets to %s were forwarded in XDP, want %d", got, to, n)
		}
	}
	for _, p := range stdout.ports(t) {
		if p.Mode != "native" {
			t.Errorf("%s is %s", p.Device, p.Mode)
		}
	}

	if got := attached(); got != 2 {
		t.Errorf("%d programs are attached, want 2", got)
	}
	if err := weft.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := weft.Wait(); err != nil {
		t.Fatalf("weft ended with %v\n%s", err, stderr.String())
	}
	if got := attached(); got != 0 {
		t.Errorf("%d programs are still attached", got)
	}
}
