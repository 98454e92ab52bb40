package xdp

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"weft/bpf"
	"weft/dataplane"
	"weft/dataplane/trace"
	"weft/fib"
)

const (
	defaultPorts  = 256
	defaultTrunks = 32
	maxTrunks     = 1<<11 - 1 // what is left of a port's flags
)

// Options are chosen when an engine is made. The zero value is usable.
type Options struct {
	// Dir is where everything is pinned: a directory on a bpffs, for this
	// engine alone, that does not exist yet; its parents are made. See Dir.
	// With "", what the engine does ends with the process.
	Dir string
	// Ports bounds port numbers: 0 means 256, bpf.MaxPorts is the most. Each
	// costs 1.5 KiB for each CPU, and as much once.
	Ports int
	// Trunks is how many ports may have VLANs that are ports: 0 means 32, 2047
	// is the most. Each costs 8 KiB.
	Trunks int
}

// Engine is a dataplane.Engine. Make it by New or Open. When it is closed its
// methods answer ErrClosed, or that there is nothing.
type Engine struct {
	pins  pins
	state *bpf.State
	mem   *memory
	image *bpf.Image // not ours to close
	watch *watch

	mu        sync.Mutex // guards what follows
	progs     programs
	sockets   sockets      // of a loop
	features  bpf.Features // of progs
	unfit     error        // why progs are not those that the ports need
	refit     time.Time    // when that is tried again
	ports     map[uint32]*port
	beside    *Previous // what forwards, as long as it is not this engine
	earlier   earlier   // counters of maps that are not removed yet
	probe     *probe    // made by the first Run
	nextPeers time.Time // when veths' peers are asked again
	nextLook  time.Time // when accounts are looked at again
	sender    *sender   // made for the first port that is tried
	traces    trace.Sessions
	onTap     func(*trace.Tap) // nil: there is no loop
	closed    bool
}

type port struct {
	dataplane.PortStatus // without what status adds
	link                 link.Link
	veth                 bool
	peer                 *peer // of a veth in a mode of XDP
	egress               egress
	account              account // of a port at the root
	root                 *port   // the one that its frames come in by: itself, or what its parents lead to
	tags                 int     // of its frames
	trunk                int     // its table of VLANs; 0: none
}

var _ dataplane.Engine = (*Engine)(nil)

// New makes an engine that forwards by the FIB in an image, and has no ports
// yet. The image stays the caller's, who keeps it open while the engine is in
// use. Needs CAP_BPF and CAP_NET_ADMIN.
//
// Errors: ErrExists, ErrPort, ErrProgram. Nothing is pinned then.
func New(im *bpf.Image, o Options) (*Engine, error) {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("count CPUs: %w", err)
	}
	s, err := newState(&o, cpus)
	if err != nil {
		return nil, fmt.Errorf("make engine: %w", err)
	}
	e, err := newEngine(im, s, pins{o.Dir, found{}.free(), ourAbout(1, cpus)})
	if err == nil {
		if err = e.pins.create(im, s); err == nil {
			if err = e.startWatch(); err != nil {
				err = errors.Join(err, e.pins.remove())
			}
		}
		if err != nil {
			err = errors.Join(err, e.release())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("make engine: %w", err)
	}
	return e, nil
}

// newState makes maps as the options want them, whose zero values it fills in.
func newState(o *Options, cpus int) (*bpf.State, error) {
	if o.Ports == 0 {
		o.Ports = defaultPorts
	}
	if o.Trunks == 0 {
		o.Trunks = defaultTrunks
	}
	if o.Trunks < 1 || o.Trunks > maxTrunks {
		return nil, fmt.Errorf("%w: %d ports with VLANs, want 1 to %d", ErrPort, o.Trunks, maxTrunks)
	}
	if o.Ports < 1 || o.Ports > bpf.MaxPorts {
		return nil, fmt.Errorf("%w: %d ports, want 1 to %d", ErrPort, o.Ports, bpf.MaxPorts)
	}
	return bpf.NewState(o.Ports*(cpus+beforeRows), o.Trunks+1)
}

// Open adopts the engine that is pinned in dir, with its ports and counters,
// and returns the image that it forwards by, which is the caller's to close.
// The program of this binary takes the place of the one that runs. Ports that
// are gone are removed.
//
// Errors: ErrNotFound; ErrLayout: Beside can take over what is there;
// ErrForeignPin. What runs goes on running then.
func Open(dir string) (*Engine, *bpf.Image, error) {
	e, im, err := open(pins{dir: dir})
	if err != nil {
		return nil, nil, fmt.Errorf("open engine: %w", err)
	}
	return e, im, nil
}

func open(p pins) (_ *Engine, _ *bpf.Image, err error) {
	f, err := p.look()
	if err != nil {
		return nil, nil, err
	}
	switch f.current.format {
	case Format:
	case 0:
		return nil, nil, fmt.Errorf("%w: there are none in %s", ErrLayout, p.dir)
	default:
		return nil, nil, fmt.Errorf("%w: %d, this program pins %d", ErrLayout, f.current.format, Format)
	}
	links, err := p.links()
	if err != nil {
		return nil, nil, err
	}
	p.maps, p.about = f.current.dir, f.current.about
	im, s, err := p.open()
	if err != nil {
		closeLinks(links)
		return nil, nil, err
	}
	// An image that was never written to is all zero: packets find nothing there.
	if err := fib.Check(im.Mem()); errors.Is(err, fib.ErrVersion) || errors.Is(err, fib.ErrByteOrder) {
		closeLinks(links)
		return nil, nil, errors.Join(fmt.Errorf("%w: %w", ErrLayout, err), s.Close(), im.Close())
	}
	e, err := newEngine(im, s, p)
	if err != nil {
		closeLinks(links)
		return nil, nil, errors.Join(err, im.Close())
	}
	if err = e.startWatch(); err == nil {
		err = e.adopt(links)
	} else {
		closeLinks(links)
	}
	if err == nil {
		err = e.settle(f.earlier)
	}
	if err != nil {
		return nil, nil, errors.Join(err, e.release(), im.Close())
	}
	return e, im, nil
}

// newEngine owns s, also when it fails.
func newEngine(im *bpf.Image, s *bpf.State, p pins) (*Engine, error) {
	mem, err := mapMemory(s)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	e := &Engine{
		pins: p, state: s, mem: mem, image: im, watch: new(watch), ports: map[uint32]*port{}, features: mem.features(),
	}
	if e.progs, err = loadPrograms(im, s, e.features, false); err != nil {
		return nil, errors.Join(err, mem.close(), s.Close())
	}
	return e, nil
}

// Replace takes all ports to another image: a larger one, say, that the caller
// has filled beside. No packet is lost; each sees one image only. The old image
// may be closed then, after a grace period if its memory is used again.
func (e *Engine) Replace(im *bpf.Image) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return fmt.Errorf("replace image: %w", ErrClosed)
	}
	err := e.swap(im, e.features, func(update func() error) error { return e.pins.replaceImage(im, update) })
	if err != nil {
		return fmt.Errorf("replace image: %w", err)
	}
	return nil
}

// Ports implements dataplane.Engine.
func (e *Engine) Ports() []dataplane.PortStatus {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []dataplane.PortStatus
	for _, p := range e.ports {
		all = append(all, e.status(p))
	}
	all = append(all, e.beside.others()...)
	slices.SortFunc(all, func(a, b dataplane.PortStatus) int { return int(a.Number) - int(b.Number) })
	return all
}

// Counters implements dataplane.Engine. It costs some 100 loads for each CPU,
// and no system call.
func (e *Engine) Counters(number uint32) dataplane.Counters {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || number >= e.mem.limit() {
		return dataplane.Counters{}
	}
	return e.counted(number)
}

// counted returns what was ever counted for a port.
func (e *Engine) counted(number uint32) dataplane.Counters {
	sum := e.mem.counters(number, !e.earlier.counts(number))
	for r, c := range e.earlier.counters(number) {
		sum[r].Add(c)
	}
	return sum
}

// Image returns the image that the engine forwards by.
func (e *Engine) Image() *bpf.Image { return e.image }

// Program returns the program that runs at the ports, those in mode tc excepted.
// It stays the engine's.
func (e *Engine) Program() *ebpf.Program { return e.progs.xdp }

// ProgramInfo describes the program that runs at the ports. Any goroutine.
func (e *Engine) ProgramInfo() (*ebpf.ProgramInfo, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, fmt.Errorf("describe the program: %w", ErrClosed)
	}
	return e.progs.xdp.Info()
}

// Close ends the use of the engine by this process. What is pinned goes on
// forwarding.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.release()
}

// Stop gives all ports back and removes what is pinned. The engine is closed.
func (e *Engine) Stop() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	for _, p := range e.ports {
		if p.link != nil {
			errs = append(errs, e.detach(p))
		}
	}
	// gofail: var stopDetached struct{}
	return errors.Join(append(errs, e.pins.remove(), e.release())...)
}

func (e *Engine) release() error {
	if e.closed {
		return nil
	}
	e.closed = true
	errs := []error{e.endTraces(), e.dropProbe(), e.sender.close(), e.watch.close()}
	for _, p := range e.ports {
		if p.link != nil {
			errs = append(errs, p.link.Close())
		}
	}
	e.ports = map[uint32]*port{}
	if e.beside != nil {
		errs = append(errs, e.pins.removeMaps(e.pins.maps))
	}
	return errors.Join(append(errs, e.earlier.close(), e.progs.close(), e.mem.close(), e.state.Close())...)
}
