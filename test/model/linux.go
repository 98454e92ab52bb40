package model

import (
	"bytes"
	"net/netip"
	"slices"

	"weft/dataplane"
)

// ingress is a packet in Linux's hands.
type ingress struct {
	*State
	in    *Port
	group bool // sent to a broadcast or multicast MAC
	src   netip.Addr
	dst   netip.Addr
}

// whyOwnSource is why Linux drops packets with its own address as source.
const whyOwnSource = "IP_LOCAL_SOURCE"

func discards(why string) Linux { return Linux{Does: Discards, Why: why} }

// linux says what Linux does with a frame.
func (s *State) linux(frame []byte, in *Port) Linux {
	if len(frame) < ethLen {
		return discards("") // no driver hands that up
	}
	m := destination(frame)
	if m != in.MAC && !isGroup(m) {
		return discards("OTHERHOST")
	}
	etherType, payload := be16(frame[12:]), frame[ethLen:]
	// IEEE 802.1Q 6.9: VID 0 is a priority, and no VLAN.
	for etherType == typeVLAN || etherType == typeQinQ {
		if len(payload) < tagLen || be16(payload)&tagVIDMask != 0 {
			return discards("OTHERHOST")
		}
		etherType, payload = be16(payload[2:]), payload[tagLen:]
	}
	g := ingress{State: s, in: in, group: isGroup(m)}
	switch etherType {
	case typeARP:
		return Linux{Does: Delivers}
	case typeIPv4:
		return g.linux4(payload)
	case typeIPv6:
		return g.linux6(payload)
	}
	return discards("UNHANDLED_PROTO")
}

// anyOf is what Linux does when its flow hash has several to choose from.
func anyOf(deeds []Linux) Linux {
	l := deeds[0]
	for _, d := range deeds[1:] {
		l.Or = append(append(l.Or, d), d.Or...)
	}
	for i := range l.Sent {
		for _, o := range l.Or {
			if len(o.Sent) == len(l.Sent) && !slices.Contains(l.Sent[i].Ports, o.Sent[i].Ports[0]) {
				l.Sent[i].Ports = append(l.Sent[i].Ports, o.Sent[i].Ports[0])
			}
		}
	}
	return l
}

// transmit sends packets to a next hop, or none while its MAC is not known.
func (s *State) transmit(does Deed, h Hop, dst netip.Addr, packets ...[]byte) Linux {
	to := s.neighbor(h.Port, h.to(dst))
	if !to.usable() {
		if does == Forwards {
			does = Resolves
		}
		return Linux{Does: does, Why: "neighbor not known"}
	}
	return s.emit(does, h.Port, to.MAC, packets...)
}

func (s *State) emit(does Deed, port string, to dataplane.MAC, packets ...[]byte) Linux {
	l := Linux{Does: does}
	out := s.port(port)
	for _, p := range packets {
		if p == nil {
			continue // no room for an error
		}
		etherType := typeIPv4
		if p[0]>>4 == 6 {
			etherType = typeIPv6
		}
		l.Sent = append(l.Sent, Sent{[]string{port}, ethernet(to, out.MAC, etherType, p)})
	}
	return l
}

// Is tells whether frames that were seen to leave, each by the first of its Ports,
// are what Linux does.
func (l *Linux) Is(seen []Sent) bool {
	same := func(a, b Sent) bool { return a.Ports[0] == b.Ports[0] && Same(a.Frame, b.Frame) }
	if l.Does == Undefined || slices.EqualFunc(l.Sent, seen, same) {
		return true
	}
	return slices.ContainsFunc(l.Or, func(o Linux) bool { return o.Is(seen) })
}

// Same tells whether two frames are equal but for what cannot be predicted.
func Same(a, b []byte) bool { return bytes.Equal(Normalize(a), Normalize(b)) }
