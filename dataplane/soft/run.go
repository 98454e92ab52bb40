package soft

import (
	"fmt"

	"weft/dataplane"
)

// probe is what Run runs packets through: the loop's steps, with counters and queues of its own.
type probe struct {
	*Probe
	config *Config // that it has
}

func (p *probe) close() error {
	if p == nil {
		return nil
	}
	return p.Close()
}

// Run implements dataplane.Engine: packets of ports that the loop has go through its own steps.
func (e *Engine) Run(frame []byte, ingress uint32) (dataplane.Result, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	root := e.root(ingress)
	if e.crew == nil || e.ports[root].Engine != dataplane.Soft {
		return e.Engine.Run(frame, ingress)
	}
	if len(frame) > e.crew.umem.PacketMax() { // the program does not give it to the loop
		return dataplane.Result{Reason: dataplane.LoopFrameTooLong, Ingress: ingress, Packet: frame}, nil
	}
	o, err := e.run(frame, root)
	if err != nil {
		return dataplane.Result{}, fmt.Errorf("run a packet in by port %d: %w", ingress, err)
	}
	r := o.Result
	if r.Reason.Verdict() == dataplane.Punt && len(o.Fates) > 0 && o.Fates[0] != FatePunted {
		r.Fate = o.Fates[0].String()
	}
	return r, nil
}

func (e *Engine) run(frame []byte, root uint32) (o Outcome, err error) {
	reader := e.readers.Join() // what it looks at stays meanwhile
	defer reader.Leave()
	if e.probe == nil {
		p, err := NewProbe()
		if err != nil {
			return o, err
		}
		e.probe = &probe{Probe: p}
	}
	if e.probe.config != e.config {
		if err := e.probe.Set(e.config); err != nil {
			return o, err
		}
		e.probe.config = e.config
	}
	return e.probe.Run(frame, root)
}

// root is the port that a port's frames come in by: itself, unless it is a VLAN.
func (e *Engine) root(number uint32) uint32 {
	for p, ok := e.ports[number]; ok && p.Parent != 0; p, ok = e.ports[number] {
		number = p.Parent
	}
	return number
}
