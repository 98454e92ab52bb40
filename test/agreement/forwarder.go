package agreement

import "weft/test/model"

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

// Answer is what a forwarder does with a packet. Engines leave out what Linux does,
// and Linux all but what it has sent.
type Answer struct {
	model.Outcome
	Left  string // why the packet was not given to the forwarder; "": it was
	asked bool   // again, with patience

	finished bool // the engine has done itself what weft leaves to Linux otherwise: Linux has what it sent
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
		answers[i] = Answer{Outcome: m.s.Forward(p.Frame, m.s.Ports[p.Port].Name)}
	}
	return nil
}

// Close implements Forwarder.
func (m *Model) Close() error { return nil }
