package api

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"weft/dataplane"
	"weft/dataplane/filter"
	"weft/dataplane/packet"
	"weft/dataplane/trace"
	"weft/dataplane/xdp"
)

// startTrace begins what a request wants.
func (s *Server) startTrace(q *TraceRequest) (*trace.Session, error) {
	tracer, ok := s.config.Engine.(Tracer)
	if !ok {
		return nil, status.Error(codes.Unimplemented, "the engine does not let packets be looked at")
	}
	sel, err := s.selection(q)
	if err != nil {
		return nil, err
	}
	session, err := tracer.StartTrace(sel)
	switch {
	case errors.Is(err, trace.ErrFull):
		return nil, status.Errorf(codes.Aborted, "%v: 'weft trace clear' ends traces", trace.ErrFull)
	case errors.Is(err, xdp.ErrProgram):
		return nil, status.Errorf(codes.Aborted, "the kernel does not take a program with this filter: %v: make it simpler", err)
	case err != nil:
		return nil, status.Errorf(codes.Internal, "%v", err)
	}
	return session, nil
}

func (s *Server) stopTrace(session *trace.Session) error {
	if tracer, ok := s.config.Engine.(Tracer); ok {
		return tracer.StopTrace(session)
	}
	return nil
}

// selection makes sense of a request.
func (s *Server) selection(q *TraceRequest) (sel trace.Selection, err error) {
	if sel.Filter, err = filter.Parse(q.Filter); err != nil {
		return sel, invalid("%v", err)
	}
	if q.Snap > uint32(trace.SnapMost) {
		return sel, invalid("%d bytes of each packet: want at most %d", q.Snap, trace.SnapMost)
	}
	if q.Duration < 0 {
		return sel, invalid("duration %d ns: want one above 0", q.Duration)
	}
	sel.Count, sel.Snap = q.Count, int(q.Snap)
	if sel.Reasons, err = reasonsOf(q); err != nil {
		return sel, err
	}
	switch q.Engine {
	case "":
	case dataplane.XDP.String(), dataplane.Soft.String():
		name := dataplane.XDP
		if q.Engine == dataplane.Soft.String() {
			name = dataplane.Soft
		}
		sel.Engine = &name
	default:
		return sel, invalid("engine %q: want %s or %s", q.Engine, dataplane.XDP, dataplane.Soft)
	}
	if q.Dev == "" {
		return sel, nil
	}
	for _, p := range s.config.Engine.Ports() {
		if validUTF8(p.Name) == q.Dev {
			sel.Port = p.Number
			return sel, nil
		}
	}
	return sel, status.Errorf(codes.NotFound, "interface %s: not a port: 'weft ports' lists them", q.Dev)
}

// reasonsOf returns those that a request names, and those of the verdicts that it names; none: all.
func reasonsOf(q *TraceRequest) (all []dataplane.Reason, err error) {
	for _, name := range q.Reasons {
		var r dataplane.Reason
		if err := r.UnmarshalText([]byte(name)); err != nil {
			return nil, invalid("%v", err)
		}
		all = append(all, r)
	}
	verdicts := []string{dataplane.Forward.String(), dataplane.Punt.String(), dataplane.Drop.String()}
	for _, v := range q.Verdicts {
		if !slices.Contains(verdicts, v) {
			return nil, invalid("verdict %q: want one of %s", v, strings.Join(verdicts, ", "))
		}
		for r := range dataplane.Reasons() {
			if r.Verdict().String() == v {
				all = append(all, r)
			}
		}
	}
	slices.Sort(all) // the loop goes through them for each packet
	return slices.Compact(all), nil
}

// portTable is the ports as they are now.
type portTable struct {
	ports map[uint32]dataplane.PortStatus
}

func (s *Server) newPortTable() *portTable {
	t := &portTable{map[uint32]dataplane.PortStatus{}}
	for _, p := range s.config.Engine.Ports() {
		t.ports[p.Number] = p
	}
	return t
}

func (t *portTable) name(number uint32) string { return validUTF8(t.ports[number].Name) }

// root is the name of the port at the root of another.
func (t *portTable) root(number uint32) string {
	p := t.ports[number]
	for range packet.MaxTags {
		if below, ok := t.ports[p.Parent]; ok && p.Parent != 0 {
			p = below
		}
	}
	return validUTF8(p.Name)
}

func (t *portTable) captured(r *trace.Record) *CapturedPacket {
	c := &CapturedPacket{
		Time: r.Time.UnixNano(), Engine: r.Engine.String(), Dev: t.name(r.Ingress), Root: t.name(r.Root), Frame: r.Frame, Bytes: uint32(r.Bytes),
		Verdict: r.Reason.Verdict().String(), Reason: r.Reason.String(), Group: r.Group, Hash: r.Hash, Adjacency: r.Adjacency,
	}
	if r.Reason.Verdict() == dataplane.Forward {
		c.Egress, c.EgressRoot, c.Sent, c.SentBytes = t.name(r.Egress), t.root(r.Egress), r.Packet, uint32(r.SentBytes)
	}
	if l := r.Loop; l != nil {
		c.Loop = &LoopSteps{Slow: l.Slow, Partial: l.Partial, Again: l.Again, Tags: uint32(l.Tags), Fates: l.Fates}
		for _, sent := range l.Sent {
			c.Loop.Sent = append(c.Loop.Sent, &SentFrame{Dev: t.root(sent.Port), Frame: sent.Frame, Bytes: uint32(sent.Bytes)})
		}
	}
	return c
}

// addressesOf returns those of a frame's IP packet.
func addressesOf(frame []byte) (src, dst netip.Addr, ok bool) {
	at := etherHeader
	for n := 0; n < packet.MaxTags; n++ {
		if _, tagged := packet.TagAt(frame, n); !tagged {
			break
		}
		at += packet.TagLen
	}
	if len(frame) < at {
		return src, dst, false
	}
	etherType, ip := packet.EtherType(frame[at-etherHeader:]), frame[at:]
	switch {
	case etherType == packet.TypeIPv4 && len(ip) >= headerIPv4:
		return netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20])), true
	case etherType == packet.TypeIPv6 && len(ip) >= headerIPv6:
		return netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40])), true
	}
	return src, dst, false
}
