package api

import (
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"weft/control/rib"
	"weft/dataplane"
	"weft/fib"
)

// batchSize is how many elements a message of a stream has: a chunk is taken
// between two changes, and must not hold these up.
const batchSize = 512

// ListGroups implements RouterServer.
func (s *Server) ListGroups(q *GroupsRequest, stream grpc.ServerStreamingServer[Groups]) error {
	var all []*Group
	err := s.do(stream.Context(), func(r *rib.RIB) {
		names := s.portNames()
		if q.Id != 0 {
			if g, err := r.Image().Group(fib.GroupID(q.Id)); err == nil {
				all = append(all, showGroup(r, names, fib.GroupID(q.Id), &g))
			}
			return
		}
		for id, g := range r.Image().Groups() {
			all = append(all, showGroup(r, names, id, &g))
		}
	})
	if err != nil {
		return err
	}
	if q.Id != 0 && len(all) == 0 {
		return status.Errorf(codes.NotFound, "group %d: %v", q.Id, errNoGroup)
	}
	for len(all) > 0 {
		n := min(batchSize, len(all))
		if err := stream.Send(&Groups{Groups: all[:n]}); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// portNames returns the names of ports by their numbers.
func (s *Server) portNames() map[uint32]string {
	names := map[uint32]string{}
	for _, p := range s.config.Engine.Ports() {
		names[p.Number] = validUTF8(p.Name)
	}
	return names
}

var kindNames = map[fib.GroupKind]string{
	fib.Forward: "forward", fib.Local: "local", fib.Glean: "glean", fib.Blackhole: "blackhole", fib.Reject: "reject", fib.Punt: "punt",
}

func showGroup(r *rib.RIB, names map[uint32]string, id fib.GroupID, g *fib.Group) *Group {
	out := &Group{Id: uint32(id), Kind: kindNames[g.Kind], Code: uint32(g.Code), Dev: names[g.Port]}
	if g.Kind == fib.Punt {
		out.Reason = dataplane.Reason(g.Reason).String()
	}
	if len(g.Members) > 1 {
		out.Mode = "hash_threshold"
		if g.Mode == fib.Resilient {
			out.Mode = "resilient"
		}
	}
	for _, m := range g.Members {
		a, _ := r.Image().Adjacency(m.Adjacency)
		member := &Member{
			Adjacency: uint32(m.Adjacency), Weight: uint32(m.Weight), Dev: names[a.Port], Complete: a.Complete, Mtu: a.MTU,
		}
		if a.Neighbor.IsValid() {
			member.Gateway = a.Neighbor.String()
		}
		if a.Complete {
			member.Lladdr = net.HardwareAddr(a.Rewrite[:6]).String()
		}
		out.Members = append(out.Members, member)
	}
	return out
}

// ListNeighbors implements RouterServer.
func (s *Server) ListNeighbors(_ *NeighborsRequest, stream grpc.ServerStreamingServer[Neighbors]) error {
	var all []*Neighbor
	err := s.do(stream.Context(), func(r *rib.RIB) {
		for n := range r.Neighbors {
			l, _ := r.Link(n.Link)
			all = append(all, &Neighbor{
				Dst: n.Addr.String(), Dev: validUTF8(l.Name), Lladdr: macOf(&n), State: stateNames(n.State), Used: r.IsUsed(n.Link, n.Addr),
			})
		}
	})
	if err != nil {
		return err
	}
	sortNeighbors(all)
	for len(all) > 0 {
		n := min(batchSize, len(all))
		if err := stream.Send(&Neighbors{Neighbors: all[:n]}); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}
