package xdp

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"weft/bpf"
)

// watch is the programs at tracepoints that count what ports do not take of what
// is redirected to them. They go on without this process, as all else.
type watch struct {
	links map[string]link.Link // by name of the tracepoint
	err   error                // why there are none
}

// attachTracepoint is a variable for the test of kernels that cannot.
var attachTracepoint = link.AttachRawTracepoint

// newWatch does not pin. Until it is, what another has pinned counts, too: a frame
// lost then is counted twice, not missed.
func newWatch(s *bpf.State, m *memory) (*watch, error) {
	netns, err := netnsInode()
	if err != nil {
		return nil, err
	}
	atomic.StoreUint32(&m.transmits.Netns, uint32(netns))
	if m.transmits.TxPorts, err = mapID(s.TxPorts); err != nil {
		return nil, err
	}
	progs, err := bpf.LoadTransmit(s)
	if err != nil {
		return &watch{err: err}, nil
	}
	w := &watch{links: map[string]link.Link{}}
	for name, prog := range progs {
		var l link.Link
		if w.err == nil {
			if l, w.err = attachTracepoint(link.RawTracepointOptions{Name: name, Program: prog}); w.err == nil {
				w.links[name] = l
				// gofail: var tracepointAttached struct{}
			}
		}
		err = errors.Join(err, prog.Close())
	}
	if w.err != nil || err != nil {
		err = errors.Join(err, w.close())
	}
	return w, err
}

// startWatch counts by programs of this binary, instead of those that are pinned.
func (e *Engine) startWatch() (err error) {
	if e.watch, err = newWatch(e.state, e.mem); err == nil {
		err = e.watch.pin(e.pins)
	}
	return err
}

// pin puts the programs in the place of those that are pinned.
func (w *watch) pin(p pins) error {
	var err error
	for name, l := range w.links {
		err = errors.Join(err, p.pinTracepoint(name, l))
	}
	return err
}

// names returns the tracepoints.
func (w *watch) names() []string { return slices.Collect(maps.Keys(w.links)) }

func (w *watch) close() error {
	if w == nil {
		return nil
	}
	var errs []error
	for _, l := range w.links {
		errs = append(errs, l.Close())
	}
	w.links = nil
	return errors.Join(errs...)
}

func mapID(m *ebpf.Map) (uint32, error) {
	info, err := m.Info()
	if err != nil {
		return 0, fmt.Errorf("find the device map's number: %w", err)
	}
	id, ok := info.ID()
	if !ok {
		return 0, errors.New("find the device map's number: the kernel does not tell")
	}
	return uint32(id), nil
}

func netnsInode() (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return 0, fmt.Errorf("find network namespace: %w", err)
	}
	return st.Ino, nil
}

// Watch says why frames that ports do not take are not counted: with nil, they
// are. It needs CONFIG_BPF_EVENTS and the kernel's BTF.
func (e *Engine) Watch() error { return e.watch.err }

// pinTracepoint puts a program in the place of one that is pinned.
func (p pins) pinTracepoint(name string, l link.Link) error {
	if p.dir == "" {
		return nil
	}
	next := p.path(tracepointPins + name + nextSuffix)
	if err := os.RemoveAll(next); err != nil {
		return fmt.Errorf("remove unfinished pin: %w", err)
	}
	if err := l.Pin(next); err != nil {
		return fmt.Errorf("pin tracepoint: %w", err)
	}
	// gofail: var tracepointPinned struct{}
	return os.Rename(next, p.path(tracepointPins+name))
}
