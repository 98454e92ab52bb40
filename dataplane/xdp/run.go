package xdp

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"weft/bpf"
	"weft/dataplane"
)

// probe is the engine's program once more, with counters of its own: what it is
// run on is not traffic.
type probe struct {
	prog  *ebpf.Program
	state bpf.State // Counters is the probe's
	mem   *memory
}

// needProbe makes the probe if there is none.
func (e *Engine) needProbe() (err error) {
	if e.closed {
		return ErrClosed
	}
	if e.probe == nil {
		e.probe, err = e.newProbe()
	}
	return err
}

func (e *Engine) newProbe() (_ *probe, err error) {
	fresh, err := bpf.NewState(int(e.mem.limit())*e.mem.cpus, 1)
	if err != nil {
		return nil, err
	}
	p := &probe{state: *e.state}
	p.state.Counters, p.state.Trace = fresh.Counters, fresh.Trace
	err = errors.Join(fresh.Ports.Close(), fresh.TxPorts.Close(), fresh.Transmits.Close(), fresh.VLANs.Close())
	if err == nil {
		p.mem, err = mapMemory(&p.state)
	}
	if err == nil {
		f := e.features
		f.Trace = true
		p.prog, err = bpf.Load(e.image, &p.state, f)
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (p *probe) close() error {
	var errs []error
	if p.prog != nil {
		errs = append(errs, p.prog.Close())
	}
	if p.mem != nil {
		errs = append(errs, p.mem.close())
	}
	return errors.Join(append(errs, p.state.Counters.Close(), p.state.Trace.Close())...)
}

func (e *Engine) dropProbe() error {
	if e.probe == nil {
		return nil
	}
	p := e.probe
	e.probe = nil
	return p.close()
}

// The verdicts of XDP, of linux/bpf.h.
const (
	xdpDrop     = 1
	xdpPass     = 2
	xdpRedirect = 4
)

// growth is by how many bytes a frame may grow: two VLAN tags.
const growth = 8

// Run implements dataplane.Engine, by BPF_PROG_TEST_RUN (for XDP with a port:
// Linux 5.15). Ingress 0 is an interface that is no port: the loopback.
//
// Errors: ErrNoPort.
func (e *Engine) Run(frame []byte, ingress uint32) (dataplane.Result, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r, err := e.run(frame, ingress)
	if err != nil {
		return dataplane.Result{}, fmt.Errorf("run a packet in by port %d: %w", ingress, err)
	}
	return r, nil
}

func (e *Engine) run(frame []byte, ingress uint32) (r dataplane.Result, err error) {
	if err := e.needProbe(); err != nil {
		return r, err
	}
	ifindex := 1
	if ingress != 0 {
		p := e.ports[ingress]
		if p == nil {
			return r, ErrNoPort
		}
		ifindex = p.root.Ifindex
	}
	p := e.probe
	clear(p.mem.rows)
	*p.mem.trace = bpf.Trace{}
	ran, err := testRun(p.prog, frame, make([]byte, len(frame)+growth), uint32(ifindex))
	if err != nil {
		return r, err
	}
	t := p.mem.trace
	r = dataplane.Result{Packet: ran.packet, Took: ran.took, Group: t.Group, Hash: t.Hash, Adjacency: t.Adjacency}
	if r.Ingress, r.Reason, err = p.reason(len(frame)); err != nil {
		return r, err
	}
	if r.Ingress != ingress && (e.ports[ingress] == nil || e.ports[r.Ingress] == nil || e.ports[r.Ingress].root != e.ports[ingress].root) {
		return r, fmt.Errorf("counted for port %d", r.Ingress)
	}
	if r.Reason.Verdict() == dataplane.Forward {
		r.Egress = t.Port
	}
	if want := actions[r.Reason.Verdict()]; ran.action != want {
		return r, fmt.Errorf("XDP action %d for reason %s, want %d", ran.action, r.Reason, want)
	}
	return r, nil
}

var actions = map[dataplane.Verdict]uint32{dataplane.Forward: xdpRedirect, dataplane.Punt: xdpPass, dataplane.Drop: xdpDrop}

// reason finds the one counter that has counted, and checks that it counted one
// packet of the given bytes.
func (p *probe) reason(bytes int) (uint32, dataplane.Reason, error) {
	type count struct {
		port   uint32
		reason dataplane.Reason
		dataplane.Counter
	}
	var found []count
	for number := range p.mem.limit() {
		for r, c := range p.mem.counters(number) {
			if c != (dataplane.Counter{}) {
				found = append(found, count{number, dataplane.Reason(r), c})
			}
		}
	}
	want := dataplane.Counter{Packets: 1, Bytes: uint64(bytes)}
	if len(found) != 1 || found[0].Counter != want {
		return 0, 0, fmt.Errorf("counted %v, want one reason with %v", found, want)
	}
	return found[0].port, found[0].reason, nil
}
