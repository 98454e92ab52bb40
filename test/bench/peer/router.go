package peer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"weft/test/traffic"
)

// System is one that forwards.
type System struct {
	Name  string
	Title string // for people
	Note  string // how it is set up
	make  func(*Network) (engine, error)
}

// Systems are all that there are, in the order in which they are measured.
var Systems = []System{
	{"linux", "Linux", "ip_forward, GRO on, no netfilter rules", func(*Network) (engine, error) { return linux{}, nil }},
	{"fib_lookup", "bpf_fib_lookup", "native XDP, as xdp-forward of xdp-tools", program("fib_lookup")},
	{"lpm_trie", "LPM_TRIE", "native XDP, BPF_MAP_TYPE_LPM_TRIE and a device map", program("lpm_trie")},
	{"ceiling", "ceiling", "native XDP, rewrite and redirect, no lookup", program("ceiling")},
	{"weft_xdp", "weft xdp", "native XDP, its FIB following the kernel", func(n *Network) (engine, error) { return newWeft(n) }},
	{"weft_soft", "weft soft", "weft run --engine soft", newSoft},
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
	e := n.engines[name]
	if e == nil {
		s, ok := Find(name)
		if !ok {
			return nil, fmt.Errorf("no system is called %q", name)
		}
		if e, err = s.make(n); err != nil {
			return nil, fmt.Errorf("make %s: %w", name, err)
		}
		n.engines[name] = e
	}
	a := &Attached{n: n, name: name, engine: e}
	err = n.InRouter(func() error {
		if err := e.attach(); err != nil {
			return err
		}
		a.before, err = e.unforwarded()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("attach %s: %w", name, err)
	}
	return a, nil
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
		return errors.Join(err, a.engine.detach())
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
