package soft

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"weft/test/star"
	"weft/test/traffic"
)

// mesh is traffic with sequence numbers from each host to the next one, in both families, each
// packet at its time, and a sink at each host.
type mesh struct {
	*star.Network
	flows []*flow
	sinks map[string]*traffic.Sink
	stop  context.CancelFunc
	ended chan error

	unsent uint64 // by the hosts' interfaces, before
}

// flow is the packets of one family from a host to the next.
type flow struct {
	*traffic.Generator
	from, to string
	first    uint64 // of its sequence numbers
}

const (
	meshRate  = 1000 // packets a second of each flow
	meshRange = uint64(traffic.Sequences / traffic.Stretches)
)

func beginMesh(n *star.Network) *mesh {
	n.Helper()
	m := &mesh{Network: n, sinks: map[string]*traffic.Sink{}}
	for host := 1; host <= 3; host++ {
		m.addSink(fmt.Sprintf("h%d", host))
	}
	for host := 1; host <= 3; host++ {
		for _, family := range []int{4, 6} {
			m.addFlow(host, host%3+1, family)
		}
	}
	m.unsent = m.notSent()
	ctx, stop := context.WithCancel(n.Context())
	m.stop, m.ended = stop, make(chan error, len(m.flows))
	n.Cleanup(stop)
	for _, f := range m.flows {
		go func() {
			m.ended <- n.Lab.In(f.from, func() error { return f.Trickle(ctx, meshRate) })
		}()
	}
	n.Until("packets arrive", func() bool { return m.arrived() > 100 })
	return m
}

func (m *mesh) addSink(host string) {
	m.Helper()
	ifindex := m.Link(host, "eth0").Attrs().Index
	err := m.Lab.In(host, func() error {
		sink, err := traffic.NewSink(ifindex, traffic.SinkOptions{Check: true, TTL: 63})
		if err == nil {
			m.sinks[host] = sink
			m.Cleanup(func() { sink.Close() })
		}
		return err
	})
	if err != nil {
		m.Fatal(err)
	}
}

func (m *mesh) addFlow(from, to, family int) {
	m.Helper()
	f := &flow{from: fmt.Sprintf("h%d", from), to: fmt.Sprintf("h%d", to), first: uint64(len(m.flows)) * meshRange}
	err := m.Lab.In(f.from, func() (err error) {
		f.Generator, err = traffic.NewGenerator(traffic.Spec{
			Ifindex: m.Link(f.from, "eth0").Attrs().Index, SrcMAC: m.MAC(f.from, "eth0"), DstMAC: m.MAC("r1", "to-"+f.from),
			Src: star.HostAddr(from, family), Dst: []netip.Addr{star.HostAddr(to, family)}, FrameSize: 128, First: f.first,
		})
		return err
	})
	if err != nil {
		m.Fatal(err)
	}
	m.Cleanup(f.Close)
	m.flows = append(m.flows, f)
}

// notSent is how many frames the hosts could not send, as the machine was busy with something else.
func (m *mesh) notSent() (sum uint64) {
	m.Helper()
	for host := range m.sinks {
		sum += m.Link(host, "eth0").Attrs().Statistics.TxDropped
	}
	return sum
}

func (m *mesh) counts() (sum traffic.Counts) {
	m.Helper()
	for _, sink := range m.sinks {
		c, err := sink.Counts()
		if err != nil {
			m.Fatal(err)
		}
		sum.Packets += c.Packets
		sum.WrongTTL += c.WrongTTL
		sum.Corrupt += c.Corrupt
		sum.Repeated += c.Repeated
		sum.Late += c.Late
	}
	return sum
}

func (m *mesh) arrived() uint64 { m.Helper(); return m.counts().Packets }

// pass waits until so many packets more have arrived.
func (m *mesh) pass(packets uint64) {
	m.Helper()
	want := m.arrived() + packets
	m.Until(fmt.Sprintf("%d more packets have arrived", packets), func() bool { return m.arrived() >= want })
}

// passed is what has become of a mesh.
type passed struct{ sent, late, lost uint64 }

// end ends the traffic and says what has become of it. All that has arrived is as it should be.
func (m *mesh) end() (p passed) {
	m.Helper()
	m.stop()
	for range m.flows {
		if err := <-m.ended; err != nil {
			m.Fatal(err)
		}
	}
	for _, f := range m.flows {
		p.sent += f.Sent()
	}
	for last, since := uint64(0), time.Now(); time.Since(since) < 300*time.Millisecond; time.Sleep(2 * time.Millisecond) {
		now := m.arrived()
		if now >= p.sent {
			break
		}
		if now != last {
			last, since = now, time.Now()
		}
	}
	var where []string
	for _, f := range m.flows {
		missing, err := m.sinks[f.to].Missing(f.first, int(f.Sent()))
		if err != nil {
			m.Fatal(err)
		}
		if p.lost += uint64(len(missing)); len(missing) > 0 {
			where = append(where, fmt.Sprintf("%s to %s: %d", f.from, f.to, len(missing)))
		}
	}
	if unsent := m.notSent() - m.unsent; unsent > 0 && p.lost > 0 {
		m.Logf("%d of %d packets were not sent: a host was too busy", unsent, p.sent)
		p.lost -= min(unsent, p.lost)
	}
	if p.lost > 0 {
		m.Logf("lost: %s", strings.Join(where, ", "))
	}
	c := m.counts()
	if c.WrongTTL+c.Corrupt+c.Repeated != 0 {
		m.Errorf("packets are not as they should be: %+v", c)
	}
	p.late = c.Late
	return p
}

// finish is end, and asserts that nothing was lost.
func (m *mesh) finish() passed {
	m.Helper()
	p := m.end()
	if p.lost != 0 {
		m.Errorf("%d of %d packets are lost", p.lost, p.sent)
	}
	if p.late > p.sent/100 {
		m.Errorf("%d of %d packets are late", p.late, p.sent)
	}
	return p
}
