package agreement

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"

	"weft/control/rib"
	"weft/dataplane"
	"weft/dataplane/packet"
	"weft/dataplane/soft"
	"weft/fib"
	"weft/test/model"
)

// Soft is package soft's loop, on the FIB and with the ports that an Engine has come to.
// What weft leaves to Linux otherwise it finishes itself.
type Soft struct {
	*Engine // somebody else's
	probe   *soft.Probe
}

// NewSoft makes a loop beside an engine, which goes before it.
func NewSoft(e *Engine) (*Soft, error) {
	p, err := soft.NewProbe()
	if err != nil {
		return nil, err
	}
	return &Soft{e, p}, nil
}

// Name implements Forwarder.
func (s *Soft) Name() string {
	v := s.variant
	v.Chunked = false // it is all the same to the loop
	return "soft" + v.Name()[len("xdp"):]
}

// Set implements Forwarder.
func (s *Soft) Set(state *model.State) error {
	if err := s.Engine.Set(state); err != nil {
		return err
	}
	var im *fib.Image
	if err := s.follower.Do(context.Background(), func(r *rib.RIB) { im = r.Image() }); err != nil {
		return fmt.Errorf("%s: find the FIB: %w", s.Name(), err)
	}
	// As the State's Linux, which has no limits.
	c := &soft.Config{Image: im, Interfaces: s.interfaces(), Limits: packet.Limits{PerSecond: 1_000_000, Burst: 1_000_000}}
	for _, p := range s.engine.Ports() {
		c.Ports = append(c.Ports, soft.Port{Port: p.Port, Partial: s.variant.Partial})
	}
	return s.probe.Set(c)
}

// interfaces are those of the State. Linux takes the IPv6 addresses of one that is down,
// or too small for IPv6.
func (s *Soft) interfaces() (all []soft.Interface) {
	for i, p := range s.s.Ports {
		addresses := slices.DeleteFunc(slices.Clone(p.Addrs), func(a netip.Prefix) bool {
			return a.Addr().Is6() && (p.Down || p.MTU < minMTU6)
		})
		one := soft.Interface{Port: s.numbers[i], MTU: p.MTU, Addresses: addresses}
		all = append(all, one)
		if one.Port != 0 && s.variant.VLAN { // what comes in by it
			one.Port += maxPorts
			all = append(all, one)
		}
	}
	return all
}

// Forward implements Forwarder.
func (s *Soft) Forward(packets []Packet, answers []Answer) error {
	for i, p := range packets {
		if err := s.forward(p, &answers[i]); err != nil {
			return fmt.Errorf("%s: %w (packet %x)", s.Name(), err, p.Frame)
		}
	}
	return nil
}

func (s *Soft) forward(p Packet, a *Answer) (err error) {
	var o soft.Outcome
	run := func(frame []byte, port uint32) (dataplane.Result, error) {
		o, err = s.probe.Run(frame, port)
		return o.Result, err
	}
	if s.variant.VLAN {
		err = s.taggedBy(p, a, run)
	} else if _, err = run(p.Frame, s.numbers[p.Port]); err == nil {
		*a = s.answer(&o.Result)
	}
	if err == nil && a.Left == "" {
		s.finished(&o, a)
	}
	return err
}

// finished adds what a packet that does not just leave has come to.
func (s *Soft) finished(o *soft.Outcome, a *Answer) {
	a.finished = o.Reason.Verdict() == dataplane.Punt && !slices.Contains(o.Fates, soft.FatePunted)
	for _, one := range o.Sent {
		a.Linux.Sent = append(a.Linux.Sent, model.Sent{Ports: []string{s.names[one.Port]}, Frame: one.Frame})
	}
}

// Close implements Forwarder.
func (s *Soft) Close() error { return s.probe.Close() }

// compareFinished compares what an engine sends, of packets that weft leaves to Linux
// otherwise, with what the model says that Linux would. Weft does not validate sources:
// that is one of model.Differences.
func compareFinished(m, e *Answer, name string) *difference {
	if isOpen(&m.Linux) || m.Linux.Why == ownSource {
		return nil
	}
	seen := e.Linux.Sent
	if m.Reason == dataplane.ChecksumPartial {
		seen = unfilled(seen, m.Frame)
	}
	if m.Linux.Is(seen) {
		return nil
	}
	return &difference{
		"model and " + name, "finished, " + m.Reason.String(),
		fmt.Sprintf("linux %s (%s):\n%s%s", m.Linux.Does, m.Linux.Why, sentWords(m.Linux.Sent), sentWords(seen)),
	}
}

// ownSource is why Linux drops what has one of its own addresses as source.
const ownSource = "IP_LOCAL_SOURCE"

// unfilled has the L4 checksum again that a packet came with, if it left, and no padding:
// Linux is given it without the note that it is to be filled in.
func unfilled(sent []model.Sent, came []byte) []model.Sent {
	if len(sent) == 0 {
		return sent
	}
	f := slices.Clone(sent[0].Frame[:l3+len(packetOf(sent[0].Frame))]) // the first fragment, if there are several
	l4, protocol := l3+20, f[l3+9]
	if f[l3]>>4 == 6 {
		l4, protocol = l3+40, f[l3+6]
	}
	at, n := l4+map[byte]int{6: 16, 17: 6, 132: 8}[protocol], 2
	if protocol == 132 {
		n = 4
	}
	if end := at + n; end <= len(f) && end <= len(came) && bytes.Equal(f[l4:l4+4], came[l4:l4+4]) {
		copy(f[at:end], came[at:])
	}
	return append([]model.Sent{{Ports: sent[0].Ports, Frame: f}}, sent[1:]...)
}
