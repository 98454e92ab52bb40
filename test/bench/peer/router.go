package peer

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"

	"weft/test/traffic"
)

// System is one that forwards.
type System struct {
	Name  string
	Title string // for people
	Note  string // how it is set up
	needs string // program that must be installed; "": none
	apart bool   // it needs a CPU of its own
	make  func(*Network) (engine, error)
}

// Missing says why a system cannot be measured here; "": it can.
func (s *System) Missing() string {
	if s.needs == "" {
		return ""
	}
	if _, err := exec.LookPath(s.needs); err != nil {
		return s.needs + " is not installed"
	}
	return ""
}

// Apart tells whether it only works with a CPU of its own.
func (s *System) Apart() bool { return s.apart }

// Systems are all that there are, in the order in which they are measured.
var Systems = []System{
	{"linux", "Linux", "ip_forward, GRO on, no netfilter rules; RPS to a CPU apart", "", false, func(*Network) (engine, error) { return linux{}, nil }},
	{"fib_lookup", "bpf_fib_lookup", "native XDP, as xdp-forward of xdp-tools", "", false, program("fib_lookup")},
	{"lpm_trie", "LPM_TRIE", "native XDP, BPF_MAP_TYPE_LPM_TRIE and a device map", "", false, program("lpm_trie")},
	{"ceiling", "ceiling", "native XDP, rewrite and redirect, no lookup", "", false, program("ceiling")},
	{"weft_xdp", "weft xdp", "native XDP, its FIB following the kernel", "", false, makeWeft},
	{"weft_soft", "weft soft", "its userspace engine, one loop, AF_XDP in copy mode", "", true, newSoft},
	{"testpmd_af_xdp", "testpmd AF_XDP", "DPDK's testpmd, mac mode, which looks nothing up", testpmdBinary, true, newTestpmd("af_xdp")},
	{"testpmd_af_packet", "testpmd AF_PACKET", "DPDK's testpmd, mac mode, which looks nothing up", testpmdBinary, true, newTestpmd("af_packet")},
}

// Names are those of Systems.
func Names() (all []string) {
	for _, s := range Systems {
		all = append(all, s.Name)
	}
	return all
}

// Find returns the System with a name.
func Find(name string) (System, bool) {
	i := slices.IndexFunc(Systems, func(s System) bool { return s.Name == name })
	if i < 0 {
		return System{}, false
	}
	return Systems[i], true
}

// engine is one way to forward in one network. It is attached to the router's ports for each measurement and detached
// after it. Its methods are called on a thread in the router's namespace.
type engine interface {
	attach() error
	detach() error
	// unforwarded returns how many packets the engine has had so far that it left to another.
	unforwarded() (uint64, error)
	close() error
}

// ErrUnforwarded is packets that a System was to forward and that another has had.
var ErrUnforwarded = errors.New("packets were left to another")

// Attached is a System at work.
type Attached struct {
	n      *Network
	name   string
	engine engine
	before uint64
}

// Attach has a system forward, until Detach. The first time it is made, which with a full table takes seconds.
func (n *Network) Attach(name string) (_ *Attached, err error) {
	e, err := n.make(name)
	if err != nil {
		return nil, err
	}
	a := &Attached{n: n, name: name, engine: e}
	err = n.InRouter(func() error {
		if err := e.attach(); err != nil {
			return err
		}
		if err := n.place(e, true); err != nil {
			return errors.Join(err, e.detach())
		}
		a.before, err = e.unforwarded()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("attach %s: %w", name, err)
	}
	return a, nil
}

// make returns the engine of a system, made once.
func (n *Network) make(name string) (engine, error) {
	s, ok := Find(name)
	if !ok {
		return nil, fmt.Errorf("no system is called %q", name)
	}
	return n.once(name, s.make)
}

func (n *Network) once(name string, make func(*Network) (engine, error)) (engine, error) {
	if e := n.engines[name]; e != nil {
		return e, nil
	}
	e, err := make(n)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", name, err)
	}
	n.engines[name] = e
	n.made = append(n.made, e)
	return e, nil
}

// Detach ends it.
//
// Errors: ErrUnforwarded.
func (a *Attached) Detach() error {
	return a.n.InRouter(func() error {
		left, err := a.engine.unforwarded()
		if err == nil && left != a.before {
			err = fmt.Errorf("%s: %w: %d, no figure would be its own", a.name, ErrUnforwarded, left-a.before)
		}
		return errors.Join(err, a.n.place(a.engine, false), a.engine.detach())
	})
}

// Outcome is what became of packets.
type Outcome struct {
	Sent      traffic.Sent
	Got       traffic.Counts
	Latencies *traffic.Histogram
}

// Lost returns how many packets were sent that have not come in.
func (o *Outcome) Lost() uint64 { return o.Sent.Packets - min(o.Sent.Packets, o.Got.Packets) }

// Loss returns which share of what should have come in has not: packets that could not be sent in time, too.
func (o *Outcome) Loss() float64 {
	all := o.Sent.Packets + o.Sent.Skipped
	if all == 0 {
		return 1
	}
	return 1 - float64(min(o.Got.Packets, all))/float64(all)
}

// Trial sends a load, which has an end, and waits for what comes in.
func (n *Network) Trial(ctx context.Context, g *traffic.Generator, l traffic.Load) (o Outcome, err error) {
	if err := n.Sink.Reset(); err != nil {
		return o, err
	}
	err = inNamespace(n.generator, func() (err error) { o.Sent, err = g.Run(ctx, l); return err })
	if err == nil {
		o.Got, err = n.Sink.Wait(o.Sent.Packets)
	}
	if err == nil {
		o.Latencies, err = n.Sink.Latencies()
	}
	return o, errors.Join(err, ctx.Err())
}

// Floor is a Trial without a router: a sink is where it would take packets in. It is what all figures have in common.
func (n *Network) Floor(ctx context.Context, g *traffic.Generator, l traffic.Load) (o Outcome, err error) {
	behind := n.Sink
	defer func() { n.Sink = behind }()
	err = n.InRouter(func() (err error) { n.Sink, err = traffic.NewSink(n.in, traffic.SinkOptions{}); return err })
	if err != nil {
		return o, err
	}
	o, err = n.Trial(ctx, g, l)
	return o, errors.Join(err, n.Sink.Close())
}

// Forward sends packets through a system, the first of them to warm the caches up, and returns what the sink says of the
// rest.
func (n *Network) Forward(ctx context.Context, name string, g *traffic.Generator, warm, count int) (counts traffic.Counts, err error) {
	a, err := n.Attach(name)
	if err != nil {
		return counts, err
	}
	defer func() { err = errors.Join(err, a.Detach()) }()
	for _, packets := range []int{warm, count} {
		if packets == 0 {
			continue
		}
		o, err := n.Trial(ctx, g, traffic.Load{Packets: uint64(packets)})
		if err != nil {
			return counts, err
		}
		counts = o.Got
	}
	return counts, nil
}
