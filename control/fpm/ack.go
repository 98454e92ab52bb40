package fpm

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

const rtaNHID = 30 // RTA_NH_ID of linux/rtnetlink.h

// ack is the answer to a route.
type ack struct {
	said
	installed bool
}

// acks are answers that wait. For each prefix there is one, but for the last few.
type acks struct {
	items []item[key, ack]
	few   int // so many are not looked through
}

// leastFew keeps a peer that reads from being looked after.
const leastFew = 2 * chunk

func (a *acks) put(one item[key, ack]) {
	a.items = append(a.items, one)
	if len(a.items) < max(a.few, leastFew) {
		return
	}
	var last queue[key, ack]
	for _, i := range a.items {
		last.put(i.key, i.value)
	}
	a.items, a.few = last.items, 2*len(last.items)
}

// take returns all, and leaves nothing.
func (a *acks) take() []item[key, ack] {
	items := a.items
	*a = acks{}
	return items
}

// acknowledge queues answers to routes that the Sink has, for the peer that told
// them.
func (s *Server) acknowledge(b *Batch, routes page) {
	s.mu.Lock()
	p := s.peer
	s.mu.Unlock()
	if p == nil || len(routes) == 0 {
		return
	}
	s.inbox.mu.Lock()
	defer s.inbox.mu.Unlock()
	p.ackMu.Lock()
	defer p.ackMu.Unlock()
	for i := range routes {
		if b.Routes[i].Gone || b.Routes[i].Became == Parked {
			continue
		}
		if r := &routes[i]; r.generation == p.generation && s.inbox.waiting(r.number) == nil {
			p.acks.put(item[key, ack]{r.key, ack{r.said, b.Routes[i].Became == Installed}})
		}
	}
	signal(p.ackable)
}

// answer writes acknowledgements until the peer has gone. A peer that does not
// read them delays nobody: of each prefix one waits.
func (s *Server) answer(p *peer) {
	var out []byte
	for {
		select {
		case <-p.ackable:
		case <-p.ended:
			return
		}
		p.ackMu.Lock()
		acks := p.acks.take()
		p.ackMu.Unlock()
		for len(acks) > 0 {
			n := min(len(acks), chunk)
			out = out[:0]
			for i := range acks[:n] {
				out = appendAck(out, &acks[i].key, &acks[i].value)
			}
			if _, err := p.conn.Write(out); err != nil {
				return // the one who reads finds out why
			}
			s.countAcks(acks[:n])
			acks = acks[n:]
		}
	}
}

func (s *Server) countAcks(acks []item[key, ack]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range acks {
		if acks[i].value.installed {
			s.counts.Offloaded++
		} else {
			s.counts.OffloadFailed++
		}
	}
}

// appendAck appends a frame with one message: zebra reads no second one. It has to
// be a request, name the table as zebra did, and the protocol.
func appendAck(b []byte, k *key, a *ack) []byte {
	start := len(b)
	b = append(b, version, typeNetlink, 0, 0)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = binary.NativeEndian.AppendUint16(b, unix.RTM_NEWROUTE)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0) // sequence, port
	table, flags := uint8(unix.RT_TABLE_UNSPEC), uint32(unix.RTM_F_OFFLOAD)
	if k.table < 256 {
		table = uint8(k.table)
	}
	if !a.installed {
		flags = unix.RTM_F_OFFLOAD_FAILED
	}
	b = append(b, k.family, k.bits, 0, 0, table, a.protocol, a.scope, a.kind)
	b = binary.NativeEndian.AppendUint32(b, flags)
	b = appendAttribute(b, unix.RTA_DST, k.address())
	for _, n := range []struct {
		kind  uint16
		value uint32
	}{{unix.RTA_TABLE, k.table}, {unix.RTA_PRIORITY, a.metric}, {rtaNHID, a.nextHop}} {
		if n.value != 0 {
			b = appendAttribute(b, n.kind, binary.NativeEndian.AppendUint32(nil, n.value))
		}
	}
	binary.BigEndian.PutUint16(b[start+2:], uint16(len(b)-start))
	binary.NativeEndian.PutUint32(b[start+frameHeader:], uint32(len(b)-start-frameHeader))
	return b
}

// appendAttribute appends an attribute whose value is of 4 bytes or a multiple.
func appendAttribute(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	return append(b, value...)
}
