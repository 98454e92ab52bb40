package api

import (
	"context"
	"net"
	"sync"
	"time"

	"weft/control/kernel"
	"weft/control/rib"
	"weft/dataplane"
)

// ListPorts implements RouterServer.
func (s *Server) ListPorts(ctx context.Context, _ *PortsRequest) (*Ports, error) {
	links := map[int]kernel.Link{}
	if err := s.do(ctx, func(r *rib.RIB) {
		for l := range r.Links {
			links[l.Index] = *l
		}
	}); err != nil {
		return nil, err
	}
	reply := &Ports{}
	for _, p := range s.config.Engine.Ports() {
		l := links[p.Ifindex]
		counters := s.config.Engine.Counters(p.Number)
		reply.Ports = append(reply.Ports, &Port{
			Number: p.Number, Dev: validUTF8(p.Name), Ifindex: uint32(p.Ifindex), Mac: net.HardwareAddr(p.MAC[:]).String(),
			Vrf: uint32(p.VRF), Vlan: uint32(p.VLAN), Parent: p.Parent, Mode: string(p.Mode), Ipv4: p.IPv4, Ipv6: p.IPv6,
			Engine: p.Engine.String(), EngineMatch: s.engineMatch(&p), Sockets: string(p.Sockets), SocketsWhy: validUTF8(p.SocketsReason),
			IngressWhy: validUTF8(p.IngressReason), Egress: string(p.Egress), EgressWhy: validUTF8(p.EgressReason), EgressErrors: p.EgressLost,
			Unaccounted: p.Unaccounted, UnaccountedWhy: validUTF8(p.UnaccountedReason),
			Mtu: l.MTU, Up: l.IsUp() && l.HasCarrier(), Counters: s.seen.counters(p.Number, &counters),
		})
	}
	if staged, ok := s.config.Engine.(Staged); ok {
		for _, one := range staged.Stages() {
			reply.Stages = append(reply.Stages, &Stage{
				Name: one.Name, Calls: one.Calls, Packets: one.Packets, Nanoseconds: uint64(one.Took.Nanoseconds()),
			})
		}
	}
	for _, r := range s.config.Ports.Refused() {
		reply.Refused = append(reply.Refused, &Refused{Dev: validUTF8(r.Name), Error: validUTF8(r.Err.Error())})
	}
	return reply, nil
}

// engineMatch is the glob by which the configuration gives a port its engine.
func (s *Server) engineMatch(p *dataplane.PortStatus) string {
	if p.Parent != 0 {
		return "" // it has that of the port below
	}
	r, _ := s.config.Ports.Rule(p.Name)
	return r.Match
}

// Staged is an Engine that can say what each step of its loop has had to do.
type Staged interface{ Stages() []dataplane.Stage }

// seen remembers when each counter last counted.
type seen struct {
	mu   sync.Mutex
	last map[uint32]*lastSeen // by port
}

type lastSeen struct {
	packets [dataplane.NumReasons]uint64
	at      [dataplane.NumReasons]int64
}

// newSeen does not know when what an engine has counted already was.
func newSeen(e dataplane.Engine) *seen {
	s := &seen{last: map[uint32]*lastSeen{}}
	for _, p := range e.Ports() {
		l := &lastSeen{}
		for reason, n := range e.Counters(p.Number) {
			l.packets[reason] = n.Packets
		}
		s.last[p.Number] = l
	}
	return s
}

// counters converts counters, and notes those that have counted since the last
// reading.
func (s *seen) counters(port uint32, c *dataplane.Counters) (list []*Counter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.note(port, c, time.Now())
	for reason := range dataplane.Reasons() {
		if n := c[reason]; n.Packets > 0 {
			list = append(list, &Counter{
				Reason: reason.String(), Verdict: reason.Verdict().String(), Packets: n.Packets, Bytes: n.Bytes, LastSeen: l.at[reason],
			})
		}
	}
	return list
}

func (s *seen) note(port uint32, c *dataplane.Counters, now time.Time) *lastSeen {
	l := s.last[port]
	if l == nil {
		l = &lastSeen{}
		s.last[port] = l
	}
	for reason := range c {
		if n := c[reason].Packets; n != l.packets[reason] {
			l.packets[reason], l.at[reason] = n, now.UnixNano()
		}
	}
	return l
}

// watchCounters keeps the times right to the second.
func (s *Server) watchCounters(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			s.seen.mu.Lock()
			for _, p := range s.config.Engine.Ports() {
				c := s.config.Engine.Counters(p.Number)
				s.seen.note(p.Number, &c, now)
			}
			s.seen.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}
