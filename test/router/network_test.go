package router

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"weft/test/lab"
)

// weft is the path of the program under test.
var weft string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "weft-router-test-")
		if err == nil {
			defer os.RemoveAll(dir)
			weft = filepath.Join(dir, "weft")
			var out []byte
			if out, err = exec.Command("go", "build", "-o", weft, "weft/cmd/weft").CombinedOutput(); err != nil {
				err = fmt.Errorf("build weft: %w\n%s", err, out)
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		// The program is also run by users who may not look into what others made.
		if err := os.Chmod(dir, 0o755); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// network is hosts h1, h2 and h3 around router r1. Host hN has 10.N.0.2 and
// 2001:db8:N::2; the router's port to it is to-hN, with .1 and ::1.
type network struct {
	testing.TB
	lab    *lab.Lab
	daemon *lab.Process
	before map[int]account // of the ports that there were, by ifindex
}

var networks atomic.Int32

func newNetwork(t testing.TB) *network {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("this test makes network namespaces: CI must run it as root")
		}
		t.Skip("this test makes network namespaces: run it as root")
	}
	topology := lab.Topology{Name: "star", Nodes: []lab.Node{{Name: "r1", Router: true}}}
	for i := 1; i <= 3; i++ {
		host := fmt.Sprintf("h%d", i)
		v4, v6 := hostAddr(i, 4), hostAddr(i, 6)
		topology.Nodes = append(topology.Nodes, lab.Node{Name: host})
		topology.Links = append(topology.Links, lab.Link{
			A: lab.End{Node: "r1", Interface: "to-" + host, Addrs: []netip.Prefix{netip.PrefixFrom(v4.Prev(), 24), netip.PrefixFrom(v6.Prev(), 64)}},
			B: lab.End{Node: host, Interface: "eth0", Addrs: []netip.Prefix{netip.PrefixFrom(v4, 24), netip.PrefixFrom(v6, 64)}},
		})
		topology.Routes = append(topology.Routes,
			lab.Route{Node: host, To: netip.MustParsePrefix("0.0.0.0/0"), Via: []netip.Addr{v4.Prev()}},
			lab.Route{Node: host, To: netip.MustParsePrefix("::/0"), Via: []netip.Addr{v6.Prev()}})
	}
	l, err := lab.Up(t.Context(), topology, lab.Options{Prefix: fmt.Sprintf("weft-rt%d-%d-", os.Getpid(), networks.Add(1))})
	if err != nil {
		t.Fatal(err)
	}
	n := &network{TB: t, lab: l}
	t.Cleanup(func() {
		n.finish()
		if err := l.Down(); err != nil {
			t.Error(err)
		}
	})
	n.sysctl("r1", "net.ipv4.icmp_ratelimit", "0") // a test waits for each error
	n.sysctl("r1", "net.ipv6.icmp.ratelimit", "0")
	return n
}

// hostAddr returns the address of a host in a family, 4 or 6.
func hostAddr(host, family int) netip.Addr {
	if family == 4 {
		return netip.AddrFrom4([4]byte{10, byte(host), 0, 2})
	}
	return netip.MustParseAddr(fmt.Sprintf("2001:db8:%d::2", host))
}

// command runs a command in a node.
func (n *network) command(node string, argv ...string) string {
	n.Helper()
	out, err := n.lab.Output(node, argv...)
	if err != nil {
		n.Fatal(err)
	}
	return string(out)
}

// ip runs ip(8) in a node.
func (n *network) ip(node, line string) string {
	n.Helper()
	return n.command(node, append([]string{"ip"}, strings.Fields(line)...)...)
}

// sysctl sets name=value in a node.
func (n *network) sysctl(node, name, value string) {
	n.Helper()
	err := n.lab.In(node, func() error {
		return os.WriteFile("/proc/sys/"+strings.ReplaceAll(name, ".", "/"), []byte(value), 0)
	})
	if err != nil {
		n.Fatal(err)
	}
}

// link returns an interface of a node.
func (n *network) link(node, name string) (l netlink.Link) {
	n.Helper()
	err := n.lab.In(node, func() (err error) {
		l, err = netlink.LinkByName(name)
		return err
	})
	if err != nil {
		n.Fatalf("%s of %s: %v", name, node, err)
	}
	return l
}

func (n *network) mac(node, name string) (m [6]byte) {
	n.Helper()
	copy(m[:], n.link(node, name).Attrs().HardwareAddr)
	return m
}

func (n *network) setMAC(node, name string, mac [6]byte) {
	n.Helper()
	n.ip(node, fmt.Sprintf("link set %s address %s", name, net.HardwareAddr(mac[:])))
}

// until waits for something to become true.
func (n *network) until(what string, is func() bool) {
	n.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			n.Fatalf("after 10 s still not: %s", what)
		}
	}
}

// run starts weft in the router and waits until it forwards by all ports.
func (n *network) run(args ...string) {
	n.Helper()
	n.start(args...)
	n.until("weft forwards by three native ports", func() bool {
		ports := 0
		for _, p := range n.ports() {
			if p.Mode == "native" && p.Egress == "native" {
				ports++
			}
		}
		return ports == 3
	})
	n.before = n.accounts()
}

// start starts weft in the router and waits until the FIB is filled.
func (n *network) start(args ...string) {
	n.Helper()
	var err error
	if n.daemon, err = n.lab.Start("r1", append([]string{weft, "run"}, args...)...); err != nil {
		n.Fatal(err)
	}
	n.until("weft forwards", func() bool {
		select {
		case <-n.daemon.Done:
			n.Fatalf("weft has ended: %v\n%s", n.daemon.Err(), n.log())
		default:
		}
		var s status
		return n.try(&s, "status") && s.State == "forwarding" && s.PID == n.daemon.Pid
	})
}

// ended waits for the daemon's end and returns its exit code.
func (n *network) ended() int {
	n.Helper()
	select {
	case <-n.daemon.Done:
	case <-time.After(10 * time.Second):
		n.Fatal("weft has not ended after 10 s")
	}
	var exit *exec.ExitError
	if errors.As(n.daemon.Err(), &exit) {
		return exit.ExitCode() // -1: killed
	}
	return 0
}

// log returns what the daemon has written.
func (n *network) log() string {
	b, err := os.ReadFile(filepath.Join("/run", n.lab.Prefix()+"state", "r1-weft.log"))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// outcome is what a command wrote and ended with.
type outcome struct {
	stdout, stderr string
	code           int
}

// weft runs the program for the router's namespace.
func (n *network) weft(args ...string) (o outcome) {
	n.Helper()
	return execute(n, exec.Command(weft, append([]string{"-n", n.lab.Namespace("r1")}, args...)...))
}

func execute(t testing.TB, cmd *exec.Cmd) (o outcome) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// ask decodes what a command prints as JSON.
func (n *network) ask(to any, args ...string) {
	n.Helper()
	o := n.weft(append([]string{"--json"}, args...)...)
	if o.code != 0 {
		n.Fatalf("weft %s: exit code %d\n%s", strings.Join(args, " "), o.code, o.stderr)
	}
	if err := json.Unmarshal([]byte(o.stdout), to); err != nil {
		n.Fatalf("weft %s: %v\n%s", strings.Join(args, " "), err, o.stdout)
	}
}

// try is ask where no answer is no failure.
func (n *network) try(to any, args ...string) bool {
	n.Helper()
	o := n.weft(append([]string{"--json"}, args...)...)
	return o.code == 0 && json.Unmarshal([]byte(o.stdout), to) == nil
}
