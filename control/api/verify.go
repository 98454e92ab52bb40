package api

import (
	"errors"
	"net/netip"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"weft/control"
	"weft/fib"
)

// Resolver is an Engine that can look many addresses up by its live program.
type Resolver interface {
	// Resolve says which groups the program finds for addresses, for packets in by
	// a port: ok is false where it does not come to a lookup.
	Resolve(ingress uint32, dst []netip.Addr, group []fib.GroupID, ok []bool) error
}

// Verify implements RouterServer.
func (s *Server) Verify(_ *VerifyRequest, stream grpc.ServerStreamingServer[VerifyReply]) error {
	if !s.verify.TryLock() {
		return status.Error(codes.ResourceExhausted, "another verification is under way: wait for its end")
	}
	defer s.verify.Unlock()
	defer func() { go debug.FreeOSMemory() }() // a table's worth. Who has asked does not wait for it
	resolver, ok := s.config.Engine.(Resolver)
	if !ok {
		return status.Error(codes.Unimplemented, "the engine cannot be asked")
	}
	resolve := func(vrf int, dst []netip.Addr, group []fib.GroupID, ok []bool) error {
		for _, p := range s.config.Engine.Ports() {
			if p.VRF == vrf && p.IPv4 && p.IPv6 {
				return resolver.Resolve(p.Number, dst, group, ok)
			}
		}
		return nil
	}
	var sendErr error
	v, err := s.config.Follower.Verify(stream.Context(), resolve, func(checked, total int) {
		if sendErr == nil && (checked == total || checked%(64<<10) == 0) {
			sendErr = stream.Send(&VerifyReply{Checked: uint64(checked), Total: uint64(total)})
		}
	})
	switch {
	case sendErr != nil:
		return sendErr
	case errors.Is(err, control.ErrStopped) || stream.Context().Err() != nil:
		return ended(err)
	case err != nil:
		return status.Error(codes.Internal, err.Error())
	}
	last := &VerifyReply{Done: true, Ipv4: uint64(v.IPv4), Ipv6: uint64(v.IPv6), Changing: uint64(v.Changing), Rereading: describeRereading(v.Rereading)}
	last.Checked = last.Ipv4 + last.Ipv6
	last.Total = last.Checked
	for _, d := range v.Differences {
		one := &Difference{Vrf: uint32(d.VRF), Between: d.Between, Want: d.Want, Have: d.Have}
		if d.Prefix.IsValid() {
			one.Dst = d.Prefix.String()
		}
		last.Differences = append(last.Differences, one)
	}
	return stream.Send(last)
}
