package agreement

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"weft/bpf"
	"weft/control"
	"weft/control/ports"
	"weft/control/rib"
	"weft/dataplane"
	"weft/dataplane/xdp"
	"weft/fib"
	"weft/test/model"
)

// Variant is one way in which an engine of package xdp can be made.
type Variant struct {
	Mode    dataplane.Mode
	Chunked bool // the image is in pieces, as older kernels have it
	Partial bool // hosts leave checksums to hardware
	VLAN    bool // packets come in with a tag, by a port that is that VLAN
}

// Name says what is not usual.
func (v Variant) Name() string {
	name := "xdp"
	if v.Mode == dataplane.TC {
		name = "tc"
	}
	if v.Chunked {
		name += "+chunked"
	}
	if v.Partial {
		name += "+partial"
	}
	if v.VLAN {
		name += "+vlan"
	}
	return name
}

// Engine is weft: control.Follower, ports.Set and an engine of package xdp, in a
// namespace of its own. Packets are test runs of the program.
type Engine struct {
	variant Variant
	router  *namespace
	seed    uint32 // of the flow hash, which stays while following
	s       *model.State

	engine   *xdp.Engine
	mem      *bpf.Image
	grace    *bpf.Grace
	ports    *ports.Set
	follower *control.Follower
	stop     context.CancelFunc
	ended    chan error
	setting  sync.Mutex        // held while it is brought into a State
	is       *model.State      // that it has been brought into
	names    map[uint32]string // ports of the engine
	numbers  []uint32          // of the State's ports, in order
}

// NewEngine makes a router without a State.
func NewEngine(v Variant) (*Engine, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("raise the limit of locked memory: %w: run as root", err)
	}
	router, _, err := newRouter(false)
	if err != nil {
		return nil, err
	}
	e := &Engine{variant: v, router: router}
	err = router.do(func() error {
		var errs []error
		for n := range maxPorts {
			// NAPI, so that what is redirected arrives; and whether the host fills its checksums in.
			errs = append(errs, setOffload(wireName(n), unix.ETHTOOL_SGRO, true), setOffload(wireName(n), unix.ETHTOOL_STXCSUM, v.Partial))
		}
		return errors.Join(errs...)
	})
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// Name implements Forwarder.
func (e *Engine) Name() string { return e.variant.Name() }

// Set implements Forwarder. With another seed of the flow hash weft starts anew. A State
// that it is in already costs nothing: a Soft has the same Engine.
func (e *Engine) Set(s *model.State) error {
	e.setting.Lock()
	defer e.setting.Unlock()
	if e.is == s {
		return nil
	}
	e.is = nil
	err := e.router.do(func() error {
		if err := become(s); err != nil {
			return err
		}
		if e.follower != nil && e.seed != s.HashSeed {
			if err := e.end(); err != nil {
				return err
			}
		}
		if e.follower == nil {
			if err := e.begin(s.HashSeed); err != nil {
				return err
			}
		}
		e.s = s
		return e.await()
	})
	if err != nil {
		return fmt.Errorf("%s: set a state: %w", e.Name(), err)
	}
	e.is = s
	return nil
}

const imageSize = 4 << 20

// begin does what a daemon does when it starts.
func (e *Engine) begin(seed uint32) (err error) {
	if e.variant.Chunked {
		e.mem, err = bpf.NewChunkedImage(2)
	} else {
		e.mem, err = bpf.NewImage(imageSize)
	}
	if err != nil {
		return err
	}
	e.grace, e.seed = bpf.NewGrace(), seed
	im, err := fib.Create(e.mem.Mem(), fib.Options{Grace: e.grace, HashSeed: seed})
	if err != nil {
		return err
	}
	if e.engine, err = xdp.New(e.mem, xdp.Options{Ports: 2*maxPorts + 1}); err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	e.ports = ports.New(ports.Config{Engine: e.engine, Names: []string{"p*"}, Mode: e.variant.Mode, Log: log})
	if e.follower, err = control.Open(control.Config{
		Image: im, Ports: e.ports, Reasons: rib.DataplaneReasons, Log: log, Interface: e.ports.Take,
	}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.stop, e.ended = cancel, make(chan error, 1)
	return e.router.start(func() { e.ended <- e.follower.Run(ctx) })
}

// end stops following and gives the ports back.
func (e *Engine) end() error {
	var errs []error
	if e.stop != nil {
		e.stop()
		errs = append(errs, <-e.ended)
	}
	if e.engine != nil {
		errs = append(errs, e.engine.Stop())
	}
	if e.mem != nil {
		errs = append(errs, e.mem.Close())
	}
	if e.grace != nil {
		e.grace.Close()
	}
	e.follower, e.engine, e.mem, e.grace, e.stop = nil, nil, nil, nil, nil
	return errors.Join(errs...)
}

// marker is a route that comes and goes, by which it is known how far the follower is.
var marker = netip.MustParsePrefix("192.0.2.255/32")

const (
	awaitAtMost = 30 * time.Second
	awaitEvery  = 2 * time.Millisecond
)

// await waits until all that the kernel has been told has come to the engine.
func (e *Engine) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), awaitAtMost)
	defer cancel()
	select {
	case <-e.follower.Synced():
	case err := <-e.ended:
		e.ended <- err
		return fmt.Errorf("follow the kernel: %w", err)
	}
	for _, there := range []bool{true, false} {
		action := map[bool]string{true: "add", false: "del"}[there]
		if err := ip([]string{"route " + action + " blackhole " + marker.String() + " metric 9999"}, "-batch", "-"); err != nil {
			return err
		}
		if err := e.until(ctx, "the marker has come by", func() (string, error) { return e.marked(ctx, there) }); err != nil {
			return err
		}
	}
	if err := e.until(ctx, "kernel and FIB agree", func() (string, error) { return e.verify(ctx) }); err != nil {
		return err
	}
	err := e.until(ctx, "the ports are the engine's", func() (string, error) { return e.portsDiffer(), e.engine.Check() })
	if err == nil && e.variant.VLAN {
		err = e.setVLANs()
	}
	return err
}

// until waits until a check has nothing to complain of.
func (e *Engine) until(ctx context.Context, what string, check func() (complaint string, err error)) error {
	last := ""
	for {
		complaint, err := check()
		if err != nil && ctx.Err() == nil || err == nil && complaint == "" {
			return err
		}
		if err == nil {
			last = complaint
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %v still not: %s: %s", awaitAtMost, what, last)
		case <-time.After(awaitEvery):
		}
	}
}

func (e *Engine) marked(ctx context.Context, there bool) (complaint string, err error) {
	errDo := e.follower.Do(ctx, func(r *rib.RIB) {
		t, errTable := r.Image().Table(0)
		if err = errTable; err != nil {
			return
		}
		if _, absent := t.Get(marker); (absent == nil) != there {
			complaint = fmt.Sprintf("%s in the FIB: %t", marker, !there)
		}
	})
	return complaint, errors.Join(errDo, err)
}

func (e *Engine) verify(ctx context.Context) (string, error) {
	nothing := func(_ int, _ []netip.Addr, _ []fib.GroupID, ok []bool) error {
		clear(ok) // the program is asked by the packets
		return nil
	}
	v, err := e.follower.Verify(ctx, nothing, func(int, int) {})
	if err != nil || len(v.Differences) == 0 && v.Changing == 0 {
		return "", err
	}
	return fmt.Sprintf("%d changing, %+v", v.Changing, v.Differences), nil
}

// portsDiffer says which port is not as the State wants it.
func (e *Engine) portsDiffer() string {
	e.names, e.numbers = map[uint32]string{}, make([]uint32, len(e.s.Ports))
	for _, have := range e.engine.Ports() {
		e.names[have.Number] = have.Name
		i := slices.IndexFunc(e.s.Ports, func(p model.Port) bool { return p.Name == have.Name })
		if i < 0 {
			continue
		}
		p := &e.s.Ports[i]
		e.numbers[i] = have.Number
		if have.MAC != p.MAC || have.IPv4 != p.IPv4 || have.IPv6 != p.IPv6 || have.Partial != (e.variant.Partial && e.variant.Mode != dataplane.TC) ||
			!p.Down && have.Egress != dataplane.NativeEgress {
			return fmt.Sprintf("%s: %+v", p.Name, have)
		}
	}
	for i, number := range e.numbers {
		if p := &e.s.Ports[i]; number == 0 && (p.IPv4 || p.IPv6) {
			return p.Name + " is none"
		}
	}
	return ""
}

// Forward implements Forwarder.
func (e *Engine) Forward(packets []Packet, answers []Answer) error {
	return e.router.do(func() error {
		for i, p := range packets {
			if err := e.forward(p, &answers[i]); err != nil {
				return fmt.Errorf("%s: %w (packet %x)", e.Name(), err, p.Frame)
			}
		}
		return nil
	})
}

func (e *Engine) forward(p Packet, a *Answer) error {
	if e.variant.Mode == dataplane.TC && !canRunTC(p.Frame) {
		*a = Answer{Left: "the kernel refuses it for a test run of tc"}
		return nil
	}
	if e.variant.VLAN {
		return e.forwardTagged(p, a)
	}
	r, err := e.engine.Run(p.Frame, e.numbers[p.Port])
	if err == nil {
		*a = e.answer(&r)
	}
	return err
}

func (e *Engine) answer(r *dataplane.Result) Answer {
	a := Answer{Outcome: model.Outcome{Reason: r.Reason, Frame: r.Packet}}
	if r.Reason.Verdict() == dataplane.Forward {
		a.Port = e.names[r.Egress]
	}
	return a
}

// canRunTC tells whether the kernel takes a frame for a test run of tc: not more than
// a page of 4 KiB has room for, nor less than an IP header.
func canRunTC(f []byte) bool {
	switch binary.BigEndian.Uint16(f[12:]) {
	case unix.ETH_P_IP:
		return len(f) >= l3+20 && len(f) <= tcRunMost
	case unix.ETH_P_IPV6:
		return len(f) >= l3+40 && len(f) <= tcRunMost
	}
	return len(f) <= tcRunMost
}

const tcRunMost = 3400

// Close implements Forwarder.
func (e *Engine) Close() error {
	err := e.router.do(e.end)
	closeNamespaces(e.router, e.router)
	return err
}
