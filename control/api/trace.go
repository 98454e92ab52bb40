package api

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"weft/control/rib"
	"weft/dataplane/trace"
)

const (
	tracedMost  = 10_000    // packets of a trace: they are kept
	tracesMost  = 32        // that are kept, with those that have ended
	tracedSnap  = 256       // bytes of a frame that are kept unless told otherwise
	tracedBatch = 64        // packets that are explained together
	tracedRoom  = 128 << 20 // bytes that all traces may come to keep of frames as received, and of explanations
	tracedEach  = 1 << 10   // of that, for one packet's explanation
)

// Tracer is an Engine whose packets can be looked at.
type Tracer interface {
	StartTrace(trace.Selection) (*trace.Session, error)
	StopTrace(*trace.Session) error
}

// traces are those that clients have added, until they clear them.
type traces struct {
	mu      sync.Mutex
	next    uint32
	all     []*keptTrace
	closed  bool
	closing chan struct{} // closed then; made by the first that needs it
}

// keptTrace is one, and what it has got.
type keptTrace struct {
	id      uint32
	request *TraceRequest
	added   time.Time
	session *trace.Session
	packets []*TracedPacket // guarded by traces.mu
	ended   bool            // the same
	timer   *time.Timer     // nil: without end
}

// ends is closed when no trace and no capture goes on.
func (t *traces) ends() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing == nil {
		t.closing = make(chan struct{})
		if t.closed {
			close(t.closing)
		}
	}
	return t.closing
}

func (t *traces) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing != nil && !t.closed {
		close(t.closing)
	}
	t.closed = true
}

// AddTrace implements RouterServer.
func (s *Server) AddTrace(_ context.Context, q *TraceRequest) (*AddTraceReply, error) {
	if q.Count < 1 || q.Count > tracedMost {
		return nil, invalid("trace of %d packets: want 1 to %d, which are kept: 'weft capture' takes any number", q.Count, tracedMost)
	}
	if q.Snap == 0 {
		q.Snap = tracedSnap
	}
	session, err := s.startTrace(q)
	if err != nil {
		return nil, err
	}
	t := &s.traces
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.fits(q); err != nil {
		return nil, errors.Join(err, s.stopTrace(session))
	}
	t.next++
	k := &keptTrace{id: t.next, request: q, added: time.Now(), session: session}
	if q.Duration > 0 {
		k.timer = time.AfterFunc(time.Duration(q.Duration), func() { _ = s.stopTrace(session) })
	}
	t.all = append(t.all, k)
	go s.keep(k)
	return &AddTraceReply{Id: k.id}, nil
}

// fits tells whether there is room for one more trace. The caller holds mu.
func (t *traces) fits(q *TraceRequest) error {
	if len(t.all) >= tracesMost {
		return status.Errorf(codes.Aborted, "there are %d traces that were added, the most: 'weft trace clear' forgets them", tracesMost)
	}
	wanted := keptBytes(q)
	for _, k := range t.all {
		wanted += keptBytes(k.request)
	}
	if wanted > tracedRoom {
		return status.Errorf(codes.Aborted, "%d packets of up to %d bytes: with the traces that there are they may take more than %d MiB: "+
			"'weft trace clear' forgets those, or want fewer packets or a smaller --snaplen", q.Count, q.Snap, tracedRoom>>20)
	}
	return nil
}

// keptBytes is how much a trace may come to keep.
func keptBytes(q *TraceRequest) uint64 { return q.Count * (uint64(q.Snap) + tracedEach) }

// keep takes a trace's packets until it has ended.
func (s *Server) keep(k *keptTrace) {
	t := &s.traces
	for left := k.request.Count; ; {
		batch := nextBatch(k.session.Records())
		if len(batch) == 0 {
			break
		}
		explained := s.explainAll(k.id, batch[:min(left, uint64(len(batch)))])
		left -= uint64(len(explained))
		t.mu.Lock()
		k.packets = append(k.packets, explained...)
		k.ended = left == 0
		t.mu.Unlock()
		if left == 0 {
			_ = s.stopTrace(k.session) // what fails is tried again by the engine's Check
			break
		}
	}
	if k.timer != nil {
		k.timer.Stop()
	}
	t.mu.Lock()
	k.ended = true
	t.mu.Unlock()
}

// nextBatch waits for a record, and takes those that are there; none: there are no more.
func nextBatch(from <-chan *trace.Record) (batch []*trace.Record) {
	for r := range from {
		batch = append(batch, r)
		if len(batch) == tracedBatch || len(from) == 0 {
			break
		}
	}
	return batch
}

// explainAll tells what was decided of packets, by the FIB as it is now.
func (s *Server) explainAll(id uint32, batch []*trace.Record) (all []*TracedPacket) {
	names := s.newPortTable()
	waiting := s.waitingRoutes()
	for _, r := range batch {
		all = append(all, &TracedPacket{Trace: id, Packet: names.captured(r)})
	}
	// When the daemon ends there is no explanation.
	_ = s.do(context.Background(), func(rib *rib.RIB) {
		for i, r := range batch {
			all[i].Decision = s.decision(rib, names, r, waiting)
		}
	})
	return all
}

// decision is a record as the answer to a Lookup, without what Linux would do.
func (s *Server) decision(r *rib.RIB, names *portTable, rec *trace.Record, waiting waitingRoutes) *LookupReply {
	p := &probe{port: names.ports[rec.Ingress]}
	reply := &LookupReply{
		Verdict: rec.Reason.Verdict().String(), Reason: rec.Reason.String(), Group: rec.Group, Hash: rec.Hash, Adjacency: rec.Adjacency,
		Iif: names.name(rec.Ingress), Engine: rec.Engine.String(), Mode: string(p.port.Mode), Packet: rec.Frame, Result: rec.Packet,
	}
	var ok bool
	if p.src, p.dst, ok = addressesOf(rec.Frame); ok {
		reply.Src = p.src.String()
		s.explain(reply, r, p, &rec.Result, waiting)
	}
	return reply
}

// ShowTraces implements RouterServer.
func (s *Server) ShowTraces(_ *ShowTracesRequest, stream grpc.ServerStreamingServer[Traces]) error {
	t := &s.traces
	first := &Traces{}
	var packets []*TracedPacket
	t.mu.Lock()
	for _, k := range t.all {
		first.Traces = append(first.Traces, &Trace{
			Id: k.id, Request: k.request, Packets: uint64(len(k.packets)), Lost: k.session.Lost(), Active: !k.ended, Added: k.added.UnixNano(),
		})
		packets = append(packets, k.packets...)
	}
	t.mu.Unlock()
	slices.SortStableFunc(packets, func(a, b *TracedPacket) int { return cmp.Compare(a.Packet.Time, b.Packet.Time) })
	if err := stream.Send(first); err != nil {
		return err
	}
	for part := range slices.Chunk(packets, tracedBatch) {
		if err := stream.Send(&Traces{Packets: part}); err != nil {
			return err
		}
	}
	return nil
}

// ClearTraces implements RouterServer.
func (s *Server) ClearTraces(context.Context, *ClearTracesRequest) (*ClearTracesReply, error) {
	t := &s.traces
	t.mu.Lock()
	all := t.all
	t.all = nil
	t.mu.Unlock()
	var errs []error
	for _, k := range all {
		errs = append(errs, s.stopTrace(k.session))
	}
	return &ClearTracesReply{Traces: uint32(len(all))}, errors.Join(errs...)
}
