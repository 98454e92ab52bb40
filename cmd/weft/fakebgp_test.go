package main

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"weft/control/api"
)

func fakeBGPStatus() *api.BGPStatus {
	return &api.BGPStatus{
		As: 65001, RouterId: "10.0.0.1", Listen: []string{"0.0.0.0:179", "[::]:179"}, Neighbors: 5, Established: 2,
		Tables:    []*api.BGPTable{{Family: "ipv4-unicast", Prefixes: 901899, Paths: 1803798}, {Family: "ipv6-unicast", Prefixes: 2, Paths: 3}},
		Installed: 901898, Refused: 1, Pending: 2,
	}
}

func ago(d time.Duration) int64 { return began.Add(-d).UnixNano() }

// fakeBGPNeighbors are one that is up, an unnumbered one, and three that are not up:
// refused, shut down, and with too many prefixes.
func fakeBGPNeighbors(advertised bool) []*api.BGPNeighbor {
	timers := &api.BGPTimers{Hold: 9e9, Keepalive: 3e9, ConfigHold: 90e9, ConfigKeepalive: 30e9, ConnectRetry: 120e9}
	never := &api.BGPTimers{ConfigHold: 90e9, ConfigKeepalive: 30e9, ConnectRetry: 120e9}
	counted := func(n uint64) uint64 {
		if advertised {
			return n
		}
		return 0
	}
	return []*api.BGPNeighbor{
		{
			Name: "192.0.2.2", Address: "192.0.2.2", Description: "transit", LocalAddress: "192.0.2.1", LocalPort: 179, RemotePort: 40112,
			As: 65002, LocalAs: 65001, RouterId: "10.0.0.2", State: "established", Since: ago(3*time.Hour + 5*time.Minute), Established: 2, Flaps: 1,
			LastDown: "hold timer expired", Authenticated: true, Timers: timers,
			Capabilities: []*api.BGPCapability{
				{Code: 1, Name: "multiprotocol", Text: "ipv4-unicast", Local: true, Remote: true}, {Code: 1, Name: "multiprotocol", Text: "ipv6-unicast", Local: true},
				{Code: 2, Name: "route-refresh", Local: true, Remote: true}, {Code: 65, Name: "4-octet-as", Text: "65001", Local: true}, {Code: 65, Name: "4-octet-as", Text: "65002", Remote: true},
				{Code: 64, Name: "graceful-restart", Text: "120 s, ipv4-unicast", Remote: true}, {Code: 64, Name: "graceful-restart", Text: "90 s", Local: true},
				{Code: 69, Name: "add-path", Text: "ipv4-unicast receive", Local: true},
				{Code: 73, Name: "fqdn", Text: "b", Remote: true},
			},
			Families: []*api.BGPFamily{
				{Family: "ipv4-unicast", Negotiated: true, Received: 901899, Accepted: 901890, Advertised: counted(12), EndOfRib: true, Maximum: 1200000},
				{Family: "ipv6-unicast"},
			},
			Received: &api.BGPMessages{Open: 1, Update: 90012, Keepalive: 3700, Total: 93713}, Sent: &api.BGPMessages{Open: 1, Update: 3, Keepalive: 3701, Total: 3705},
			Config: &api.BGPNeighborConfig{
				ImportPolicy: []string{"no-bogons", "all"}, DefaultImport: "accept-route", DefaultExport: "reject-route", ExportPolicy: []string{"ours"},
				GracefulRestart: "restarter and helper", RestartTime: 120e9, LongLived: 3600e9, Multihop: 4, NextHopSelf: true,
			},
		},
		{
			Name: "eth0", Interface: "eth0", Address: "fe80::2", LocalAddress: "fe80::1", LocalPort: 40200, RemotePort: 179, As: 65001, LocalAs: 65001,
			Internal: true, RouterId: "10.0.0.3", State: "established", Since: ago(9 * 24 * time.Hour), Established: 1, Timers: timers,
			Families: []*api.BGPFamily{{Family: "ipv4-unicast", Negotiated: true, Received: 3, Accepted: 3}, {Family: "ipv6-unicast", Negotiated: true, Received: 2, Accepted: 2, Advertised: counted(7), EndOfRib: true}},
			Received: &api.BGPMessages{Total: 10}, Sent: &api.BGPMessages{Total: 12}, Config: &api.BGPNeighborConfig{DefaultImport: "accept-route", DefaultExport: "accept-route"},
		},
		{
			Name: "192.0.2.3", Address: "192.0.2.3", As: 65003, LocalAs: 65001, State: "active", LastError: "connection refused", Timers: never,
			Families: []*api.BGPFamily{{Family: "ipv4-unicast"}},
		},
		{
			Name: "2001:db8::4", Address: "2001:db8::4", As: 65004, LocalAs: 65001, State: "idle", Shutdown: true, Since: ago(26 * time.Hour), Established: 1,
			Timers: never, Families: []*api.BGPFamily{{Family: "ipv6-unicast"}},
		},
		{Name: "eth1", Interface: "eth1", LocalAs: 65001, State: "idle", Waiting: "interface eth1", Timers: never, Families: []*api.BGPFamily{{Family: "ipv4-unicast"}}},
		{Name: "192.0.2.5", Address: "192.0.2.5", As: 65005, LocalAs: 65001, State: "idle", OverLimit: true, Since: ago(time.Minute), Timers: never,
			Families: []*api.BGPFamily{{Family: "ipv4-unicast", Maximum: 100}}},
	}
}

var errNoBGP = status.Error(codes.NotFound, api.NoBGP)

func (f *fake) ListBGPNeighbors(_ context.Context, q *api.BGPNeighborsRequest) (*api.BGPNeighbors, error) {
	if f.noBGP {
		return nil, errNoBGP
	}
	m := &api.BGPNeighbors{Bgp: fakeBGPStatus()}
	for _, n := range fakeBGPNeighbors(q.GetAdvertised()) {
		if q.GetNeighbor() == "" || q.GetNeighbor() == n.GetName() {
			m.Neighbors = append(m.Neighbors, n)
		}
	}
	if len(m.GetNeighbors()) == 0 {
		return nil, status.Errorf(codes.NotFound, "%s: no such neighbor: 'weft bgp neighbors' lists them", q.GetNeighbor())
	}
	return m, nil
}

var fakeBGPPaths = []*api.BGPPath{
	{Prefix: "10.1.0.0/16", Best: true, Valid: true, Since: ago(time.Hour), Origin: "igp"},
	{Prefix: "10.2.0.0/16", NextHop: "192.0.2.2", Neighbor: "192.0.2.2", From: "192.0.2.2", RouterId: "10.0.0.2", Best: true, Valid: true, Since: ago(3 * time.Hour),
		AsPath: "65002 65010 {65020,65021}", Origin: "igp", Med: new(uint32(50)), Communities: []string{"65002:100", "no-export"}, LargeCommunities: []string{"65002:1:2"}},
	{Prefix: "10.2.0.0/16", NextHop: "fe80::2", Interface: "eth0", Neighbor: "eth0", From: "fe80::2", RouterId: "10.0.0.3", Best: true, Valid: true, Stale: true, Internal: true,
		Since: ago(8 * 24 * time.Hour), AsPath: "65030", Origin: "incomplete", Med: new(uint32(0)), LocalPref: new(uint32(200)), OriginatorId: "10.0.0.9",
		Clusters: []string{"10.0.0.3", "10.0.0.4"}, AtomicAggregate: true, Aggregator: "65030 10.0.0.9", PathId: 7, ExtCommunities: []string{"rt:65001:1"}},
	{Prefix: "10.2.0.0/16", NextHop: "192.0.2.5", Neighbor: "192.0.2.5", From: "192.0.2.5", Filtered: true, AsPath: "65005", Origin: "egp"},
	{Prefix: "2001:db8:1::/48", NextHop: "fe80::2", Interface: "eth0", Neighbor: "eth0", Best: true, Valid: true, Internal: true, AsPath: "65030", Origin: "igp", LocalPref: new(uint32(100))},
}

func (f *fake) ListBGPPaths(q *api.BGPPathsRequest, s grpc.ServerStreamingServer[api.BGPPaths]) error {
	f.bgpPaths = q
	switch {
	case f.noBGP:
		return errNoBGP
	case q.GetNeighbor() == "192.0.2.77":
		return status.Error(codes.NotFound, "192.0.2.77: no such neighbor: 'weft bgp neighbors' lists them")
	case f.many > 0:
		return f.sendManyPaths(q, s)
	}
	for _, p := range fakeBGPPaths {
		asked := q.GetPrefix()
		if asked == "10.2.9.9" {
			asked = "10.2.0.0/16"
		}
		if (q.GetFamily() == "ipv6-unicast") != strings.Contains(p.GetPrefix(), ":") || asked != "" && !q.GetLonger() && asked != p.GetPrefix() ||
			q.GetNeighbor() != "" && q.GetNeighbor() != p.GetNeighbor() || q.GetBest() && !p.GetBest() {
			continue
		}
		if err := s.Send(&api.BGPPaths{Paths: []*api.BGPPath{p}}); err != nil {
			return err
		}
	}
	return f.err
}

// sendManyPaths sends IPv4 paths only.
func (f *fake) sendManyPaths(q *api.BGPPathsRequest, s grpc.ServerStreamingServer[api.BGPPaths]) error {
	if q.GetFamily() != "ipv4-unicast" {
		return nil
	}
	const batch = 500
	for at := 0; at < f.many; at += batch {
		m := &api.BGPPaths{}
		for i := at; i < at+batch; i++ {
			p := &api.BGPPath{
				Prefix: manyPrefix(i), NextHop: "192.0.2.2", Neighbor: "192.0.2.2", From: "192.0.2.2", Best: true, Valid: true, AsPath: "65002 65010", Origin: "igp",
			}
			m.Paths = append(m.Paths, p)
		}
		if err := s.Send(m); err != nil {
			return err
		}
	}
	return nil
}

func (f *fake) ClearBGP(_ context.Context, q *api.ClearBGPRequest) (*api.ClearBGPReply, error) {
	f.bgpClear = q
	if f.noBGP {
		return nil, errNoBGP
	}
	return &api.ClearBGPReply{}, f.err
}
