package api

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"weft/control/kernel"
	"weft/control/rib"
)

// ListRoutes implements RouterServer.
func (s *Server) ListRoutes(q *RoutesRequest, stream grpc.ServerStreamingServer[Routes]) error {
	within := netip.Prefix{}
	if q.Prefix != "" {
		p, err := netip.ParsePrefix(q.Prefix)
		if err != nil {
			return invalid("prefix %q: want ADDRESS/LENGTH", q.Prefix)
		}
		within = p.Masked()
	}
	if q.Family != 0 && q.Family != 4 && q.Family != 6 {
		return invalid("family %d: want 4 or 6", q.Family)
	}
	// The keys are taken at once, which costs 24 MB for a million; what they lead to is read as it is sent.
	var keys []rib.Key
	waiting := s.waitingRoutes()
	if err := s.do(stream.Context(), func(r *rib.RIB) {
		takes := func(k rib.Key) bool { return q.takes(k, within) }
		keys = append(r.Keys(takes), waiting.absent(r, takes)...)
	}); err != nil {
		return err
	}
	slices.SortFunc(keys, rib.Key.Compare)
	sent := uint64(0)
	for len(keys) > 0 {
		n := min(batchSize, len(keys))
		batch := &Routes{}
		if err := s.do(stream.Context(), func(r *rib.RIB) {
			for _, k := range keys[:n] {
				for _, one := range s.routesTo(r, k, waiting) {
					if q.wants(one) && (q.Limit == 0 || sent < q.Limit) {
						batch.Routes = append(batch.Routes, one)
						sent++
					}
				}
			}
		}); err != nil {
			return err
		}
		if keys = keys[n:]; len(batch.Routes) > 0 {
			if err := stream.Send(batch); err != nil {
				return err
			}
		}
		if q.Limit != 0 && sent >= q.Limit {
			break
		}
	}
	return nil
}

// takes decides by the prefix alone.
func (q *RoutesRequest) takes(k rib.Key, within netip.Prefix) bool {
	if q.Vrf != nil && int(*q.Vrf) != k.VRF() {
		return false
	}
	if q.Family == 0 && !within.IsValid() {
		return true
	}
	p := k.Prefix()
	switch {
	case q.Family == 4 && !p.Addr().Is4() || q.Family == 6 && p.Addr().Is4():
		return false
	case !within.IsValid():
		return true
	case q.Exact:
		return p == within
	}
	return p.Bits() >= within.Bits() && within.Contains(p.Addr())
}

// wants decides by the route.
func (q *RoutesRequest) wants(shown *Route) bool {
	switch {
	case !q.All && (!shown.Selected || shown.Table == tableLocal),
		q.Protocol != "" && q.Protocol != shown.Protocol,
		q.Type != "" && q.Type != shown.Type:
		return false
	}
	return q.Dev == "" || slices.ContainsFunc(shown.Nexthops, func(h *NextHop) bool { return h.Dev == q.Dev })
}

const tableLocal = 255

func showRoute(r *rib.RIB, route *rib.Candidate) *Route {
	out := &Route{
		Dst: route.Prefix.String(), Vrf: uint32(route.VRF), Table: r.Table(route.VRF),
		Type: typeName(route.Type), Protocol: protocolName(route.Protocol), Scope: scopeName(route.Scope),
		Metric: route.Metric, Nhid: route.NextHop, Mtu: route.MTU, Group: uint32(route.Group),
		Selected: route.Selected, Installed: route.Installed,
	}
	if route.Offered == rib.BGP {
		out.Protocol = protocolName(unix.RTPROT_BGP) // the kernel has it with weft's own
	}
	out.Source, out.Origin, out.Eligible, out.Why = route.Offered.String(), route.Origin, route.Eligible, route.Why
	if route.Local {
		out.Table = tableLocal
	}
	if route.Source.IsValid() {
		out.Prefsrc = route.Source.String()
	}
	dev := func(link int) string { l, _ := r.Link(link); return validUTF8(l.Name) }
	out.Nexthops, out.Resolved = showHops(route.Hops, dev), showHops(route.Resolved, dev)
	return out
}

func sortNeighbors(all []*Neighbor) {
	slices.SortFunc(all, func(a, b *Neighbor) int {
		x, _ := netip.ParseAddr(a.Dst)
		y, _ := netip.ParseAddr(b.Dst)
		return cmp.Or(x.Compare(y), cmp.Compare(a.Dev, b.Dev))
	})
}

func showHops(hops []kernel.Hop, dev func(int) string) (shown []*NextHop) {
	for _, h := range hops {
		hop := &NextHop{Dev: dev(h.Link), Weight: uint32(h.Weight)}
		if h.Gateway.IsValid() {
			hop.Gateway = h.Gateway.String()
		}
		shown = append(shown, hop)
	}
	return shown
}

// showKernelRoute shows a route of which only the kernel has told.
func showKernelRoute(route *kernel.Route, dev func(int) string) *Route {
	return &Route{
		Dst: route.Prefix.String(), Table: route.Table, Type: typeName(route.Type), Protocol: protocolName(route.Protocol),
		Scope: scopeName(route.Scope), Metric: route.Metric, Nhid: route.NextHop, Mtu: route.MTU,
		Nexthops: showHops(route.Hops, dev),
	}
}

// describeNextHop writes an object as ip nexthop does.
func describeNextHop(n *kernel.NextHop, dev func(int) string) string {
	b := []string{"id", strconv.Itoa(int(n.ID))}
	switch {
	case n.IsGroup():
		members := make([]string, len(n.Members))
		for i, m := range n.Members {
			members[i] = fmt.Sprintf("%d,%d", m.ID, m.Weight)
		}
		b = append(b, "group", strings.Join(members, "/"))
		if n.Resilient {
			b = append(b, "type resilient")
		}
	case n.Blackhole:
		b = append(b, "blackhole")
	default:
		if n.Hop.Gateway.IsValid() {
			b = append(b, "via", n.Hop.Gateway.String())
		}
		b = append(b, "dev", dev(n.Hop.Link))
	}
	return strings.Join(b, " ")
}
