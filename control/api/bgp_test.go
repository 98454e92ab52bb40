package api

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"weft/control/bgp"
	"weft/control/config"
)

// fakeBGP has one prefix of each length, or so many of 32.
type fakeBGP struct {
	err     error
	paths   int
	asked   []bgp.Filter
	cleared string
}

func (f *fakeBGP) Status() (bgp.Status, error) {
	return bgp.Status{
		AS: 65001, RouterID: mustAddr("10.0.0.1"), Listen: []netip.AddrPort{netip.MustParseAddrPort("[::]:179")}, Neighbors: 2, Established: 1,
		Prefixes: map[string]uint64{"ipv6-unicast": 3, "ipv4-unicast": 7}, Paths: map[string]uint64{"ipv4-unicast": 9}, Installed: 6, Refused: 1, Pending: 2,
	}, f.err
}

func (f *fakeBGP) Neighbors(advertised bool) ([]bgp.Neighbor, error) {
	all := []bgp.Neighbor{
		{Name: "192.0.2.2", Address: mustAddr("192.0.2.2"), AS: 65002, State: bgp.Established, Since: time.Unix(7, 0), Families: []bgp.FamilyState{{Family: config.IPv4Unicast, Received: 7}}},
		{Name: "eth0", Interface: "eth0", Address: mustAddr("fe80::2%eth0"), State: bgp.Idle, LastError: "not \xff UTF-8", Capabilities: []bgp.Capability{{Code: 1, Local: true}}},
	}
	if advertised {
		all[0].Families[0].Advertised = 5
	}
	return all, f.err
}

func (f *fakeBGP) Paths(q bgp.Filter) iter.Seq2[bgp.Path, error] {
	f.asked = append(f.asked, q)
	return func(yield func(bgp.Path, error) bool) {
		if f.err != nil {
			yield(bgp.Path{}, f.err)
			return
		}
		for i := range f.paths {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
			if !q.Prefix.IsValid() || q.Prefix == p || q.Longer && q.Prefix.Overlaps(p) {
				if !yield(bgp.Path{Prefix: p, NextHop: mustAddr("0.0.0.0"), MED: new(uint32(7))}, nil) {
					return
				}
			}
		}
		if q.Prefix == netip.MustParsePrefix("10.0.0.0/8") && !q.Longer {
			yield(bgp.Path{Prefix: q.Prefix, NextHop: mustAddr("192.0.2.2"), ASPath: []bgp.Segment{{Kind: bgp.Sequence, AS: []uint32{65002, 65003}}}}, nil)
		}
	}
}

func (f *fakeBGP) Clear(neighbor string, how bgp.Reset) error {
	f.cleared = fmt.Sprint(neighbor, " ", how)
	return f.err
}

// pathStream takes what is sent.
type pathStream struct {
	grpc.ServerStreamingServer[BGPPaths]
	batches [][]*BGPPath
	err     error
}

func (s *pathStream) Send(m *BGPPaths) error {
	s.batches = append(s.batches, m.GetPaths())
	return s.err
}

func (s *pathStream) Context() context.Context { return context.Background() }

func TestBGPPaths(t *testing.T) {
	f := &fakeBGP{paths: 2*batchSize + 3}
	s := &Server{config: Config{BGP: f}}
	list := func(q *BGPPathsRequest) (*pathStream, error) {
		out := &pathStream{}
		return out, s.ListBGPPaths(q, out)
	}
	out, err := list(&BGPPathsRequest{Best: true, Family: "ipv4-unicast"})
	if err != nil || len(out.batches) != 3 || len(out.batches[0]) != batchSize || len(out.batches[2]) != 3 {
		t.Fatalf("%d batches, %v", len(out.batches), err)
	}
	if p := out.batches[0][1]; p.GetPrefix() != "10.0.0.1/32" || p.GetNextHop() != "" || p.GetMed() != 7 || p.LocalPref != nil {
		t.Errorf("%v", p)
	}
	if q := f.asked[0]; q != (bgp.Filter{Best: true, Family: config.IPv4Unicast}) {
		t.Errorf("asked for %+v", q)
	}
	// An address is looked up by its longest match.
	f.asked = nil
	out, err = list(&BGPPathsRequest{Prefix: "10.77.1.2", Table: "adj-rib-in", Neighbor: "eth0"})
	if err != nil || len(out.batches) != 1 || out.batches[0][0].GetPrefix() != "10.0.0.0/8" || out.batches[0][0].GetAsPath() != "65002 65003" || len(f.asked) != 25 {
		t.Errorf("%v, %d times asked, %v", out.batches, len(f.asked), err)
	}
	if q := f.asked[0]; q != (bgp.Filter{Table: bgp.AdjIn, Neighbor: "eth0", Prefix: netip.MustParsePrefix("10.77.1.2/32")}) {
		t.Errorf("asked for %+v", q)
	}
	if out, err = list(&BGPPathsRequest{Prefix: "192.0.2.1"}); err != nil || len(out.batches) != 0 {
		t.Errorf("of nothing: %v, %v", out.batches, err)
	}
	for _, q := range []*BGPPathsRequest{
		{Table: "rib"}, {Table: "adj-rib-out"}, {Family: "l2vpn-evpn"}, {Prefix: "10/8"}, {Prefix: "10.0.0.0/8", Family: "ipv6-unicast"},
		{Prefix: "10.0.0.1", Longer: true}, {Prefix: "fe80::1%eth0"},
	} {
		if _, err := list(q); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v", q, err)
		}
	}
	gone := errors.New("the client is gone")
	if err := s.ListBGPPaths(&BGPPathsRequest{}, &pathStream{err: gone}); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
}

func TestBGPNeighbors(t *testing.T) {
	running := &config.BGP{
		ImportPolicy: []string{"all"}, DefaultExport: config.Reject, GracefulRestart: config.GracefulRestart{Enabled: true, RestartTime: time.Minute},
		Neighbors: []config.BGPNeighbor{
			{Address: mustAddr("192.0.2.2"), ImportPolicy: []string{"own"}, ExportPolicy: []string{"out"}, DefaultExport: config.Accept, EBGPMultihop: 3},
			{Interface: "eth0", GracefulRestart: &config.GracefulRestart{Enabled: true, HelperOnly: true}},
		},
	}
	s := &Server{config: Config{BGP: &fakeBGP{}, BGPConfig: func() *config.BGP { return running }}}
	m, err := s.ListBGPNeighbors(context.Background(), &BGPNeighborsRequest{Advertised: true})
	if err != nil || len(m.GetNeighbors()) != 2 || m.GetBgp().GetAs() != 65001 || len(m.GetBgp().GetTables()) != 2 || m.GetBgp().GetTables()[0].GetPaths() != 9 {
		t.Fatalf("%v %v", m, err)
	}
	one, two := m.GetNeighbors()[0], m.GetNeighbors()[1]
	if one.GetSince() != 7e9 || one.GetFamilies()[0].GetAdvertised() != 5 || two.GetSince() != 0 || two.GetLastError() != "not \uFFFD UTF-8" {
		t.Errorf("%v\n%v", one, two)
	}
	if c := one.GetConfig(); strings.Join(c.GetImportPolicy(), " ") != "own all" || c.GetDefaultImport() != "accept-route" || strings.Join(c.GetExportPolicy(), " ") != "out" ||
		c.GetDefaultExport() != "accept-route" || c.GetGracefulRestart() != "restarter and helper" || c.GetRestartTime() != int64(time.Minute) || c.GetMultihop() != 3 {
		t.Errorf("%v", c)
	}
	if c := two.GetConfig(); strings.Join(c.GetImportPolicy(), " ") != "all" || c.GetDefaultExport() != "reject-route" || c.GetGracefulRestart() != "helper" {
		t.Errorf("%v", c)
	}
	for _, name := range []string{"eth0", "fe80::2", "fe80::2%eth0"} {
		if m, err := s.ListBGPNeighbors(context.Background(), &BGPNeighborsRequest{Neighbor: name}); err != nil || len(m.GetNeighbors()) != 1 || m.GetNeighbors()[0].GetName() != "eth0" {
			t.Errorf("%s: %v %v", name, m, err)
		}
	}
	if _, err := s.ListBGPNeighbors(context.Background(), &BGPNeighborsRequest{Neighbor: "192.0.2.9"}); status.Code(err) != codes.NotFound {
		t.Errorf("%v", err)
	}
}

func TestClearBGP(t *testing.T) {
	f := &fakeBGP{}
	s := &Server{config: Config{BGP: f}}
	for how, want := range map[string]bgp.Reset{"": bgp.Hard, "hard": bgp.Hard, "soft": bgp.Soft, "soft in": bgp.SoftIn, "soft out": bgp.SoftOut} {
		if _, err := s.ClearBGP(context.Background(), &ClearBGPRequest{Neighbor: "eth0", How: how}); err != nil || f.cleared != fmt.Sprint("eth0 ", want) {
			t.Errorf("%q: %s, %v", how, f.cleared, err)
		}
	}
	for _, q := range []*ClearBGPRequest{{How: "soft"}, {Neighbor: "eth0", How: "in"}} {
		if _, err := s.ClearBGP(context.Background(), q); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v", q, err)
		}
	}
}

// TestBGPErrors holds that clients can tell apart what is not there.
func TestBGPErrors(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		bgp  BGP
		code codes.Code
		text string
	}{
		{nil, codes.NotFound, NoBGP}, {&fakeBGP{err: bgp.ErrNoBGP}, codes.NotFound, NoBGP},
		{&fakeBGP{err: fmt.Errorf("eth7: %w", bgp.ErrNoNeighbor)}, codes.NotFound, "eth7: no such neighbor"}, {&fakeBGP{err: errors.New("broken")}, codes.Internal, "broken"},
	} {
		s := &Server{config: Config{BGP: c.bgp}}
		_, neighbors := s.ListBGPNeighbors(ctx, &BGPNeighborsRequest{})
		_, cleared := s.ClearBGP(ctx, &ClearBGPRequest{Neighbor: "all"})
		for _, err := range []error{neighbors, cleared, s.ListBGPPaths(&BGPPathsRequest{}, &pathStream{})} {
			if st, _ := status.FromError(err); st.Code() != c.code || !strings.HasPrefix(st.Message(), c.text) {
				t.Errorf("%v: %v", c.bgp, err)
			}
		}
	}
}
