package agreement

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"weft/dataplane"
	"weft/test/model"
)

// difference is one thing that two forwarders do otherwise.
type difference struct {
	Between string // "model and xdp"
	What    string // "reason", "port", "frame" ...
	Detail  string
}

// same tells whether two differences are of one kind: what a shrunk packet must keep.
func (d *difference) same(e *difference) bool { return d.Between == e.Between && d.What == e.What }

func (d *difference) String() string { return fmt.Sprintf("%s: %s: %s", d.Between, d.What, d.Detail) }

// compareWeft compares what an engine does with what the model says.
func compareWeft(m, e *Answer, name string) *difference {
	differ := func(what, format string, args ...any) *difference {
		return &difference{"model and " + name, what, fmt.Sprintf(format, args...)}
	}
	switch {
	case m.Reason != e.Reason:
		return differ("reason", "%s and %s", m.Reason, e.Reason)
	case m.Port != e.Port:
		return differ("port", "%s and %s", m.Port, e.Port)
	case m.Reason.Verdict() != dataplane.Drop && !bytes.Equal(m.Frame, e.Frame):
		return differ("frame", "%s:\n%x\n%x", m.Reason, m.Frame, e.Frame)
	}
	return nil
}

// compareLinux compares what Linux has sent with what the model says that it would.
func compareLinux(m, l *Answer) *difference {
	if isOpen(&m.Linux) || m.Linux.Is(l.Linux.Sent) {
		return nil
	}
	what := fmt.Sprintf("sent, linux %s, %d and %d frames", m.Linux.Does, len(m.Linux.Sent), len(l.Linux.Sent))
	return &difference{"model and linux", what, fmt.Sprintf("%s (%s):\n%s%s", m.Linux.Does, m.Linux.Why, sentWords(m.Linux.Sent), sentWords(l.Linux.Sent))}
}

// alternatives are what Linux may do with a packet: one thing, or what its flow hash
// chooses from. None refers to others.
func alternatives(l *model.Linux) (all []model.Linux) {
	one := *l
	one.Or = nil
	all = append(all, one)
	for i := range l.Or {
		all = append(all, alternatives(&l.Or[i])...)
	}
	return all
}

// isOpen tells whether the model does not say what Linux sends: what it answers to
// what is its own, and what is left undefined.
func isOpen(l *model.Linux) bool {
	return slices.ContainsFunc(alternatives(l), func(one model.Linux) bool {
		return one.Does == model.Delivers || one.Does == model.Undefined
	})
}

func sentWords(all []model.Sent) string {
	if len(all) == 0 {
		return "nothing\n"
	}
	var b bytes.Buffer
	for _, s := range all {
		fmt.Fprintf(&b, "%v %x\n", s.Ports, s.Frame)
	}
	return b.String()
}

// compareDirectly compares what weft forwards with what Linux has sent, where the
// model says that Linux forwards it, too: the packet is the same, whichever of several
// next hops takes it.
func compareDirectly(m, e, l *Answer, name string) *difference {
	if e.Reason != dataplane.Forwarded || isOpen(&m.Linux) {
		return nil
	}
	all := alternatives(&m.Linux)
	did := slices.IndexFunc(all, func(one model.Linux) bool { return one.Is(l.Linux.Sent) })
	if did < 0 || all[did].Does != model.Forwards || len(l.Linux.Sent) != 1 {
		return nil // compareLinux has looked at it
	}
	differ := func(what, format string, args ...any) *difference {
		return &difference{name + " and linux", what, fmt.Sprintf(format, args...)}
	}
	sent := l.Linux.Sent[0]
	switch {
	case len(all) == 1 && (e.Port != sent.Ports[0] || !bytes.Equal(e.Frame[:l3], sent.Frame[:l3])):
		return differ("link", "%s %x and %s %x", e.Port, e.Frame[:l3], sent.Ports[0], sent.Frame[:l3])
	case !bytes.Equal(packetOf(e.Frame), packetOf(sent.Frame)):
		return differ("packet", "\n%x\n%x", e.Frame, sent.Frame)
	}
	return nil
}

// intended names the difference between weft and Linux that the model means, if it
// means one. One that is not listed is none of those.
func intended(p Packet, m *Answer) (name string, d *difference) {
	if isOpen(&m.Linux) || !m.Differs() {
		return "", nil
	}
	if listed, ok := model.Explain(p.Frame, m.Outcome); ok {
		return listed.Name, nil
	}
	return "", &difference{"weft and linux", "not listed", fmt.Sprintf("%s, and linux %s (%s)\n%s", m.Reason, m.Linux.Does, m.Linux.Why, sentWords(m.Linux.Sent))}
}

// packetOf returns the IP packet of a frame, without padding.
func packetOf(frame []byte) []byte {
	ip := frame[l3:]
	n := len(ip)
	switch {
	case len(ip) >= 20 && ip[0]>>4 == 4:
		n = int(binary.BigEndian.Uint16(ip[2:]))
	case len(ip) >= 40 && ip[0]>>4 == 6:
		n = 40 + int(binary.BigEndian.Uint16(ip[4:]))
	}
	return ip[:min(n, len(ip))]
}
