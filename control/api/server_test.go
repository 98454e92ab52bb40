package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

func dsts(routes []*Route) (all []string) {
	for _, r := range routes {
		all = append(all, fmt.Sprintf("%s %s", r.Dst, r.Protocol))
	}
	return all
}

func TestListRoutes(t *testing.T) {
	w := serve(t, 1<<20, nil)
	for _, line := range []string{
		"route add 10.8.0.0/16 via 10.0.2.2 proto bird metric 20", "route add 10.8.0.0/16 via 10.0.1.2 metric 30",
		"route add 10.8.4.0/24 via 10.0.1.2 proto bgp", "route add blackhole 10.9.0.0/16 proto static",
		"-6 route add 2001:db8:8::/48 via 2001:db8:2::2 proto bird",
	} {
		ip(t, line)
	}
	w.has("2001:db8:8::/48")
	vrf, none := proto.Uint32(0), proto.Uint32(9)
	for _, c := range []struct {
		q    *RoutesRequest
		want []string
	}{
		{&RoutesRequest{Prefix: "10.8.0.0/16"}, []string{"10.8.0.0/16 bird", "10.8.4.0/24 bgp"}},
		{&RoutesRequest{Prefix: "10.8.3.7/16", Exact: true}, []string{"10.8.0.0/16 bird"}},
		{&RoutesRequest{Prefix: "10.8.0.0/16", Exact: true, All: true}, []string{"10.8.0.0/16 bird", "10.8.0.0/16 boot"}},
		{&RoutesRequest{Protocol: "bird"}, []string{"10.8.0.0/16 bird", "2001:db8:8::/48 bird"}},
		{&RoutesRequest{Protocol: "bird", Family: 6, Vrf: vrf}, []string{"2001:db8:8::/48 bird"}},
		{&RoutesRequest{Protocol: "bird", Vrf: none}, nil},
		{&RoutesRequest{Type: "blackhole"}, []string{"10.9.0.0/16 static"}},
		{&RoutesRequest{Dev: "port1", Family: 4}, []string{"10.0.1.0/24 kernel", "10.8.4.0/24 bgp"}},
		{&RoutesRequest{Dev: "port1", Prefix: "10.0.0.0/8", All: true, Type: "unicast"}, []string{"10.0.1.0/24 kernel", "10.8.0.0/16 boot", "10.8.4.0/24 bgp"}},
		{&RoutesRequest{Family: 4, Limit: 2}, []string{"10.0.1.0/24 kernel", "10.0.2.0/24 kernel"}},
		{&RoutesRequest{Prefix: "10.0.1.1/32"}, nil}, // of the local table
		{&RoutesRequest{Prefix: "10.0.1.1/32", All: true}, []string{"10.0.1.1/32 kernel"}},
	} {
		if got := dsts(w.routes(c.q)); !slices.Equal(got, c.want) {
			t.Errorf("%v:\ngot  %q\nwant %q", c.q, got, c.want)
		}
	}
	r := w.routes(&RoutesRequest{Prefix: "10.8.0.0/16", Exact: true, All: true})
	if len(r) != 2 || !r[0].Selected || !r[0].Installed || r[1].Selected || r[1].Installed || r[0].Table != 254 || r[0].Metric != 20 ||
		r[0].Type != "unicast" || r[0].Scope != "global" || len(r[0].Nexthops) != 1 || r[0].Nexthops[0].Gateway != "10.0.2.2" || r[0].Nexthops[0].Dev != "port2" {
		t.Errorf("%v", r)
	}
	for _, q := range []*RoutesRequest{{Prefix: "10.8.0.0"}, {Family: 5}} {
		stream, err := w.client.ListRoutes(context.Background(), q)
		if err == nil {
			_, err = stream.Recv()
		}
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v", q, err)
		}
	}
}

// A long answer is sent as it is read: what the daemon holds of it is bounded.
func TestListRoutesStreams(t *testing.T) {
	w := serve(t, 16<<20, nil)
	const total = 300_000
	lines := make([]string, total)
	for n := range lines {
		lines[n] = fmt.Sprintf("route add 20.%d.%d.%d/32 via 10.0.2.2", n>>16, n>>8&255, n&255)
	}
	ipBatch(t, lines)
	w.eventually(func() string {
		st, err := w.client.GetStatus(context.Background(), &StatusRequest{})
		if err != nil || st.Fib.Ipv4Routes < total {
			return fmt.Sprint(st, err)
		}
		return ""
	})
	stream, err := w.client.ListRoutes(context.Background(), &RoutesRequest{Protocol: "boot"})
	if err != nil {
		t.Fatal(err)
	}
	// Garbage is not what it holds: there is little when it is told.
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	debug.FreeOSMemory()
	before, most, n, last := residentMemory(), uint64(0), 0, netip.Prefix{}
	for {
		m, err := stream.Recv()
		if isEnd(err) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			time.Sleep(200 * time.Millisecond) // a slow reader: the rest is not made meanwhile
		}
		if len(m.Routes) > batchSize {
			t.Fatalf("%d routes in a message", len(m.Routes))
		}
		for _, r := range m.Routes {
			p := netip.MustParsePrefix(r.Dst)
			if last.IsValid() && last.Compare(p) >= 0 {
				t.Fatalf("%s after %s", p, last)
			}
			last = p
			n++
		}
		most = max(most, residentMemory())
	}
	t.Logf("%d routes; resident %d MiB before, %d at most", n, before>>20, most>>20)
	if n != total {
		t.Errorf("%d routes, want %d", n, total)
	}
	if most > before+64<<20 {
		t.Errorf("took %d MiB", (most-before)>>20)
	}
}

func TestGroupsAndNeighbors(t *testing.T) {
	w := serve(t, 1<<20, nil)
	ip(t, "route add 10.9.0.0/16 nexthop via 10.0.1.2 weight 3 nexthop via 10.0.2.77")
	ip(t, "route add prohibit 10.12.0.0/16")
	w.has("10.12.0.0/16")
	group := func(prefix string) *Group {
		r := w.routes(&RoutesRequest{Prefix: prefix})
		stream, err := w.client.ListGroups(context.Background(), &GroupsRequest{Id: r[0].Group})
		if err != nil {
			t.Fatal(err)
		}
		m, err := stream.Recv()
		if err != nil || len(m.Groups) != 1 || m.Groups[0].Id != r[0].Group {
			t.Fatalf("%v %v", m, err)
		}
		return m.Groups[0]
	}
	g := group("10.9.0.0/16")
	if g.Kind != "forward" || g.Mode != "hash_threshold" || len(g.Members) != 2 {
		t.Fatalf("%v", g)
	}
	for _, m := range g.Members {
		m.Adjacency = 0
	}
	for i, want := range []*Member{
		{Weight: 3, Gateway: "10.0.1.2", Dev: "port1", Lladdr: "02:00:00:00:01:01", Complete: true, Mtu: 1500},
		{Weight: 1, Gateway: "10.0.2.77", Dev: "port2", Mtu: 1500},
	} {
		if !proto.Equal(g.Members[i], want) {
			t.Errorf("member %d: %v, want %v", i, g.Members[i], want)
		}
	}
	if g := group("10.12.0.0/16"); g.Kind != "reject" || g.Code != 13 {
		t.Errorf("%v", g)
	}
	if g := group("10.0.2.0/24"); g.Kind != "glean" || g.Dev != "port2" {
		t.Errorf("%v", g)
	}
	stream, err := w.client.ListGroups(context.Background(), &GroupsRequest{Id: 60000})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.NotFound {
		t.Errorf("%v", err)
	}
	neighbors, err := w.client.ListNeighbors(context.Background(), &NeighborsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := neighbors.Recv()
	if err != nil {
		t.Fatal(err)
	}
	want := &Neighbor{Dst: "10.0.1.2", Dev: "port1", Lladdr: "02:00:00:00:01:01", State: []string{"PERMANENT"}, Used: true}
	if !slices.ContainsFunc(m.Neighbors, func(n *Neighbor) bool { return proto.Equal(n, want) }) {
		t.Errorf("%v has not %v", m.Neighbors, want)
	}
}

func TestPortsAndVerify(t *testing.T) {
	w := serve(t, 1<<20, nil)
	ip(t, "route add 10.8.0.0/16 via 10.0.2.2")
	w.has("10.8.0.0/16")
	reply, err := w.client.ListPorts(context.Background(), &PortsRequest{})
	if err != nil || len(reply.Ports) != 2 || len(reply.Refused) != 0 {
		t.Fatalf("%v %v", reply, err)
	}
	if p := reply.Ports[0]; p.Dev != "port1" || p.Number != 1 || p.Mac != "02:00:00:00:00:01" || p.Mode != "native" || p.Egress != "native" ||
		!p.Ipv4 || !p.Ipv6 || p.Mtu != 1500 || !p.Up {
		t.Errorf("%v", p)
	}
	stream, err := w.client.Verify(context.Background(), &VerifyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if m.Done {
			if len(m.Differences) != 0 || m.Ipv4 < 7 || m.Ipv6 < 4 {
				t.Errorf("%v", m)
			}
			return
		}
	}
}

func TestStatus(t *testing.T) {
	begin := make(chan struct{})
	w := serve(t, 1<<20, begin)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := w.client.GetStatus(ctx, &StatusRequest{}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("before it follows: %v", err)
	}
	lines := make([]string, 60_000)
	for n := range lines {
		lines[n] = fmt.Sprintf("route add 20.0.%d.%d/32 via 10.0.2.2", n>>8, n&255)
	}
	ipBatch(t, lines)
	close(begin)
	loading := 0
	var st *Status
	for {
		var err error
		if st, err = w.client.GetStatus(context.Background(), &StatusRequest{}); err != nil {
			t.Fatal(err)
		}
		if st.State != Loading {
			break
		}
		loading++
	}
	if loading == 0 {
		t.Error("never loading")
	}
	// 60,000 routes do not fit into 1 MiB.
	if st.State != Forwarding || st.Fib.NotInstalled == 0 || st.Fib.Size != 1<<20 || st.Version != "test" || st.Pid != int64(os.Getpid()) ||
		st.Ports != 2 || st.Memory < 1<<20 || st.Netlink.Syncs == 0 || st.Program.Id != 1 || st.Fib.Vrfs != 1 {
		t.Errorf("%v", st)
	}
	w.end()
	if _, err := w.GetStatus(context.Background(), &StatusRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("at the end: %v", err)
	}
}

func TestStopIsAnsweredWhenPortsAreBack(t *testing.T) {
	w := serve(t, 1<<20, nil)
	if n := len(w.engine.Ports()); n != 2 {
		t.Fatalf("%d ports", n)
	}
	if _, err := w.client.Stop(context.Background(), &StopRequest{}); err != nil {
		t.Fatal(err)
	}
	if n := len(w.engine.Ports()); n != 0 {
		t.Errorf("%d ports when it is answered", n)
	}
	if out := ip(t, "-d link show port1"); strings.Contains(out, "xdp") {
		t.Errorf("the port has a program: %s", out)
	}
	if _, err := w.client.Stop(context.Background(), &StopRequest{}); err != nil {
		t.Errorf("again: %v", err)
	}
}

func TestMonitor(t *testing.T) {
	w := serve(t, 1<<20, nil)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := w.client.Monitor(ctx, &MonitorRequest{Kinds: []string{EventRoute, EventPort, EventNextHop}})
	if err == nil {
		_, err = stream.Header()
	}
	if err != nil {
		t.Fatal(err)
	}
	ip(t, "neigh add 10.0.1.7 lladdr 02:00:00:00:01:07 dev port1 nud permanent") // not asked for
	ip(t, "route add 10.8.0.0/16 via 10.0.2.2 metric 7")
	ip(t, "route del 10.8.0.0/16 via 10.0.2.2 metric 7")
	ip(t, "nexthop add id 5 via 10.0.1.2 dev port1")
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/port2/forwarding", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	for i, want := range []func(*Event) bool{
		func(e *Event) bool {
			return e.Kind == EventRoute && !e.Deleted && e.Route.Dst == "10.8.0.0/16" && e.Route.Metric == 7
		},
		func(e *Event) bool { return e.Kind == EventRoute && e.Deleted && e.Route.Nexthops[0].Dev == "port2" },
		func(e *Event) bool { return e.Kind == EventNextHop && e.Note == "id 5 via 10.0.1.2 dev port1" },
		func(e *Event) bool { return e.Kind == EventPort && strings.HasPrefix(e.Note, "port2 is port 2") },
	} {
		e, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if !want(e) || e.Lost != 0 || time.Since(time.Unix(0, e.Time)) > time.Minute {
			t.Errorf("event %d: %v", i, e)
		}
	}
	bad, err := w.client.Monitor(ctx, &MonitorRequest{Kinds: []string{"routes"}})
	if err == nil {
		_, err = bad.Recv()
	}
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("%v", err)
	}
	w.end()
	for err == nil || status.Code(err) == codes.InvalidArgument {
		_, err = stream.Recv()
	}
	if !isEnd(err) {
		t.Errorf("at the end: %v", err)
	}
}

// A client that does not read is told how much it has missed, also when nothing
// happens any more.
func TestMonitorTellsOfLostEvents(t *testing.T) {
	w := serve(t, 1<<20, nil)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := w.client.Monitor(ctx, &MonitorRequest{Kinds: []string{EventSync}})
	if err == nil {
		_, err = stream.Header()
	}
	if err != nil {
		t.Fatal(err)
	}
	const total = 20_000
	note := strings.Repeat("x", 200)
	for range total {
		w.Note(EventSync, note)
	}
	told, lost := uint64(0), uint64(0)
	for told+lost < total {
		e, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if lost += e.Lost; e.Kind != "" {
			told++
		}
	}
	if told+lost != total || lost == 0 {
		t.Errorf("%d told, %d lost of %d", told, lost, total)
	}
}

func TestListen(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "dir", "weft.sock")
	l, err := Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(socket); err != nil || st.Mode().Perm() != 0o660 || st.Mode().Type() != os.ModeSocket {
		t.Errorf("%v %v", st.Mode(), err)
	}
	if _, err := Listen(socket); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), socket) {
		t.Errorf("a live one: %v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as a daemon that is killed
	l.Close()
	if l, err = Listen(socket); err != nil {
		t.Fatalf("a stale one: %v", err)
	}
	l.Close()
	if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close: %v", err)
	}
}

// lockName is a name that no namespace has.
func lockName(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("test-%d-%s", os.Getpid(), t.Name())
	t.Cleanup(func() { os.Remove(LockPath(name)) })
	f, err := Lock(name)
	if errors.Is(err, os.ErrPermission) && os.Getenv("CI") == "" {
		t.Skipf("lock in %s: run as root", Directory)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := Unlock(f); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestLock(t *testing.T) {
	name := lockName(t)
	if IsLocked(name) {
		t.Error("locked by nobody")
	}
	f, err := Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // looking changes nothing
		if !IsLocked(name) {
			t.Error("not locked")
		}
	}
	_, err = Lock(name)
	if want := fmt.Sprintf("process %d (", os.Getpid()); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), want) {
		t.Errorf("second: %v, want %q", err, want)
	}
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if _, err = Lock(name); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "which is starting") {
		t.Errorf("while it is written: %v", err)
	}
	f.Close() // as a daemon that is killed: the file stays
	if IsLocked(name) {
		t.Error("locked by a daemon that is gone")
	}
	if f, err = Lock(name); err != nil {
		t.Fatalf("a stale one: %v", err)
	}
	if err := Unlock(f); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(LockPath(name)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Unlock: %v", err)
	}
}

// One at a time has it, however often it is let go and looked at.
func TestLockRace(t *testing.T) {
	name := lockName(t)
	var mu sync.Mutex
	held := 0
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				f, err := Lock(name)
				if errors.Is(err, ErrInUse) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if held++; held != 1 {
					t.Errorf("%d have it", held)
				}
				mu.Unlock()
				mu.Lock()
				held--
				mu.Unlock()
				if err := Unlock(f); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 200 {
		IsLocked(name)
	}
	all.Wait()
	if _, err := exec.Command("ls", LockPath(name)).Output(); err == nil {
		t.Error("the file is left")
	}
}
