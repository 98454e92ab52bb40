package api

import (
	"context"
	"errors"
	"iter"
	"net/netip"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"weft/control/bgp"
	"weft/control/config"
)

// BGP is what a Server asks of the BGP router: a bgp.Server.
type BGP interface {
	Status() (bgp.Status, error)
	Neighbors(advertised bool) ([]bgp.Neighbor, error)
	Paths(bgp.Filter) iter.Seq2[bgp.Path, error]
	Clear(neighbor string, how bgp.Reset) error
}

// NoBGP is what a client is told when it asks of BGP, and there is none (NotFound).
const NoBGP = "BGP is not configured"

// bgpError makes a status of an error of BGP.
func bgpError(err error) error {
	switch {
	case errors.Is(err, bgp.ErrNoBGP):
		return status.Error(codes.NotFound, NoBGP)
	case errors.Is(err, bgp.ErrNoNeighbor):
		return status.Error(codes.NotFound, err.Error())
	}
	return status.Error(codes.Internal, err.Error())
}

// bgpStatus returns the status of BGP.
//
// Errors: bgp.ErrNoBGP.
func (s *Server) bgpStatus() (*BGPStatus, error) {
	if s.config.BGP == nil {
		return nil, bgp.ErrNoBGP
	}
	st, err := s.config.BGP.Status()
	if err != nil {
		return nil, err
	}
	return showBGP(&st), nil
}

// ListBGPNeighbors implements RouterServer.
func (s *Server) ListBGPNeighbors(_ context.Context, q *BGPNeighborsRequest) (*BGPNeighbors, error) {
	reply := &BGPNeighbors{}
	if s.config.BGP == nil {
		return nil, bgpError(bgp.ErrNoBGP)
	}
	all, err := s.config.BGP.Neighbors(q.GetAdvertised())
	if err != nil {
		return nil, bgpError(err)
	}
	if reply.Bgp, err = s.bgpStatus(); err != nil { // behind Neighbors, which counts paths
		return nil, bgpError(err)
	}
	configured := s.bgpConfigs()
	for i := range all {
		if q.GetNeighbor() != "" && !isNamed(&all[i], q.GetNeighbor()) {
			continue
		}
		one := showBGPNeighbor(&all[i])
		one.Config = configured[all[i].Name]
		reply.Neighbors = append(reply.Neighbors, one)
	}
	if q.GetNeighbor() != "" && len(reply.Neighbors) == 0 {
		return nil, status.Errorf(codes.NotFound, "%s: %v", q.GetNeighbor(), bgp.ErrNoNeighbor)
	}
	return reply, nil
}

// isNamed reports whether a neighbor has a name, or an unnumbered one the address.
func isNamed(n *bgp.Neighbor, name string) bool {
	a, err := netip.ParseAddr(name)
	return n.Name == name || err == nil && n.Address.IsValid() && n.Address.WithZone("") == a.WithZone("")
}

// ListBGPPaths implements RouterServer.
func (s *Server) ListBGPPaths(q *BGPPathsRequest, stream grpc.ServerStreamingServer[BGPPaths]) error {
	f, address, err := q.filter()
	if err != nil {
		return err
	}
	if s.config.BGP == nil {
		return bgpError(bgp.ErrNoBGP)
	}
	for sent := 0; ; f.Prefix = netip.PrefixFrom(address, f.Prefix.Bits()-1).Masked() {
		n, err := s.sendPaths(f, stream)
		if err != nil {
			return err
		}
		if sent += n; !address.IsValid() || sent > 0 || f.Prefix.Bits() == 0 {
			return nil
		}
	}
}

// sendPaths sends what there is, a batch at a time.
func (s *Server) sendPaths(f bgp.Filter, stream grpc.ServerStreamingServer[BGPPaths]) (sent int, err error) {
	batch := &BGPPaths{}
	for p, err := range s.config.BGP.Paths(f) {
		if err != nil {
			return sent, bgpError(err)
		}
		batch.Paths = append(batch.Paths, showBGPPath(&p))
		if sent++; len(batch.Paths) < batchSize {
			continue
		}
		if err := stream.Send(batch); err != nil {
			return sent, err
		}
		batch = &BGPPaths{}
	}
	if len(batch.Paths) > 0 {
		err = stream.Send(batch)
	}
	return sent, err
}

var bgpTables = map[string]bgp.Table{"": bgp.LocRIB, bgp.LocRIB.String(): bgp.LocRIB, bgp.AdjIn.String(): bgp.AdjIn, bgp.AdjOut.String(): bgp.AdjOut}

// filter reads a request. If it asks for the longest match of an address, that is
// returned, too.
func (q *BGPPathsRequest) filter() (f bgp.Filter, address netip.Addr, err error) {
	table, ok := bgpTables[q.GetTable()]
	f = bgp.Filter{Table: table, Neighbor: q.GetNeighbor(), Family: config.Family(q.GetFamily()), Longer: q.GetLonger(), Best: q.GetBest()}
	switch {
	case !ok:
		return f, address, invalid("table %q: want %s, %s or %s", q.GetTable(), bgp.LocRIB, bgp.AdjIn, bgp.AdjOut)
	case table != bgp.LocRIB && f.Neighbor == "":
		return f, address, invalid("table %s: of which neighbor?", table)
	case !slices.Contains([]config.Family{"", config.IPv4Unicast, config.IPv6Unicast}, f.Family):
		return f, address, invalid("family %q: want %s or %s", f.Family, config.IPv4Unicast, config.IPv6Unicast)
	case q.GetPrefix() == "":
		return f, address, nil
	}
	if f.Prefix, err = netip.ParsePrefix(q.GetPrefix()); err == nil {
		f.Prefix = f.Prefix.Masked()
	} else if address, err = netip.ParseAddr(q.GetPrefix()); err == nil && address.Zone() == "" && !f.Longer {
		f.Prefix = netip.PrefixFrom(address, address.BitLen())
	} else {
		return f, address, invalid("prefix %q: want ADDRESS/LENGTH, or an address", q.GetPrefix())
	}
	if f.Family != "" && f.Family != familyOf(f.Prefix) {
		return f, address, invalid("prefix %s: is not of family %s", f.Prefix, f.Family)
	}
	return f, address, nil
}

func familyOf(p netip.Prefix) config.Family {
	if p.Addr().Is4() {
		return config.IPv4Unicast
	}
	return config.IPv6Unicast
}

var bgpResets = map[string]bgp.Reset{"": bgp.Hard, "hard": bgp.Hard, "soft": bgp.Soft, "soft in": bgp.SoftIn, "soft out": bgp.SoftOut}

// ClearBGP implements RouterServer.
func (s *Server) ClearBGP(_ context.Context, q *ClearBGPRequest) (*ClearBGPReply, error) {
	how, ok := bgpResets[q.GetHow()]
	switch {
	case !ok:
		return nil, invalid("how %q: want hard, soft, soft in or soft out", q.GetHow())
	case q.GetNeighbor() == "":
		return nil, invalid("clear: of which neighbor?")
	case s.config.BGP == nil:
		return nil, bgpError(bgp.ErrNoBGP)
	}
	if err := s.config.BGP.Clear(q.GetNeighbor(), how); err != nil {
		return nil, bgpError(err)
	}
	return &ClearBGPReply{}, nil
}
