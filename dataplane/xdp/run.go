package xdp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"weft/bpf"
	"weft/dataplane"
)

// probe is the engine's program once more, with counters of its own: what it is
// run on is not traffic.
type probe struct {
	progs programs
	state bpf.State // Counters is the probe's
	mem   *memory

	resolver *bpf.Resolver // nil until many addresses were asked about
	askedMem []byte
	asked    *bpf.Asked
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
	fresh, err := bpf.NewState(len(e.mem.rows), 1)
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
		p.progs, err = loadPrograms(e.image, &p.state, f, e.progs.tc != nil)
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (p *probe) close() error {
	errs := []error{p.progs.close(), p.closeResolver()}
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

// The verdicts of XDP and of tc, of linux/bpf.h and linux/pkt_cls.h.
const (
	xdpDrop     = 1
	xdpPass     = 2
	xdpRedirect = 4

	tcUnspec   = 1<<32 - 1 // -1
	tcShot     = 2
	tcRedirect = 7
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
	if e.closed {
		return r, ErrClosed
	}
	ifindex, mode := 1, dataplane.NativeXDP
	if ingress != 0 {
		p := e.ports[ingress]
		if p == nil {
			return r, ErrNoPort
		}
		if ifindex = p.root.Ifindex; !p.root.isTap() { // what a loop does both programs say, and that of tc may not be there
			mode = p.Mode
		}
	}
	if mode == dataplane.TC && e.probe != nil && e.probe.progs.tc == nil {
		if err := e.dropProbe(); err != nil {
			return r, err
		}
	}
	if err := e.needProbe(); err != nil {
		return r, err
	}
	p := e.probe
	clear(p.mem.rows)
	*p.mem.trace = bpf.Trace{}
	ran, err := testRun(p.progs.of(mode, dataplane.XDP), frame, make([]byte, len(frame)+growth), runContext(mode, len(frame), ifindex), 1)
	if err != nil {
		return r, err
	}
	t := p.mem.trace
	r = dataplane.Result{Packet: insertTag(ran.packet, t.Tag), Took: ran.took, Group: t.Group, Hash: t.Hash, Adjacency: t.Adjacency}
	if r.Ingress, r.Reason, err = p.reason(len(frame)); err != nil {
		return r, err
	}
	if r.Ingress != ingress && (e.ports[ingress] == nil || e.ports[r.Ingress] == nil || e.ports[r.Ingress].root != e.ports[ingress].root) {
		return r, fmt.Errorf("counted for port %d", r.Ingress)
	}
	if r.Reason.Verdict() == dataplane.Forward {
		r.Egress = t.Port
	}
	if want := actions[mode == dataplane.TC][r.Reason.Verdict()]; ran.action != want {
		return r, fmt.Errorf("action %d for reason %s, want %d", ran.action, r.Reason, want)
	}
	return r, nil
}

// actions are what a verdict comes to, in XDP and in tc.
var actions = map[bool]map[dataplane.Verdict]uint32{
	false: {dataplane.Forward: xdpRedirect, dataplane.Punt: xdpPass, dataplane.Drop: xdpDrop},
	true:  {dataplane.Forward: tcRedirect, dataplane.Punt: tcUnspec, dataplane.Drop: tcShot},
}

// insertTag puts a VLAN tag that stands beside a frame, as tc has it, into it.
func insertTag(frame []byte, tag uint32) []byte {
	if tag == 0 || len(frame) < macs {
		return frame
	}
	return slices.Insert(frame, macs, binary.LittleEndian.AppendUint32(nil, tag)...)
}

const macs = 12 // bytes

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
		for r, c := range p.mem.counters(number, false) {
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
