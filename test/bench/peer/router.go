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
	Name    string
	Title   string // for people
	Note    string // how it is set up
	needs   string // program that must be installed; "": none
	apart   bool   // it needs a CPU of its own
	variant        // of the network that it is in: see Network.Of
	make    func(*Network) (engine, error)
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
	{
		Name: "linux", Title: "Linux", Note: "ip_forward, GRO on, no netfilter rules; RPS to a CPU apart",
		make: func(*Network) (engine, error) { return linux{}, nil },
	},
	{Name: "fib_lookup", Title: "bpf_fib_lookup", Note: "native XDP, as xdp-forward of xdp-tools", make: program("fib_lookup")},
	{Name: "lpm_trie", Title: "LPM_TRIE", Note: "native XDP, BPF_MAP_TYPE_LPM_TRIE and a device map", make: program("lpm_trie")},
	{Name: "ceiling", Title: "ceiling", Note: "native XDP, rewrite and redirect, no lookup", make: program("ceiling")},
	{Name: "weft_xdp", Title: "weft xdp", Note: "native XDP, its FIB following the kernel", make: makeWeft},
	{Name: "weft_soft", Title: "weft soft", Note: "its userspace engine, one loop, AF_XDP in copy mode", apart: true, make: newSoft},
	newTestpmd("af_xdp", "AF_XDP"),
	newTestpmd("af_packet", "AF_PACKET"),
}

// Names are those of Systems.
func Names() (all []string) {
	for _, s := range Systems {
		all = append(all, s.Name)
	}
	return all
}

// Find returns the System with a name, which may be one of Features.
func Find(name string) (System, bool) {
	for _, all := range [][]System{Systems, Features} {
		if i := slices.IndexFunc(all, func(s System) bool { return s.Name == name }); i >= 0 {
			return all[i], true
		}
	}
	return System{}, false
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
	next   *Attached // in the router behind; nil: there is none
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
	if n.next == nil {
		return a, nil
	}
	if a.next, err = n.next.Attach(name); err != nil {
		return nil, errors.Join(err, a.Detach())
	}
	return a, nil
}

// make returns the engine of a system, made once.
func (n *Network) make(name string) (engine, error) {
	s, ok := Find(name)
	if !ok {
		return nil, fmt.Errorf("no system is called %q", name)
	}
	if err := n.suits(&s); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
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
	var behind error
	if a.next != nil {
		behind = a.next.Detach()
	}
	err := a.n.InRouter(func() error {
		left, err := a.engine.unforwarded()
		if err == nil && left-a.before > a.n.chatter() {
			err = fmt.Errorf("%s: %w: %d, no figure would be its own", a.name, ErrUnforwarded, left-a.before)
		}
		return errors.Join(err, a.n.place(a.engine, false), a.engine.detach())
	})
	return errors.Join(err, behind)
}

// chatter is how many packets may come that are none of the generator's: the kernel of a router before this one sends some (MLD).
func (n *Network) chatter() uint64 {
	if n.behind {
		return 100
	}
	return 0
}

// Outcome is what became of packets.
type Outcome struct {
	Sent      traffic.Sent
	Got       traffic.Counts
	Alternate uint64 // packets that took the second way (Options.Backup)
	Latencies *traffic.Histogram
}

// Lost returns how many packets were sent that have not come in.
func (o *Outcome) Lost() uint64 {
	return o.Sent.Packets - min(o.Sent.Packets, o.Got.Packets-o.Got.Repeated+o.Alternate)
}

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
	o, err = n.trial(ctx, g, l)
	return o, errors.Join(err, ctx.Err())
}

// trial is Trial of a load that ends with ctx.
func (n *Network) trial(ctx context.Context, g *traffic.Generator, l traffic.Load) (o Outcome, err error) {
	if err := n.Sink.Reset(); err != nil {
		return o, err
	}
	if n.alternate != nil {
		if err := n.alternate.Reset(); err != nil {
			return o, err
		}
	}
	err = inNamespace(n.generator, func() (err error) { o.Sent, err = g.Run(ctx, l); return err })
	if err == nil {
		o.Got, err = n.Sink.Wait(o.Sent.Packets)
	}
	if err == nil && n.alternate != nil {
		var c traffic.Counts
		c, err = n.alternate.Counts()
		o.Alternate = c.Packets
	}
	if err == nil {
		o.Latencies, err = n.Sink.Latencies()
	}
	return o, err
}

// Floor is a Trial without a router: a sink is where it would take packets in. It is what all figures have in common.
func (n *Network) Floor(ctx context.Context, g *traffic.Generator, l traffic.Load) (o Outcome, err error) {
	behind := n.Sink
	defer func() { n.Sink = behind }()
	err = n.InRouter(func() (err error) {
		n.Sink, err = traffic.NewSink(n.in, traffic.SinkOptions{Jumbo: n.options.jumbo()})
		return err
	})
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
