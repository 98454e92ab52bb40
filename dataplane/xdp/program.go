package xdp

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"weft/bpf"
	"weft/dataplane"
)

// programs are one router in its forms: for ports in the modes of XDP, and for
// those of tc, which is nil until there is such a port.
type programs struct {
	xdp, tc *ebpf.Program
	soft    *ebpf.Program // of ports whose packets a loop has; nil until there is one
	tap     *ebpf.Program // of those among them that it has by AF_PACKET; nil until there is one
}

func loadPrograms(im *bpf.Image, s *bpf.State, f bpf.Features, tc bool) (_ programs, err error) {
	var p programs
	if p.xdp, err = bpf.Load(im, s, f); err != nil {
		return p, fmt.Errorf("%w: %w", ErrProgram, err)
	}
	if tc {
		if p.tc, err = bpf.LoadTC(im, s, f); err != nil {
			return programs{}, errors.Join(fmt.Errorf("%w: %w", ErrProgram, err), p.close())
		}
	}
	return p, nil
}

// of returns the program for ports in a mode, of an engine.
func (p programs) of(m dataplane.Mode, engine dataplane.Name) *ebpf.Program {
	switch {
	case m == dataplane.TC && engine == dataplane.Soft:
		return p.tap
	case m == dataplane.TC:
		return p.tc
	case engine == dataplane.Soft:
		return p.soft
	}
	return p.xdp
}

func (p programs) close() error {
	var errs []error
	for _, prog := range []*ebpf.Program{p.xdp, p.tc, p.soft, p.tap} {
		if prog != nil {
			errs = append(errs, prog.Close())
		}
	}
	return errors.Join(errs...)
}

// swap makes programs for an image and features those of all ports. One that the
// kernel refuses changes nothing. How says what there is to do besides.
func (e *Engine) swap(im *bpf.Image, f bpf.Features, how func(update func() error) error) error {
	next, err := loadPrograms(im, e.state, f, e.progs.tc != nil)
	if err == nil && e.progs.soft != nil {
		if next.soft, err = e.sockets.load(im, e.state, f); err != nil {
			err = errors.Join(err, next.close())
		}
	}
	if err == nil && e.progs.tap != nil {
		if next.tap, err = e.sockets.loadTap(im, e.state, f); err != nil {
			err = errors.Join(err, next.close())
		}
	}
	if err != nil {
		return err
	}
	// gofail: var swapLoaded struct{}
	if err := how(func() error { return e.updateLinks(next) }); err != nil {
		return errors.Join(err, next.close())
	}
	// gofail: var swapUpdated struct{}
	old := e.progs
	e.progs, e.image, e.features = next, im, f
	return errors.Join(old.close(), e.dropProbe())
}

// fit makes the programs that run those for the ports that there are.
func (e *Engine) fit() error {
	f := e.mem.features()
	if f == e.features {
		e.unfit = nil
		return nil
	}
	e.unfit = e.swap(e.image, f, func(update func() error) error { return update() })
	return e.unfit
}

// refitAfter is how long a program that was refused is not tried again by Check: the
// verifier takes its time to refuse it.
const refitAfter = 5 * time.Second

// fitInTime is fit for those who call again and again.
func (e *Engine) fitInTime(now time.Time) error {
	if e.unfit != nil && now.Before(e.refit) {
		return nil
	}
	err := e.fit()
	e.refit = now.Add(refitAfter)
	return err
}

// Unfit says why the programs that run are not those that the ports need; nil: they
// are. They forward as before, without what is new.
func (e *Engine) Unfit() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.unfit
}

// updateLinks makes programs those of all ports, or of none. Ports that another
// engine forwards by are left alone.
func (e *Engine) updateLinks(next programs) error {
	if e.beside != nil {
		return nil
	}
	var done []*port
	for _, p := range e.ports {
		if p.link == nil {
			continue
		}
		if err := e.updateLink(p, next); err != nil {
			for _, d := range done {
				err = errors.Join(err, e.updateLink(d, e.progs))
			}
			return fmt.Errorf("update program of port %s: %w", p.Name, err)
		}
		// gofail: var linkUpdated struct{}
		done = append(done, p)
	}
	return nil
}

func (e *Engine) updateLink(p *port, next programs) error {
	err := p.link.Update(next.of(p.Mode, p.Engine))
	if !errors.Is(err, unix.EINVAL) {
		return err
	}
	// The link was made for programs that were loaded for another attach type. In the
	// moment without a program Linux forwards.
	if err := e.detach(p); err != nil {
		return err
	}
	if p.link, err = attach(p.Ifindex, p.Mode, p.Engine, next); err != nil {
		return err
	}
	return e.pin(p)
}

// needTC loads the program of tc if it is not there.
func (e *Engine) needTC() (err error) {
	if e.progs.tc == nil {
		if e.progs.tc, err = bpf.LoadTC(e.image, e.state, e.features); err != nil {
			err = fmt.Errorf("%w: %w", ErrProgram, err)
		}
	}
	return err
}

// modes are in the order in which they are tried: the fastest first.
var modes = []dataplane.Mode{dataplane.NativeXDP, dataplane.TC, dataplane.GenericXDP}

// attachLink attaches in the first mode that works, or in the one that is wanted.
func (e *Engine) attachLink(p *port) error {
	try := modes
	if p.Engine == dataplane.Soft { // tc is another way to the loop, and for the soft engine to choose
		try = []dataplane.Mode{dataplane.NativeXDP, dataplane.GenericXDP}
	}
	if p.Want != "" {
		try = []dataplane.Mode{p.Want}
	}
	var errs []error
	for _, m := range try {
		l, err := e.attachMode(p, m)
		if err == nil {
			p.link, p.Mode = l, m
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", m, err))
		if errors.Is(err, ErrForeign) {
			break
		}
	}
	return fmt.Errorf("attach program: %w", errors.Join(errs...))
}

func (e *Engine) attachMode(p *port, m dataplane.Mode) (link.Link, error) {
	if err := e.need(m, p.Engine); err != nil {
		return nil, err
	}
	return attach(p.Ifindex, m, p.Engine, e.progs)
}

func attach(ifindex int, m dataplane.Mode, engine dataplane.Name, progs programs) (link.Link, error) {
	if m == dataplane.TC {
		return link.AttachTCX(link.TCXOptions{Program: progs.of(m, engine), Interface: ifindex, Attach: ebpf.AttachTCXIngress})
	}
	flags := link.XDPDriverMode
	if m == dataplane.GenericXDP {
		flags = link.XDPGenericMode
	}
	l, err := link.AttachXDP(link.XDPOptions{Program: progs.of(m, engine), Interface: ifindex, Flags: flags})
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST) {
		err = fmt.Errorf("%w: %w", ErrForeign, err)
	}
	return l, err
}

func isMode(m dataplane.Mode) bool { return slices.Contains(modes, m) }
