package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf/rlimit"

	"weft/bpf"
	"weft/control"
	"weft/control/api"
	"weft/control/ports"
	"weft/control/rib"
	"weft/dataplane"
	"weft/dataplane/xdp"
	"weft/fib"
	"weft/test/lab"
)

// weft is what `weft run` is made of, in this process: it ends with it. All that
// touches the engine runs in the Follower's goroutine, on a thread in the router's
// namespace.
type weft struct {
	grace    *bpf.Grace
	mem      *bpf.Image
	image    *fib.Image
	engine   *xdp.Engine
	ports    *ports.Set
	follower *control.Follower
	cancel   context.CancelFunc
	ended    chan error

	pinned bool
	bpffs  *os.File
	dir    string // of pins; "": none
}

// imageSize has room for all routes of the network and of clauses.
const imageSize = 4 << 20

// startWeft returns when the FIB has the kernel's routes, before packets are taken.
func startWeft(ctx context.Context, l *lab.Lab, pinned bool) (*weft, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("raise the limit of locked memory: %w", err)
	}
	w := &weft{grace: bpf.NewGrace(), ended: make(chan error, 1), pinned: pinned}
	running, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	opened := make(chan error, 1)
	go func() {
		w.ended <- l.In(routerNode, func() error {
			err := w.open()
			opened <- err
			if err != nil {
				return nil
			}
			return w.follower.Run(running)
		})
	}()
	err := <-opened
	if err == nil {
		select {
		case <-w.follower.Synced():
			return w, nil
		case err = <-w.ended:
			w.ended <- nil
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return nil, errors.Join(fmt.Errorf("start weft: %w", err), w.stop())
}

func (w *weft) open() (err error) {
	if w.mem, err = bpf.NewImage(imageSize); err != nil {
		return err
	}
	if w.image, err = fib.Create(w.mem.Mem(), fib.Options{Grace: w.grace, HashSeed: 0x5eed}); err != nil {
		return err
	}
	if w.pinned {
		if err := w.pin(); err != nil {
			return err
		}
	}
	if w.engine, err = xdp.New(w.mem, xdp.Options{Dir: w.dir}); err != nil {
		return err
	}
	w.ports = ports.New(ports.Config{Engine: w.engine, Hold: true})
	w.follower, err = control.Open(control.Config{
		Image: w.image, Ports: w.ports, Reasons: rib.DataplaneReasons, Interface: w.ports.Take, ReceiveBuffer: 4 << 20,
		Refresh: 100 * time.Millisecond, // of neighbors: clauses wait for it
	})
	return err
}

// pin chooses the directory that `weft run` would: the next one removes what is left
// there of a namespace that is gone.
func (w *weft) pin() error {
	root, f, err := xdp.Root()
	if err != nil {
		return err
	}
	w.bpffs = f
	netns, err := api.Netns()
	if err != nil {
		return err
	}
	w.dir = filepath.Join(root, "weft", netns)
	return nil
}

// restart leaves the pinned engine at work, and opens it again. Nobody follows the
// kernel then.
func (w *weft) restart(l *lab.Lab) error {
	w.cancel()
	err := errors.Join(<-w.ended, w.engine.Close(), w.mem.Close())
	w.ended <- nil
	w.engine, w.mem = nil, nil
	if err != nil {
		return err
	}
	return l.In(routerNode, func() (err error) {
		w.engine, w.mem, err = xdp.Open(w.dir)
		return err
	})
}

// settle begins to forward, and waits until it does by all ports as it should.
func (w *weft) settle(ctx context.Context) error {
	if err := w.follower.UpdatePorts(ctx, w.ports.Start); err != nil {
		return fmt.Errorf("start weft: %w", err)
	}
	for deadline := time.Now().Add(patience); ; {
		wrong := w.unsettled()
		switch {
		case wrong == "":
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("start weft: %s", wrong)
		}
		if err := w.follower.UpdatePorts(ctx, w.ports.Retry); err != nil {
			return fmt.Errorf("start weft: %w", err)
		}
		if err := w.check(ctx); err != nil {
			return fmt.Errorf("start weft: %w", err)
		}
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// unsettled says what is not as it should be.
func (w *weft) unsettled() string {
	numbers := map[string]bool{}
	for _, p := range w.engine.Ports() {
		numbers[p.Name] = true
		if p.Mode != dataplane.NativeXDP || p.Egress != dataplane.NativeEgress {
			return fmt.Sprintf("port %s is %s, egress %s: %s", p.Name, p.Mode, p.Egress, p.EgressReason)
		}
		if site := portNamed(p.Name); p.Partial != site.left {
			return fmt.Sprintf("port %s: checksums are left to hardware: %v: %s", p.Name, p.Partial, p.IngressReason)
		}
	}
	for _, p := range sitePorts {
		if !numbers[p.name] {
			return fmt.Sprintf("%s is no port: %v", p.name, w.ports.Refused())
		}
	}
	return ""
}

// check lets the engine look after its ports.
func (w *weft) check(ctx context.Context) (err error) {
	if failed := w.follower.Do(ctx, func(*rib.RIB) { err = w.engine.Check() }); failed != nil {
		return failed
	}
	return err
}

// stop gives the ports back. It may be called once.
func (w *weft) stop() error {
	w.cancel()
	errs := []error{<-w.ended}
	if w.engine != nil {
		errs = append(errs, w.engine.Stop())
	}
	if w.mem != nil {
		errs = append(errs, w.mem.Close())
	}
	if w.bpffs != nil {
		errs = append(errs, w.bpffs.Close())
	}
	w.grace.Close()
	return errors.Join(errs...)
}

// patience is for what must come.
const patience = 5 * time.Second

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
