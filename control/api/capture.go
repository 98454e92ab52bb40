package api

import (
	"errors"
	"time"

	"google.golang.org/grpc"
)

// capturedTell is how often a capture without packets tells how many were lost.
const capturedTell = time.Second

// Capture implements RouterServer.
func (s *Server) Capture(q *TraceRequest, stream grpc.ServerStreamingServer[Captured]) (err error) {
	session, err := s.startTrace(q)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stopTrace(session)) }()
	names := s.newPortTable()
	first := &Captured{}
	for _, p := range names.ports {
		first.Ports = append(first.Ports, validUTF8(p.Name))
	}
	if err := stream.Send(first); err != nil { // the client knows that it has begun
		return err
	}
	var over <-chan time.Time
	if q.Duration > 0 {
		over = time.After(time.Duration(q.Duration))
	}
	tick := time.NewTicker(capturedTell)
	defer tick.Stop()
	told := uint64(0)
	ends := s.traces.ends()
	for left := q.Count; ; {
		m := &Captured{}
		select {
		case r, ok := <-session.Records():
			if !ok {
				return stream.Send(&Captured{Lost: session.Lost()})
			}
			m.Packets = append(m.Packets, names.captured(r))
			for n := len(session.Records()); n > 0 && len(m.Packets) < tracedBatch; n-- {
				if r, ok := <-session.Records(); ok {
					m.Packets = append(m.Packets, names.captured(r))
				}
			}
		case <-tick.C:
			names = s.newPortTable() // there may be new ones
		case <-over:
			over, ends = nil, nil
			if err := s.stopTrace(session); err != nil { // what is on its way comes yet
				return err
			}
			continue
		case <-ends:
			return nil
		case <-stream.Context().Done():
			return nil
		}
		if m.Lost = session.Lost(); len(m.Packets) == 0 && m.Lost == told {
			continue
		}
		told = m.Lost
		if q.Count > 0 {
			m.Packets = m.Packets[:min(left, uint64(len(m.Packets)))]
			left -= uint64(len(m.Packets))
		}
		if err := stream.Send(m); err != nil || q.Count > 0 && left == 0 {
			return err
		}
	}
}
