package api

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"weft/control/rib"
	"weft/dataplane"
	"weft/fib"
)

// Lookup implements RouterServer.
func (s *Server) Lookup(ctx context.Context, q *LookupRequest) (*LookupReply, error) {
	p, err := s.probeOf(ctx, q)
	if err != nil {
		return nil, err
	}
	frame := p.frame()
	result, err := s.config.Engine.Run(frame, p.port.Number)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "run a packet through the program: %v", err)
	}
	reply := &LookupReply{
		Verdict: result.Reason.Verdict().String(), Reason: result.Reason.String(),
		Group: result.Group, Hash: result.Hash, Adjacency: result.Adjacency,
		Iif: validUTF8(p.port.Name), Src: p.src.String(), Mode: string(p.port.Mode), Engine: p.port.Engine.String(), Fate: result.Fate, Packet: frame, Result: result.Packet,
		Nanoseconds: result.Took.Nanoseconds(),
	}
	waiting := s.waitingRoutes()
	if err := s.do(ctx, func(r *rib.RIB) { s.explain(reply, r, p, &result, waiting) }); err != nil {
		return nil, err
	}
	reply.Kernel = askKernel(p, reply)
	return reply, nil
}

// explain tells what the image says of the packet's destination.
func (s *Server) explain(reply *LookupReply, r *rib.RIB, p *probe, result *dataplane.Result, waiting waitingRoutes) {
	im := r.Image()
	reply.Generation = im.Generation()
	t, err := im.Table(p.port.VRF)
	if err != nil {
		return
	}
	x := t.Explain(p.dst)
	for _, step := range x.Steps {
		reply.Steps = append(reply.Steps, &Step{
			Node: step.Node, Depth: uint32(step.Depth), Stride: uint32(step.Stride), Offset: step.Offset, Index: step.Index,
		})
	}
	if x.Prefix.IsValid() {
		reply.Prefix = x.Prefix.String()
		reply.Candidates = s.routesTo(r, rib.KeyOf(p.port.VRF, x.Prefix), waiting)
		for _, shown := range slices.Backward(reply.Candidates) {
			if shown.Selected {
				reply.Route = shown
			}
		}
	}
	if g, err := im.Group(fib.GroupID(result.Group)); err == nil {
		shown := showGroup(r, s.portNames(), fib.GroupID(result.Group), &g)
		reply.GroupKind, reply.Members = shown.Kind, uint32(len(shown.Members))
		reply.Dev = shown.Dev
	}
	if a, ok := im.Adjacency(fib.AdjacencyID(result.Adjacency)); ok {
		reply.Mtu, reply.Dev = a.MTU, s.portNames()[a.Port]
		if a.Neighbor.IsValid() {
			reply.Gateway = a.Neighbor.String()
		}
		if a.Complete {
			reply.Lladdr = net.HardwareAddr(a.Rewrite[:6]).String()
		}
	}
}

// probeOf makes a packet of a question.
func (s *Server) probeOf(ctx context.Context, q *LookupRequest) (*probe, error) {
	p := &probe{ttl: 64, protocol: protocolUDP, sport: 49152, dport: 33434, length: int(q.Length)}
	var err error
	if p.dst, err = netip.ParseAddr(q.Dst); err != nil || p.dst.Zone() != "" {
		return nil, invalid("destination %q: want an IPv4 or IPv6 address", q.Dst)
	}
	if q.Protocol > 255 || q.Sport > 65535 || q.Dport > 65535 || q.Ttl > 255 {
		return nil, invalid("protocol %d, ports %d and %d, TTL %d: out of range", q.Protocol, q.Sport, q.Dport, q.Ttl)
	}
	for _, set := range []struct {
		to   *int
		from uint32
	}{{&p.ttl, q.Ttl}, {&p.protocol, q.Protocol}, {&p.sport, q.Sport}, {&p.dport, q.Dport}} {
		if set.from != 0 {
			*set.to = int(set.from)
		}
	}
	if err := p.checkLength(); err != nil {
		return nil, err
	}
	if p.port, err = s.ingress(q.Iif, p.dst); err != nil {
		return nil, err
	}
	p.tags = s.tags(p.port)
	if q.Src != "" {
		if p.src, err = netip.ParseAddr(q.Src); err != nil || p.src.Zone() != "" || p.src.Is4() != p.dst.Is4() {
			return nil, invalid("source %q: want an address of the destination's family", q.Src)
		}
		return p, nil
	}
	err = s.do(ctx, func(r *rib.RIB) { p.src = neighborOf(r, p.port.Ifindex, p.dst.Is4()) })
	return p, err
}

// tags returns the VLAN tags with which frames come in by a port.
func (s *Server) tags(p dataplane.PortStatus) (tags []byte) {
	below := map[uint32]dataplane.PortStatus{}
	for _, p := range s.config.Engine.Ports() {
		below[p.Number] = p
	}
	for ; p.Parent != 0; p = below[p.Parent] {
		tag := binary.BigEndian.AppendUint16(nil, p.TPID)
		tags = append(binary.BigEndian.AppendUint16(tag, p.VLAN), tags...)
	}
	return tags
}

// ingress returns the port of a name, or the first that forwards the family.
func (s *Server) ingress(name string, dst netip.Addr) (dataplane.PortStatus, error) {
	ports := s.config.Engine.Ports()
	for _, p := range ports {
		if validUTF8(p.Name) == name || name == "" && (dst.Is4() && p.IPv4 || !dst.Is4() && p.IPv6) {
			return p, nil
		}
	}
	switch {
	case len(ports) == 0:
		return dataplane.PortStatus{}, status.Error(codes.FailedPrecondition, "no interface is a port: 'weft ports' and 'weft doctor' tell why")
	case name == "":
		return ports[0], nil
	}
	return dataplane.PortStatus{}, status.Errorf(codes.NotFound, "interface %s: not a port: 'weft ports' lists them", name)
}

// neighborOf returns an address that a host on a link may have.
func neighborOf(r *rib.RIB, link int, four bool) netip.Addr {
	own, subnets := map[netip.Addr]bool{}, []netip.Prefix{}
	for a := range r.Addrs {
		addr := a.Prefix.Addr()
		own[addr] = true
		if a.Link == link && addr.Is4() == four && !addr.IsLinkLocalUnicast() {
			subnets = append(subnets, a.Prefix)
		}
	}
	slices.SortFunc(subnets, netip.Prefix.Compare)
	for _, subnet := range subnets {
		for _, a := range []netip.Addr{subnet.Addr().Next(), subnet.Addr().Prev()} {
			if a.IsValid() && subnet.Contains(a) && !own[a] && !isEdge(subnet, a) {
				return a
			}
		}
	}
	if four {
		return netip.AddrFrom4([4]byte{192, 0, 2, 1}) // RFC 5737
	}
	return netip.MustParseAddr("2001:db8::1") // RFC 3849
}

// isEdge reports whether an address is the subnet's own or its broadcast address.
func isEdge(subnet netip.Prefix, a netip.Addr) bool {
	if subnet.Bits() >= a.BitLen()-1 { // RFC 3021, RFC 6164
		return false
	}
	return a == subnet.Masked().Addr() || a.Is4() && !subnet.Contains(a.Next())
}
