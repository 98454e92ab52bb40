package model

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/dataplane"
	"weft/test/lab"
	"weft/test/root"
)

// reference is a Linux router in a network namespace of its own, set as doc.go says.
// Its ports lead to one more namespace, in which frames are made and caught.
type reference struct {
	t       testing.TB
	socket  int
	indexes map[string]int // of the ports' peers
	names   map[int]string
	marks   uint16
}

var settings = map[string]string{
	"net/ipv4/ip_forward":                   "1",
	"net/ipv4/conf/all/rp_filter":           "0",
	"net/ipv4/conf/default/rp_filter":       "0",
	"net/ipv4/conf/all/send_redirects":      "0",
	"net/ipv4/conf/default/send_redirects":  "0",
	"net/ipv4/conf/all/accept_source_route": "0",
	"net/ipv4/icmp_ratelimit":               "0",
	"net/ipv4/icmp_msgs_per_sec":            "1000000",
	"net/ipv4/icmp_msgs_burst":              "1000000",
	"net/ipv6/conf/all/forwarding":          "1",
	"net/ipv6/conf/default/addr_gen_mode":   "1",
	"net/ipv6/icmp/ratelimit":               "0",
	"net/ipv6/route/mtu_expires":            "0",
}

func write(t testing.TB, path, value string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/"+path, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

func unshare(t testing.TB) int {
	t.Helper()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// newReference makes the router of a state. The test's thread stays in the hosts'
// namespace, on one CPU, and ends with the test; both namespaces end with it.
func newReference(t testing.TB, s *State) *reference {
	t.Helper()
	root.Require(t)
	runtime.LockOSThread()
	freeErrors(t)
	// What is sent is forwarded on the CPU that sends it: so it stays in order.
	var one unix.CPUSet
	one.Set(firstCPU(t))
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	r := &reference{t: t, indexes: map[string]int{}, names: map[int]string{}}
	hosts := unshare(t)
	write(t, "net/ipv6/conf/default/disable_ipv6", "1")
	router := unshare(t)
	for path, value := range settings {
		write(t, path, value)
	}
	for _, p := range s.Ports {
		v := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: p.Name, HardwareAddr: p.MAC[:]},
			PeerName: p.Name, PeerNamespace: netlink.NsFd(hosts)}
		if err := netlink.LinkAdd(v); err != nil {
			t.Fatal(err)
		}
		// One question for each neighbor, and no answer for want of one while the test runs.
		for _, family := range []string{"ipv4", "ipv6"} {
			write(t, "net/"+family+"/neigh/"+p.Name+"/retrans_time_ms", "3600000")
			write(t, "net/"+family+"/neigh/"+p.Name+"/unres_qlen_bytes", "0")
		}
	}
	r.enter(hosts)
	for _, p := range s.Ports {
		r.ip("link set dev " + p.Name + " mtu 65535 up")
		l, err := netlink.LinkByName(p.Name)
		if err != nil {
			t.Fatal(err)
		}
		r.indexes[p.Name], r.names[l.Attrs().Index] = l.Attrs().Index, p.Name
	}
	r.listen()
	r.enter(router)
	r.ip(commands(s)...)
	for _, p := range s.Ports {
		if !p.IPv4 {
			write(t, "net/ipv4/conf/"+p.Name+"/forwarding", "0")
		}
		if !p.IPv6 {
			write(t, "net/ipv6/conf/"+p.Name+"/forwarding", "0")
		}
	}
	r.awaitUp(s)
	r.ip(changes(s)...)
	t.Cleanup(func() {
		// What waits for neighbors is charged to a socket that all namespaces share.
		r.enter(router)
		for _, p := range s.Ports {
			r.ip("link set dev " + p.Name + " down")
		}
	})
	r.enter(hosts)
	r.awaitUp(s)
	return r
}

// freeErrors lifts the limit of errors about routes, one for all namespaces: a
// second's worth of one error is a cost, by which a sender may have few at once. Other
// tests need that, too (package agreement): the lock's file keeps what was found, and
// the last to leave puts it back.
func freeErrors(t testing.TB) {
	t.Helper()
	limit, err := lab.LiftErrors()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := limit.Restore(); err != nil {
			t.Error(err)
		}
	})
}

func firstCPU(t testing.TB) int {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	for i := range 1024 {
		if all.IsSet(i) {
			return i
		}
	}
	return 0
}

func (r *reference) enter(ns int) {
	r.t.Helper()
	if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
		r.t.Fatal(err)
	}
}

// awaitUp waits until the ports send: a link comes up some time after it is told to.
func (r *reference) awaitUp(s *State) {
	r.t.Helper()
	until := time.Now().Add(10 * time.Second)
	for _, p := range s.Ports {
		for {
			l, err := netlink.LinkByName(p.Name)
			if err != nil {
				r.t.Fatal(err)
			}
			a := l.Attrs()
			if a.OperState == netlink.OperUp || p.Down && a.OperState == netlink.OperDown {
				break
			}
			if time.Now().After(until) {
				r.t.Fatalf("link %s is %s", p.Name, a.OperState)
			}
			time.Sleep(time.Millisecond)
		}
	}
}

func (r *reference) ip(lines ...string) {
	r.t.Helper()
	c := exec.Command("ip", "-batch", "-")
	c.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := c.CombinedOutput(); err != nil {
		r.t.Fatalf("ip: %v\n%s\n%s", err, out, strings.Join(lines, "\n"))
	}
}

// commands are those of ip that make a state.
func commands(s *State) (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	add("link set lo up")
	for _, p := range s.Ports {
		add("link set dev %s up", p.Name)
		for _, a := range p.Addrs {
			line := fmt.Sprintf("addr add %s dev %s", a, p.Name)
			if a.Addr().Is6() {
				line += " nodad" // else it is some time before it is a source
			}
			lines = append(lines, line)
		}
	}
	for _, n := range s.Neighbors {
		switch n.State {
		case Permanent:
			add("neigh replace %s dev %s lladdr %s nud permanent", n.Addr, n.Port, macText(n.MAC))
		case Failed:
			add("neigh replace %s dev %s nud failed", n.Addr, n.Port)
		}
	}
	for _, r := range s.Routes {
		line := fmt.Sprintf("route add %s %s", r.Kind, r.Prefix)
		if r.Metric != 0 {
			line += fmt.Sprint(" metric ", r.Metric)
		}
		if r.MTU != 0 {
			line += fmt.Sprint(" mtu ", r.MTU)
		}
		for _, h := range r.Hops {
			if len(r.Hops) > 1 {
				line += " nexthop"
			}
			if h.Gateway.IsValid() {
				family := "inet"
				if h.Gateway.Is6() {
					family = "inet6"
				}
				line += fmt.Sprintf(" via %s %s", family, h.Gateway)
			}
			line += " dev " + h.Port
			if len(r.Hops) > 1 {
				line += fmt.Sprint(" weight ", h.Weight)
			}
			if h.Gateway.IsValid() {
				line += " onlink"
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// changes are those that ports have seen since their routes were added.
func changes(s *State) (lines []string) {
	for _, p := range s.Ports {
		lines = append(lines, fmt.Sprintf("link set dev %s mtu %d", p.Name, p.MTU))
		if p.Down {
			lines = append(lines, "link set dev "+p.Name+" down")
		}
	}
	return lines
}

func macText(m dataplane.MAC) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

func (r *reference) listen() {
	const all = unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all)
	if err == nil {
		err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 3})
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { unix.Close(fd) })
	r.socket = fd
}

func (r *reference) send(port string, frame []byte) error {
	return unix.Sendto(r.socket, frame, 0, &unix.SockaddrLinklayer{Ifindex: r.indexes[port]})
}

// deed sends a frame and returns what the router sends upon it. Linux has one socket
// of each CPU for the errors of all namespaces: when others have filled it, no error is
// sent. So one that is missed is asked for again.
func (r *reference) deed(frame []byte, port string, want *Linux) (seen []Sent) {
	r.t.Helper()
	for until := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		seen = r.answers(frame, port)
		if len(seen) > 0 || want.Does != Answers || want.Is(seen) || time.Now().After(until) {
			return seen
		}
	}
}

// answers sends a frame and returns all that the router sends upon it. A mark, which
// the router forwards by a port of its own, tells when that is all.
func (r *reference) answers(frame []byte, port string) (seen []Sent) {
	r.t.Helper()
	if err := r.send(port, frame); err != nil {
		r.t.Fatalf("send %x by %s: %v", frame, port, err)
	}
	r.marks++
	mark := ethernet(macOf("mark"), hostMAC, typeIPv4, ip4("10.8.0.2", "10.9.0.2", id(r.marks)))
	if err := r.send("mark", mark); err != nil {
		r.t.Fatal(err)
	}
	buffer := make([]byte, 1<<16)
	for {
		n, from, err := unix.Recvfrom(r.socket, buffer, unix.MSG_TRUNC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			r.t.Fatalf("no mark %d within %s after %x by %s, saw %v: %v", r.marks, 10*time.Second, frame, port, seen, err)
		}
		ll := from.(*unix.SockaddrLinklayer)
		f := append([]byte{}, buffer[:n]...)
		switch {
		case ll.Pkttype == unix.PACKET_OUTGOING || isQuestion(f):
		case r.names[ll.Ifindex] == "marked" && bytes.Equal(f[ethLen+12:ethLen+20], mark[ethLen+12:ethLen+20]):
			if be16(f[18:]) == int(r.marks) {
				return seen
			}
		default:
			seen = append(seen, Sent{[]string{r.names[ll.Ifindex]}, f})
		}
	}
}

// isQuestion tells whether a frame is one by which Linux asks for neighbors, or tells
// of groups: to groups, to which nothing is forwarded.
func isQuestion(f []byte) bool {
	t := be16(f[12:])
	return t == typeARP || t == typeIPv6 && len(f) >= ethLen+header6 && ipv6(f[ethLen:]).dst().IsMulticast()
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }
