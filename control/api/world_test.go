package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"weft/bpf"
	"weft/control"
	"weft/control/export"
	"weft/control/kernel"
	"weft/control/ports"
	"weft/control/rib"
	"weft/control/static"
	"weft/dataplane"
	"weft/dataplane/xdp"
	"weft/fib"
)

const inNamespace = "WEFT_TEST_IN_NAMESPACE"

// TestMain runs the tests in a process all of whose threads are in a network
// namespace of their own, as a daemon is: so does each worker of a fuzz target.
// Without the right to, those that need one are skipped, except in CI.
func TestMain(m *testing.M) {
	if pid := strconv.Itoa(os.Getpid()); os.Getenv(inNamespace) != pid {
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = os.Setenv(inNamespace, pid) // a worker inherits another one
		}
		if err == nil {
			err = unix.Exec("/proc/self/exe", os.Args, os.Environ())
		}
		if os.Getenv("CI") != "" {
			fmt.Fprintln(os.Stderr, "make network namespace:", err, ": CI runs this as root")
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func requireNamespace(t testing.TB) {
	t.Helper()
	if os.Getenv(inNamespace) == "" {
		t.Skip("needs a network namespace: run as root")
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
}

func run(t testing.TB, command string) string {
	t.Helper()
	args := strings.Fields(command)
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

func ip(t testing.TB, args string) string { t.Helper(); return run(t, "ip "+args) }

func ipBatch(t testing.TB, lines []string) {
	t.Helper()
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ip -batch: %v\n%s", err, out)
	}
}

// twoPorts makes two veth pairs with a subnet of each family on each, and hosts.
func twoPorts(t testing.TB) {
	t.Helper()
	for _, setting := range []string{
		"net/ipv4/ip_forward=1", "net/ipv6/conf/all/forwarding=1", "net/ipv6/conf/default/accept_dad=0",
		"net/ipv4/conf/all/rp_filter=0", "net/ipv4/conf/default/rp_filter=0",
	} {
		name, value, _ := strings.Cut(setting, "=")
		if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
	ip(t, "link set lo up")
	t.Cleanup(func() {
		for _, line := range []string{"link del port1", "link del port2", "nexthop flush", "route flush table main", "-6 route flush table main"} {
			_ = exec.Command("ip", strings.Fields(line)...).Run()
		}
	})
	for n := 1; n <= 2; n++ {
		for _, line := range []string{
			"ip link add port%[1]d address 02:00:00:00:00:0%[1]d type veth peer name peer%[1]d",
			"ethtool -K peer%[1]d gro on", // what is sent there is taken
			"ip link set peer%[1]d up",
			"ip link set port%[1]d up",
			"ip addr add 10.0.%[1]d.1/24 dev port%[1]d",
			"ip addr add 2001:db8:%[1]d::1/64 dev port%[1]d nodad",
			"ip neigh add 10.0.%[1]d.2 lladdr 02:00:00:00:01:0%[1]d dev port%[1]d nud permanent",
			"ip neigh add 2001:db8:%[1]d::2 lladdr 02:00:00:00:01:0%[1]d dev port%[1]d nud permanent",
		} {
			run(t, fmt.Sprintf(line, n))
		}
	}
}

// world is a daemon without the process.
type world struct {
	testing.TB
	*Server
	follower *control.Follower
	engine   *xdp.Engine
	set      *ports.Set
	exporter *export.Exporter
	static   *static.Source
	client   RouterClient
	socket   string
	end      func() // of the Follower, and of Serve
	stopped  chan struct{}
}

// serve starts one in the test's namespace. With begin, the Follower waits for
// that to be closed.
func serve(t testing.TB, imageSize int, begin chan struct{}) *world {
	t.Helper()
	requireNamespace(t)
	twoPorts(t)
	mem, err := bpf.NewImage(imageSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mem.Close() })
	im, err := fib.Create(mem.Mem(), fib.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{TB: t, stopped: make(chan struct{}), socket: filepath.Join(t.TempDir(), "weft.sock")}
	if w.engine, err = xdp.New(mem, xdp.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.engine.Stop() })
	log := slog.New(slog.DiscardHandler)
	w.set = ports.New(ports.Config{
		Engine: w.engine, Names: []string{"port*"}, Log: log, Changed: func(text string) { w.Note(EventPort, text) },
	})
	if w.exporter, err = export.New(log); err != nil {
		t.Fatal(err)
	}
	w.follower, err = control.Open(control.Config{
		Export: w.exporter.Take,
		Image:  im, Ports: w.set, Interface: w.set.Take, Log: log,
		Reasons: rib.Reasons{NoPort: uint16(dataplane.PuntRoute), LinkDown: uint16(dataplane.PuntRoute)},
		Observe: func(r *rib.RIB, e kernel.Event) { w.exporter.Observe(e); w.Observe(r, e) },
		Synced:  func(time.Duration) { w.Note(EventSync, "synchronized") },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.static = static.New(w.follower, log)
	stopping := make(chan struct{})
	w.Server = NewServer(Config{
		Follower: w.follower, Ports: w.set, Engine: w.engine, Identity: Identity{Version: "test", Netns: "1", Started: time.Now()},
		Program: func() (*Program, error) { return &Program{Id: 1}, nil }, Degraded: func() string { return "" },
		Exporter: w.exporter, Static: w.static,
		Stop: sync.OnceFunc(func() { close(stopping) }), Stopped: w.stopped,
	})
	listener, err := Listen(w.socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served, followed := make(chan error, 1), make(chan error, 1)
	go func() { served <- w.Serve(ctx, listener) }()
	following, endFollowing := context.WithCancel(context.Background())
	go func() {
		if begin != nil {
			<-begin
		}
		followed <- w.follower.Run(following)
	}()
	exported := make(chan struct{})
	go func() {
		defer close(exported)
		w.exporter.Run(following, w.follower.Do)
	}()
	go func() { // what a daemon does when it is told to stop
		select {
		case <-stopping:
			time.Sleep(50 * time.Millisecond)
			if err := w.engine.Stop(); err != nil {
				t.Error(err)
			}
			close(w.stopped)
		case <-ctx.Done():
		}
	}()
	w.end = sync.OnceFunc(func() {
		endFollowing()
		cancel()
		err := errors.Join(<-followed, <-served)
		<-exported
		if err = errors.Join(err, w.exporter.Withdraw(), w.exporter.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(w.end)
	conn, err := Dial(w.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	w.client = NewRouterClient(conn)
	if begin == nil {
		w.synced()
	}
	return w
}

func (w *world) synced() {
	w.Helper()
	select {
	case <-w.follower.Synced():
	case <-time.After(30 * time.Second):
		w.Fatal("the image is not filled")
	}
}

// eventually waits until a check has nothing to complain of.
func (w *world) eventually(check func() string) {
	w.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		complaint := check()
		if complaint == "" {
			return
		}
		if time.Now().After(deadline) {
			w.Fatal(complaint)
		}
	}
}

// has waits for a route in the image.
func (w *world) has(prefix string) {
	w.Helper()
	w.eventually(func() string {
		if len(w.routes(&RoutesRequest{Prefix: prefix, Exact: true, All: true})) == 0 {
			return "no route to " + prefix
		}
		return ""
	})
}

func (w *world) routes(q *RoutesRequest) (all []*Route) {
	w.Helper()
	stream, err := w.client.ListRoutes(context.Background(), q)
	if err != nil {
		w.Fatal(err)
	}
	for {
		m, err := stream.Recv()
		if isEnd(err) {
			return all
		}
		if err != nil {
			w.Fatal(err)
		}
		all = append(all, m.Routes...)
	}
}
