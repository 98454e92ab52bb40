package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"weft/control/api"
	"weft/test/conformance"
)

// began is when the clock of tests starts.
var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// fake is a daemon with answers that are known.
type fake struct {
	api.UnimplementedRouterServer
	err         error // instead of an answer
	state       string
	noPorts     bool
	unaccounted bool
	fpm         *api.FPM
	own         bool // weft has routes of its own, and trouble with them
	noBGP       bool
	bgpClear    *api.ClearBGPRequest // as it was asked
	bgpPaths    *api.BGPPathsRequest // as it was asked last
	differences int
	rereading   *api.Rereading
	pending     bool                    // a configuration waits to be confirmed
	same        bool                    // a plan has no changes
	change      *api.ChangeRouteRequest // as it was asked
	matched     bool                    // the configuration says the engines of ports
	asked       int                     // times that ports were
	routes      *api.RoutesRequest      // as it was asked
	many        int                     // so many routes instead of some
	pause       chan struct{}           // waits for it after the first message
}

func (f *fake) GetStatus(context.Context, *api.StatusRequest) (*api.Status, error) {
	s := &api.Status{
		Version: "v1.2.3", Pid: 4242, Started: began.Add(-time.Hour).UnixNano(), Netns: "4026531840", Pins: "/sys/fs/bpf/weft/4026531840",
		State: "forwarding", Adopted: true, Ports: 3, Memory: 150 << 20,
		Fib: &api.FIB{
			Size: 64 << 20, Used: 21 << 20, Generation: 4182, Ipv4Routes: 901899, Ipv6Routes: 160147, Groups: 16, Adjacencies: 1, Vrfs: 2,
		},
		Netlink: &api.Netlink{Changes: 12, Overruns: 1, Syncs: 2, LastSync: 412e6},
		Program: &api.Program{Id: 12, Tag: "143cf00c85a8178e", Instructions: 1871, JitedBytes: 8714, Features: []string{"vlan", "vrf"}},
	}
	s.Fpm, s.Netlink.Rereading = f.fpm, f.rereading
	if f.own {
		s.Export = &api.Export{Routes: 12, Pending: 3, Conflicts: 2, Refused: 1, Changes: 40}
		s.Waiting = []*api.Waiting{{Thing: "route 10.2.0.0/16 dev eth7", For: "interface eth7"}, {Thing: "neighbor 192.0.2.9", For: "interface eth7"},
			{Thing: "route blackhole 10.5.0.0/16 vrf blue", For: "VRF blue"}, {Thing: "route 10.6.0.0/16 dev eth8", For: "interface eth8"}}
		s.WaitingCount = 4
	}
	if f.own {
		s.Bgp = fakeBGPStatus()
	}
	if f.unaccounted {
		s.Unaccounted = 12
	}
	if f.state != "" {
		s.State, s.Fib.NotInstalled = f.state, 12
	}
	if f.state == "degraded" {
		s.Fib.NotInstalled, s.Degraded = 0, "the kernel refuses a program that is needed: load XDP program: cannot allocate memory"
	}
	return s, f.err
}

func (f *fake) ListPorts(context.Context, *api.PortsRequest) (*api.Ports, error) {
	f.asked++
	n := uint64(f.asked)
	if f.noPorts {
		return &api.Ports{}, f.err
	}
	reply := &api.Ports{
		Ports: []*api.Port{
			{Number: 1, Dev: "eth0", Ifindex: 2, Mac: "02:00:00:00:00:01", Engine: "xdp", Mode: "native", Egress: "native", Ipv4: true, Ipv6: true, Mtu: 1500, Up: true,
				Counters: []*api.Counter{
					{Reason: "forwarded", Verdict: "forward", Packets: 1000 * n, Bytes: 64000 * n, LastSeen: began.UnixNano()},
					{Reason: "unresolved_neigh", Verdict: "punt", Packets: 10 * n, Bytes: 640 * n, LastSeen: began.Add(-3 * time.Minute).UnixNano()},
					{Reason: "blackhole_route", Verdict: "drop", Packets: 7, Bytes: 448},
				}},
			{Number: 2, Dev: "eth0.7", Ifindex: 3, Mac: "02:00:00:00:00:01", Engine: "xdp", Mode: "native", Egress: "native", Vrf: 3, Vlan: 7, Parent: 1, Ipv4: true, Mtu: 1496, Up: true},
			{Number: 3, Dev: "veth1", Ifindex: 4, Mac: "02:00:00:00:00:03", Engine: "soft", Mode: "generic", Egress: "kernel",
				EgressWhy: "its peer has no NAPI: 'ethtool -K PEER gro on'", EgressErrors: 2 * n, Ipv4: true, Mtu: 1500,
				IngressWhy: "the host leaves checksums to hardware: 'ethtool -K eth0 tx off' in it makes them go by XDP",
				Counters:   []*api.Counter{{Reason: "checksum_partial", Verdict: "punt", Packets: 3 * n, Bytes: 300 * n, LastSeen: began.UnixNano()}, {Reason: "ttl_value_is_too_small", Verdict: "punt", Packets: 5 * n, Bytes: 500 * n, LastSeen: began.UnixNano()}}},
		},
		Stages:  []*api.Stage{{Name: "receive", Calls: 10 * n, Packets: 640 * n, Nanoseconds: 5120 * n}, {Name: "features"}},
		Refused: []*api.Refused{{Dev: "eth9", Error: "port has an XDP program that is not weft's: id 77 (xdp_filter)"}},
	}
	if f.matched {
		reply.Ports[0].EngineMatch, reply.Ports[2].EngineMatch = "eth*", "veth1"
	}
	if f.unaccounted {
		eth0, veth1 := reply.Ports[0], reply.Ports[2]
		eth0.Unaccounted, eth0.UnaccountedWhy = 12*n, "program 77 is there in the place of weft's (12): 'weft stop', then 'weft run' puts weft's there again"
		veth1.Mode, veth1.UnaccountedWhy = "tc", "not known: GRO merges packets before tc counts them: 'ethtool -K veth1 gro off' ends that"
	}
	return reply, f.err
}

func hop(gw, dev string, weight uint32) *api.NextHop {
	return &api.NextHop{Gateway: gw, Dev: dev, Weight: weight}
}

// someRoutes has one of each form.
var someRoutes = []*api.Route{
	{Dst: "0.0.0.0/0", Table: 254, Type: "unicast", Protocol: "static", Scope: "global", Prefsrc: "192.0.2.254", Nexthops: []*api.NextHop{hop("192.0.2.1", "eth0", 1)}, Group: 3, Selected: true, Installed: true},
	{Dst: "10.0.0.0/8", Table: 254, Type: "unicast", Protocol: "bgp", Scope: "global", Metric: 20, Nexthops: []*api.NextHop{hop("192.0.2.1", "eth0", 1)}, Group: 3, Selected: true, Installed: true},
	{Dst: "10.0.0.0/8", Table: 254, Type: "unicast", Protocol: "static", Scope: "global", Metric: 200, Nexthops: []*api.NextHop{hop("192.0.2.2", "eth0", 1)}, Group: 4},
	{Dst: "10.1.0.0/16", Table: 254, Type: "unicast", Protocol: "bgp", Scope: "global", Metric: 20, Mtu: 1400, Nexthops: []*api.NextHop{hop("192.0.2.1", "eth0", 1), hop("192.0.2.2", "eth0", 3)}, Group: 5, Selected: true, Installed: true},
	{Dst: "10.2.0.0/16", Table: 254, Type: "blackhole", Protocol: "static", Scope: "global", Group: 6, Selected: true, Installed: true},
	{Dst: "10.3.0.0/16", Table: 254, Type: "unreachable", Protocol: "boot", Scope: "global", Group: 7, Selected: true, Installed: true},
	{Dst: "10.4.0.0/16", Table: 254, Type: "unicast", Protocol: "bgp", Scope: "global", Nhid: 7, Nexthops: []*api.NextHop{hop("192.0.2.1", "eth0", 1)}, Group: 3, Selected: true, Installed: true},
	{Dst: "10.5.0.0/16", Table: 254, Type: "unicast", Protocol: "bgp", Scope: "global", Nexthops: []*api.NextHop{hop("fe80::1", "eth0", 1)}, Group: 8, Selected: true},
	{Dst: "10.6.0.1/32", Table: 100, Vrf: 3, Type: "unicast", Protocol: "static", Scope: "link", Nexthops: []*api.NextHop{hop("", "eth0", 1)}, Group: 9, Selected: true, Installed: true},
	{Dst: "::/0", Table: 254, Type: "unicast", Protocol: "static", Scope: "global", Metric: 1024, Nexthops: []*api.NextHop{hop("", "eth0", 1)}, Group: 10, Selected: true, Installed: true},
	{Dst: "2001:db8:1::/48", Table: 254, Type: "unicast", Protocol: "bgp", Scope: "global", Metric: 20, Nexthops: []*api.NextHop{hop("fe80::1", "eth0", 1)}, Group: 11, Selected: true, Installed: true},
}

// ownRoutes are weft's own: one as it should be, one that somebody else has a route in
// the place of, one that lacks a next hop, one that lacks all.
var ownRoutes = []*api.Route{
	{Dst: "10.0.0.0/8", Table: 254, Type: "unicast", Protocol: "bgp", Scope: "global", Metric: 20, Nexthops: []*api.NextHop{hop("203.0.113.1", "", 1)},
		Resolved: []*api.NextHop{hop("192.0.2.1", "eth0", 1)}, Group: 3, Selected: true, Installed: true, Source: "bgp", Origin: 7, Eligible: true, Why: "preference 20, the only one"},
	{Dst: "10.1.0.0/16", Table: 254, Type: "unicast", Protocol: "119", Scope: "global", Metric: 1, Nexthops: []*api.NextHop{hop("192.0.2.1", "eth0", 1)},
		Resolved: []*api.NextHop{hop("192.0.2.1", "eth0", 1)}, Group: 3, Selected: true, Installed: true, Source: "static", Origin: 1, Eligible: true,
		NotExported: "the kernel has a route of another protocol with this metric: give one of them another preference, or remove the other"},
	{Dst: "10.2.0.0/16", Table: 254, Type: "unicast", Protocol: "119", Scope: "global", Metric: 1, Nexthops: []*api.NextHop{hop("192.0.2.1", "eth0", 1)},
		Resolved: []*api.NextHop{hop("192.0.2.1", "eth0", 1)}, Group: 3, Selected: true, Installed: true, Source: "static", Origin: 1, Eligible: true, WaitsFor: "interface eth7"},
	{Dst: "10.3.0.0/16", Table: 254, Type: "unicast", Protocol: "119", Scope: "global", Metric: 1, Source: "static", Origin: 1, WaitsFor: "interface eth8", Why: "it waits for interface eth8"},
}

func (f *fake) ListRoutes(q *api.RoutesRequest, s grpc.ServerStreamingServer[api.Routes]) error {
	f.routes = q
	if f.many > 0 {
		return f.sendMany(s)
	}
	if q.GetDev() == "nodev" {
		return status.Error(codes.NotFound, "dev nodev: no such link")
	}
	routes := someRoutes
	if f.own {
		routes = ownRoutes
	}
	for i, r := range routes {
		v6 := familyOf(r.GetDst()) == "inet6"
		if q.GetFamily() == 4 && v6 || q.GetFamily() == 6 && !v6 || !r.GetSelected() && !q.GetAll() || q.GetPrefix() != "" && q.GetPrefix() != r.GetDst() {
			continue
		}
		if err := s.Send(&api.Routes{Routes: []*api.Route{r}}); err != nil {
			return err
		}
		if i == 0 && f.pause != nil {
			<-f.pause
		}
	}
	return f.err
}

func manyPrefix(i int) string { return fmt.Sprintf("%d.%d.%d.0/24", 1+i>>16, i>>8&255, i&255) }

func (f *fake) sendMany(s grpc.ServerStreamingServer[api.Routes]) error {
	const batch = 500
	for at := 0; at < f.many; at += batch {
		m := &api.Routes{}
		for i := at; i < at+batch; i++ {
			r := &api.Route{Dst: manyPrefix(i), Table: 254, Type: "unicast", Protocol: "bgp", Scope: "global",
				Metric: 20, Nexthops: someRoutes[1].Nexthops, Group: 3, Selected: true, Installed: true}
			m.Routes = append(m.Routes, r)
		}
		if err := s.Send(m); err != nil {
			return err
		}
	}
	return nil
}

func (f *fake) ListNeighbors(_ *api.NeighborsRequest, s grpc.ServerStreamingServer[api.Neighbors]) error {
	return s.Send(&api.Neighbors{Neighbors: []*api.Neighbor{
		{Dst: "192.0.2.1", Dev: "eth0", Lladdr: "02:00:00:00:01:01", State: []string{"REACHABLE"}, Used: true},
		{Dst: "192.0.2.2", Dev: "eth0", State: []string{"FAILED"}},
		{Dst: "fe80::1", Dev: "veth1", Lladdr: "02:00:00:00:01:03", State: []string{"STALE"}, Used: true},
	}})
}

func (f *fake) ListGroups(q *api.GroupsRequest, s grpc.ServerStreamingServer[api.Groups]) error {
	all := []*api.Group{
		{Id: 1, Kind: "punt", Reason: "multicast"},
		{Id: 2, Kind: "glean", Dev: "eth0"},
		{Id: 5, Kind: "forward", Mode: "hash_threshold", Members: []*api.Member{
			{Adjacency: 1, Weight: 1, Gateway: "192.0.2.1", Dev: "eth0", Lladdr: "02:00:00:00:01:01", Complete: true, Mtu: 1500},
			{Adjacency: 2, Weight: 3, Gateway: "192.0.2.2", Dev: "eth0", Mtu: 1500},
		}},
		{Id: 7, Kind: "reject", Code: 1},
	}
	m := &api.Groups{}
	for _, g := range all {
		if q.GetId() == 0 || q.GetId() == g.GetId() {
			m.Groups = append(m.Groups, g)
		}
	}
	return s.Send(m)
}

func fromHex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// Frames of UDP from 192.0.2.9 to 10.1.2.3, and as forwarded: with a VLAN tag,
// TTL 63 and the checksum that goes with it.
const (
	frameIn  = "02000000000102000000000908004500001c000000004011acc4c00002090a010203c000829a00080000"
	frameOut = "020000000101020000000001810000070800" + "4500001c000000003f11adc4c00002090a010203c000829a00080000"
)

func (f *fake) Lookup(_ context.Context, q *api.LookupRequest) (*api.LookupReply, error) {
	r := &api.LookupReply{
		Verdict: "forward", Reason: "forwarded", Prefix: "10.1.0.0/16", Route: someRoutes[3], Group: 5, GroupKind: "forward", Members: 2, Hash: 0x5c1e,
		Adjacency: 2, Gateway: "192.0.2.2", Dev: "eth0", Lladdr: "02:00:00:00:01:01", Mtu: 1500, Iif: "veth1", Src: "192.0.2.9", Mode: "native",
		Generation: 4182, Packet: fromHex(frameIn), Result: fromHex(frameOut), Nanoseconds: 412,
		Steps: []*api.Step{
			{Node: "wide", Stride: 16, Offset: 0x1000, Index: 0xa01},
			{Node: "narrow", Depth: 16, Stride: 8, Offset: 0x8f40, Index: 2},
		},
		Kernel: &api.KernelAnswer{Agrees: true, Type: "unicast", Gateway: "192.0.2.2", Dev: "eth0"},
	}
	punt := func(reason, kind string) {
		r.Verdict, r.Reason, r.Dev, r.Gateway, r.Lladdr, r.Adjacency, r.Hash, r.Members, r.Mtu = "punt", reason, "", "", "", 0, 0, 0, 0
		r.Result, r.GroupKind = r.Packet, kind
	}
	switch {
	case q.GetIif() == "eth7":
		return nil, status.Error(codes.NotFound, "iif eth7: no such port")
	case q.GetIif() == "soft1":
		r.Engine, r.Iif = "soft", "soft1"
		if q.GetTtl() == 1 {
			punt("ttl_value_is_too_small", "forward")
			r.Fate, r.Kernel = "answered", &api.KernelAnswer{Agrees: true, Error: "answers with ICMP time exceeded"}
		}
	case q.GetTtl() == 1:
		punt("ttl_value_is_too_small", "forward")
		r.Kernel = &api.KernelAnswer{Agrees: true, Error: "answers with ICMP time exceeded"}
	case q.GetDst() == "203.0.113.9":
		punt("ipv4_lpm_miss", "")
		r.Prefix, r.Route, r.Group = "", nil, 0
		r.Kernel = &api.KernelAnswer{Agrees: true, Error: "Network is unreachable"}
	case q.GetDst() == "10.4.1.1":
		hops := []*api.NextHop{{Gateway: "203.0.113.1", Weight: 1}}
		found := []*api.NextHop{{Gateway: "192.0.2.2", Dev: "eth0", Weight: 1}}
		r.Candidates = []*api.Route{
			{Dst: "10.4.0.0/16", Type: "unicast", Protocol: "119", Metric: 1, Nexthops: hops, Source: "static", Why: "no route leads to gateway 203.0.113.1"},
			{Dst: "10.4.0.0/16", Type: "unicast", Protocol: "119", Metric: 20, Nexthops: found, Resolved: found, Source: "bgp", Origin: 7, Eligible: true,
				Selected: true, Installed: true, Why: "preference 20, the next has 100"},
			{Dst: "10.4.0.0/16", Type: "unicast", Protocol: "ospf", Metric: 100, Nexthops: found, Source: "kernel", Eligible: true,
				Why: "preference 100, the best has 20"},
		}
		r.Prefix, r.Route = "10.4.0.0/16", r.Candidates[1]
	case q.GetDst() == "192.0.2.254":
		punt("local_route", "local")
		r.Prefix, r.Route = "192.0.2.254/32", &api.Route{Type: "local", Dst: "192.0.2.254/32", Protocol: "kernel"}
		r.Kernel = &api.KernelAnswer{Why: "the local table has no such address", Error: "Network is unreachable"}
	}
	return r, f.err
}

func (f *fake) Monitor(q *api.MonitorRequest, s grpc.ServerStreamingServer[api.Event]) error {
	at := began.Add(123456 * time.Microsecond).UnixNano()
	for _, e := range []*api.Event{
		{Time: at, Kind: "route", Route: someRoutes[1]},
		{Time: at, Kind: "route", Deleted: true, Route: &api.Route{Dst: "10.2.0.0/16", Table: 254, Type: "blackhole", Protocol: "static", Scope: "global"}},
		{Time: at, Kind: "neighbor", Neighbor: &api.Neighbor{Dst: "192.0.2.1", Dev: "eth0", Lladdr: "02:00:00:00:01:01", State: []string{"REACHABLE"}}},
		{Time: at, Kind: "link", Link: &api.Link{Ifindex: 4, Dev: "veth1", Kind: "veth", Mtu: 1500, Mac: "02:00:00:00:00:03", Up: true}, Lost: 17},
		{Time: at, Kind: "sync", Note: "the receive buffer overran: read again in 412 ms"},
		{Time: at, Lost: 1},
	} {
		if len(q.GetKinds()) > 0 && q.GetKinds()[0] != e.GetKind() {
			continue
		}
		if err := s.Send(e); err != nil {
			return err
		}
	}
	return nil
}

func (f *fake) Verify(_ *api.VerifyRequest, s grpc.ServerStreamingServer[api.VerifyReply]) error {
	if err := s.Send(&api.VerifyReply{Checked: 500000, Total: 1062046}); err != nil {
		return err
	}
	m := &api.VerifyReply{Checked: 1062046, Total: 1062046, Done: true, Ipv4: 901899, Ipv6: 160147, Rereading: f.rereading}
	for i := range f.differences {
		m.Differences = append(m.Differences, &api.Difference{
			Dst: fmt.Sprintf("10.%d.0.0/16", i), Vrf: uint32(i), Between: "rib and image", Want: "group 3", Have: "group 4",
		})
	}
	return s.Send(m)
}

// serve starts a fake daemon and returns its socket.
func serve(t testing.TB, f *fake) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "weft.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	api.RegisterRouterServer(s, f)
	go s.Serve(l)
	t.Cleanup(s.Stop)
	return socket
}

// testEnv is an environment whose clock only moves by waiting, and whose third
// wait is interrupted.
func testEnv(t testing.TB, stdout, stderr *bytes.Buffer) *env {
	clock, waits := began, 0
	return &env{
		stdin: strings.NewReader("version: 1\n" + bgpExample + "\n"), stdout: stdout, stderr: stderr, getenv: func(string) string { return "" }, version: "v1.2.3", patience: 5 * time.Second,
		now: func() time.Time { return clock },
		wait: func(_ context.Context, d time.Duration) error {
			if waits++; waits == 3 {
				return context.Canceled
			}
			clock = clock.Add(d)
			return nil
		},
		netnsDir: filepath.Join(t.TempDir(), "netns"),
		ownNetns: func() (string, error) { return "1", nil },
		enter:    func(path string) error { return fmt.Errorf("entered %s", filepath.Base(path)) },
		conform:  fakeConform,
	}
}

// fakeConform lets clause 2 fail, and 9 not apply. At 24 it is interrupted.
func fakeConform(_ context.Context, clauses []conformance.Clause, tell func(conformance.Verdict) error) error {
	for _, c := range clauses {
		v := conformance.Verdict{Clause: c.Number, RFC: c.RFC, Title: c.Title, Result: conformance.Pass}
		switch c.Number {
		case 2:
			v.Result, v.Why = conformance.Fail, "ipv4/padding goes: a frame came out that should not\nand 3 more"
		case 9:
			v.Result, v.Why = conformance.NotApplicable, c.Why
		case 24:
			return context.Canceled
		}
		if err := tell(v); err != nil {
			return err
		}
	}
	return nil
}

type result struct {
	stdout, stderr string
	exit           int
}

// weft runs a command line against a fake daemon.
func weft(t testing.TB, f *fake, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	e := testEnv(t, &stdout, &stderr)
	exit := command(context.Background(), e, append([]string{"--socket", serve(t, f)}, args...))
	return result{stdout.String(), stderr.String(), exit}
}
