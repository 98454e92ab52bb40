package soft

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"weft/dataplane"
	"weft/dataplane/packet"
	"weft/dataplane/soft/device"
)

// Probe is a Worker of its own that takes one made frame at a time, and says what becomes
// of it. It sends nothing and counts nothing that anybody sees. One goroutine at a time.
type Probe struct {
	mem  *device.Memory
	pool *device.Pool
	w    *Worker
	now  time.Duration
	all  []*capture
}

// Outcome is what a Worker does with one frame.
type Outcome struct {
	dataplane.Result
	Sent  []Sent // all frames that leave, in order: the packet, its fragments or an ICMP error
	Fates []Fate // of a packet that does not just leave
}

// Sent is one frame that leaves by a port, or goes up to the kernel as come in by it.
type Sent struct {
	Port   uint32
	Kernel bool
	Frame  []byte
}

const probeFrames = 512

// NewProbe makes one. Close it.
func NewProbe() (*Probe, error) {
	m, err := device.NewMemory(probeFrames, device.MaxFrameSize)
	if err != nil {
		return nil, err
	}
	pool, err := m.NewPool(probeFrames)
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return &Probe{mem: m, pool: pool}, nil
}

// Set gives the Probe a Config. All ports can be sent to.
func (p *Probe) Set(c *Config) error {
	p.pool.Reset()
	p.all = nil
	p.w = NewWorker(Options{Memory: p.mem, Pool: p.pool, Now: func() time.Duration { return p.now }})
	if err := p.w.Set(c); err != nil {
		return err
	}
	for _, one := range c.Ports {
		if one.Parent != 0 {
			continue
		}
		out, up := &capture{port: one.Number, mem: p.mem}, &capture{port: one.Number, mem: p.mem, kernel: true}
		p.all = append(p.all, out, up)
		if err := p.w.Attach(one.Number, out, up); err != nil {
			return err
		}
	}
	return nil
}

// Run does with a frame what a Worker would do that has it from a port.
func (p *Probe) Run(frame []byte, ingress uint32) (Outcome, error) {
	return p.run(frame, ingress, p.w.decide)
}

func (p *Probe) run(frame []byte, ingress uint32, decide func(*state, uint64) uint64) (Outcome, error) {
	var o Outcome
	if len(frame) > device.MaxFrameSize-device.Headroom {
		return o, fmt.Errorf("run a frame of %d bytes: want at most %d", len(frame), device.MaxFrameSize-device.Headroom)
	}
	w := p.w
	w.holds.clear()
	p.pool.Reset()
	var at [1]uint64
	p.pool.Get(at[:])
	d := device.Descriptor{Address: at[0], Length: uint32(len(frame)), Port: ingress}
	copy(p.mem.Packet(d), frame)
	for _, c := range p.all {
		c.sent = nil
	}
	before := w.Fates()
	s := w.state.Load()
	if s != w.linked {
		w.changeTo(s)
	}
	p.now += time.Minute // no limit is reached
	start := time.Now()
	w.v.packets[0], w.v.group[0], w.v.adjacency[0], w.v.hash[0] = d, 0, 0, 0
	w.v.begin(1)
	t := decide(s, w.stages.start())
	o.Took = time.Since(start)
	p.read(&o, s)
	w.deliver(s, t)
	for f, n := range w.Fates() {
		if n.Packets > before[f].Packets {
			o.Fates = append(o.Fates, Fate(f))
		}
	}
	for _, c := range p.all {
		o.Sent = append(o.Sent, c.sent...)
	}
	if o.Reason == dataplane.Forwarded && len(o.Sent) == 1 {
		o.Packet = o.Sent[0].Frame
	}
	return o, nil
}

// read collects what has been decided of the packet.
func (p *Probe) read(o *Outcome, s *state) {
	v := &p.w.v
	d := v.packets[0]
	o.Reason, o.Ingress, o.Group, o.Hash = v.reason[0], d.Port, uint32(v.group[0]), v.hash[0]
	o.Adjacency = uint32(v.adjacency[0])
	if view := s.image.View(); o.Reason == dataplane.Forwarded {
		o.Egress = view.Block(v.adjacency[0]).Port
	}
	n := int(v.tags[0])
	o.Packet = append(make([]byte, n*packet.TagLen), p.mem.Packet(d)...)
	if n > 0 {
		packet.PushTags(o.Packet, v.tag[0][:n])
	}
}

// Close gives its memory back.
func (p *Probe) Close() error { return p.mem.Close() }

// capture is a Queue that keeps what it is to send.
type capture struct {
	port   uint32
	kernel bool
	mem    *device.Memory
	sent   []Sent
}

func (c *capture) Receive([]device.Descriptor) int { return 0 }

// Transmit keeps copies. The frames go back with all others, before the next packet.
func (c *capture) Transmit(all []device.Descriptor) int {
	for _, d := range all {
		c.sent = append(c.sent, Sent{c.port, c.kernel, slices.Clone(c.mem.Packet(d))})
	}
	return len(all)
}

func (c *capture) Flush()              {}
func (c *capture) Pending() int        { return 0 }
func (c *capture) FD() int             { return -1 }
func (c *capture) Arm() bool           { return false }
func (c *capture) Stats() device.Stats { return device.Stats{} }
func (c *capture) Close() error        { return nil }
