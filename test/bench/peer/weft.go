package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"weft/bpf"
	"weft/control"
	"weft/control/rib"
	"weft/dataplane"
	"weft/dataplane/xdp"
	"weft/fib"
)

// firstImage is what 'weft run' starts with. An image that has grown differs from one that was large enough.
const firstImage = 1 << 20

// Numbers of the router's ports.
const (
	portIn  = 1
	portOut = 2
	portAlt = 3
)

// weft is the XDP engine, with a FIB that follows the kernel of the router's namespace.
type weft struct {
	n        *Network
	grace    *bpf.Grace
	readers  fib.Readers
	mem      *bpf.Image
	im       *fib.Image // that is in it
	engine   *xdp.Engine
	cancel   context.CancelFunc
	followed chan error
	lacking  int // routes that found no room
	want     dataplane.Mode
}

func makeWeft(n *Network) (engine, error) {
	return newWeft(n, func() (*bpf.Image, error) { return bpf.NewImage(firstImage) })
}

// newWeft returns when the FIB, in an image that is made for it, has the kernel's routes.
func newWeft(n *Network, image func() (*bpf.Image, error)) (_ *weft, err error) {
	w := &weft{n: n, grace: bpf.NewGrace(), followed: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if w.mem, err = image(); err != nil {
		return nil, err
	}
	if w.im, err = fib.Create(w.mem.Mem(), fib.Options{Grace: fib.NewGraces(w.grace, &w.readers), HashSeed: uint32(os.Getpid())}); err != nil {
		return nil, err
	}
	if w.engine, err = xdp.New(w.mem, xdp.Options{}); err != nil {
		return nil, err
	}
	var follower *control.Follower
	err = n.InRouter(func() (err error) {
		follower, err = control.Open(control.Config{
			Image: w.im, Ports: w, Grow: w.grow, NotInstalled: func(n int, _ bool) { w.lacking = n },
			Reasons: rib.DataplaneReasons,
			Log:     slog.New(slog.NewTextHandler(io.Discard, nil)),
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(n.context)
	w.cancel = cancel
	go func() { w.followed <- follower.Run(ctx) }()
	select {
	case err := <-w.followed:
		w.cancel = nil
		return nil, errors.Join(err, ctx.Err())
	case <-follower.Synced():
	}
	if w.lacking > 0 {
		return nil, fmt.Errorf("%d routes found no room", w.lacking)
	}
	return w, nil
}

// Number implements rib.Ports.
func (w *weft) Number(ifindex int) (uint32, bool) {
	switch ifindex {
	case w.n.in:
		return portIn, true
	case w.n.out:
		return portOut, true
	case w.n.alt:
		return portAlt, w.n.options.Backup
	}
	return 0, false
}

func (w *weft) grow(im *fib.Image, size int) (*fib.Image, error) {
	mem, err := bpf.NewImage(bpf.ImageSize(size))
	if err != nil {
		return nil, err
	}
	larger, err := im.CopyTo(mem.Mem(), fib.Options{Grace: fib.NewGraces(w.grace, &w.readers)})
	if err == nil {
		err = w.engine.Replace(mem)
	}
	if err != nil {
		return nil, errors.Join(err, mem.Close())
	}
	old := w.mem
	w.mem, w.im = mem, larger
	return larger, old.Close()
}

// ports are those of the router.
func (n *Network) ports() (out, in dataplane.Port) {
	return dataplane.Port{Number: portOut, Ifindex: n.out, Name: n.port("out"), MAC: outMAC, IPv4: true, IPv6: true},
		dataplane.Port{Number: portIn, Ifindex: n.in, Name: n.port("in"), MAC: inMAC, IPv4: true, IPv6: true}
}

func (w *weft) attach() error {
	out, in := w.n.ports()
	out.Want, in.Want = w.want, w.want
	err := w.engine.SetPort(out)
	if err == nil && w.n.options.Backup {
		err = w.engine.SetPort(dataplane.Port{Number: portAlt, Ifindex: w.n.alt, Name: w.n.port("alt"), MAC: mac{2, 0, 0, 0, 0, 5}, IPv4: true})
	}
	if err == nil {
		err = w.engine.SetPort(in)
	}
	return err
}

func (w *weft) detach() error {
	if w.n.options.Backup {
		if err := w.engine.RemovePort(portAlt); err != nil {
			return err
		}
	}
	return errors.Join(w.engine.RemovePort(portIn), w.engine.RemovePort(portOut))
}

func (w *weft) unforwarded() (uint64, error) { return unforwarded(w.engine), nil }

func unforwarded(e dataplane.Engine, but ...dataplane.Reason) (n uint64) {
	for r, c := range e.Counters(portIn) {
		if r := dataplane.Reason(r); r != dataplane.Forwarded && !slices.Contains(but, r) {
			n += c.Packets
		}
	}
	return n
}

func (w *weft) close() error {
	var errs []error
	if w.cancel != nil {
		w.cancel()
		errs = append(errs, <-w.followed)
	}
	if w.engine != nil {
		errs = append(errs, w.engine.Stop())
	}
	if w.mem != nil {
		errs = append(errs, w.mem.Close())
	}
	w.grace.Close()
	return errors.Join(errs...)
}
