package agreement

import (
	"weft/dataplane"
	"weft/test/model"
)

// Forwarder is one that a State is given to, and then packets of it. One goroutine
// at a time may use it.
type Forwarder interface {
	Name() string
	// Set waits until the forwarder is in a State.
	Set(*model.State) error
	// Forward says what becomes of packets, one answer for each, in the State of
	// the last Set. The packets are not changed.
	Forward([]Packet, []Answer) error
	Close() error
}

// Answer is what a forwarder does with a packet.
type Answer struct {
	// Of the model and of engines.
	Reason dataplane.Reason
	Port   string // it leaves by, when it is forwarded
	Frame  []byte // as it leaves

	// Of Linux: what has left (Sent). Of the model: what is to leave.
	Linux model.Linux

	// Why the packet was not given to the forwarder; "": it was.
	Left string
}

// Model is the model as a Forwarder.
type Model struct {
	// Partial takes packets for ones of hosts that leave checksums to hardware.
	Partial bool
	s       *model.State
}

// Name implements Forwarder.
func (m *Model) Name() string { return "model" }

// Set implements Forwarder.
func (m *Model) Set(s *model.State) error {
	c := *s
	c.Ports = append([]model.Port{}, s.Ports...)
	for i := range c.Ports {
		c.Ports[i].Partial = m.Partial
	}
	m.s = &c
	return nil
}

// Forward implements Forwarder.
func (m *Model) Forward(packets []Packet, answers []Answer) error {
	for i, p := range packets {
		o := m.s.Forward(p.Frame, m.s.Ports[p.Port].Name)
		answers[i] = Answer{Reason: o.Reason, Port: o.Port, Frame: o.Frame, Linux: o.Linux}
	}
	return nil
}

// Close implements Forwarder.
func (m *Model) Close() error { return nil }
