package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"weft/bpf"
	"weft/control"
	"weft/control/api"
	"weft/control/bgp"
	"weft/control/config"
	"weft/control/kernel"
	"weft/control/ports"
	"weft/control/rib"
	"weft/control/static"
	"weft/dataplane"
	"weft/dataplane/soft"
	"weft/dataplane/xdp"
	"weft/fib"
)

// Options say how a daemon runs. The zero value is usable.
type Options struct {
	Ports         []string       // globs of interfaces; none: those that are ports by default
	Mode          dataplane.Mode // of all ports; "": what each can do best
	Engine        dataplane.Name // of ports that EnginePorts match
	EnginePorts   []string       // globs; none: all
	Loops         soft.LoopOptions
	ReceiveBuffer int    // of the netlink socket, bytes; 0: the default
	FIBSize       int    // bytes that the image may grow to; 0: fib.MaxSize
	FPM           FPM    // the server for FRR
	Socket        string // "": by the network namespace
	Config        string // file; "": config.File if there is one, in the machine's own network namespace
	Version       string
	Log           *slog.Logger
	Ready         func() // called when packets are forwarded
}

// Errors with which a daemon does not start.
var (
	ErrPermission = errors.New("needs root: CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON and CAP_SYS_ADMIN")
	ErrKernel     = errors.New("needs Linux 5.15 or later")
)

const (
	// firstImage is the size that an image starts with; it doubles when it is full.
	firstImage = 1 << 20

	checkEvery = 200 * time.Millisecond
	retryEvery = 5 * time.Second
	pinsEvery  = 2 * time.Second

	// gcPercent trades CPU while a table is loaded for memory: garbage is a
	// quarter of what is in use.
	gcPercent = 25
)

// router is what a daemon is made of.
type router struct {
	options Options
	log     *slog.Logger
	netns   string
	started time.Time

	lock    *os.File
	bpffs   *os.File
	grace   *bpf.Grace
	readers fib.Readers // of the image, in this process
	engine  *soft.Engine
	mem     *bpf.Image // of the image that is written

	ports    *ports.Set
	follower *control.Follower
	server   *api.Server
	fpm      fpmServer

	static   *static.Source
	bgp      *bgp.Server
	export   exporter
	config   *config.Store
	inForce  *config.Config // by which routes and BGP go
	file     *config.Config // of Options.Config, nil: none
	fileName string

	adopted bool          // packets were forwarded when the daemon came
	held    bool          // ports wait until the image is filled: nothing is forwarded by it yet
	left    bool          // the engine is closed
	lacking bool          // routes are not installed. The Follower's goroutine
	astray  bool          // and others lead astray: ports are Linux's. The Follower's goroutine
	stop    chan struct{} // a client wants the end
	stopped chan struct{} // the ports are Linux's again
}

// Run forwards until a signal comes: os.Interrupt gives all ports back to Linux,
// another one leaves packets forwarded without the daemon. A client may say stop,
// too.
//
// Errors: ErrPermission, ErrKernel, api.ErrInUse, and what the kernel refuses.
// Nothing has changed then.
func Run(signals <-chan os.Signal, o Options) error {
	r := &router{
		options: o, log: o.Log, started: time.Now(), stop: make(chan struct{}, 1), stopped: make(chan struct{}),
	}
	err := r.open()
	if err == nil {
		err = r.serve(signals)
	}
	return errors.Join(err, r.close())
}

// open takes over or makes what forwards.
func (r *router) open() (err error) {
	if err := supported(); err != nil {
		return err
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("raise the limit of locked memory: %w", err)
	}
	debug.SetGCPercent(gcPercent)
	if r.netns, err = api.Netns(); err != nil {
		return err
	}
	place, err := r.readConfig()
	if err != nil {
		return err
	}
	if r.lock, err = api.Lock(r.netns); err != nil {
		return err
	}
	// gofail: var daemonLocked struct{}
	root, err := r.openPins()
	if err != nil {
		return err
	}
	r.grace = bpf.NewGrace()
	im, err := r.openEngine(filepath.Join(root, r.netns))
	if err != nil {
		return err
	}
	// gofail: var daemonEngine struct{}
	if err := r.engine.Watch(); err != nil {
		r.log.Warn("frames that ports do not take of what XDP sends them are not counted", "error", err)
	}
	// Without ports nothing forwards by what is there, which may be half an image: of a
	// daemon that died before it had filled it.
	r.held = r.held || len(r.engine.Ports()) == 0

	// gofail: var daemonImage struct{}
	r.ports = ports.New(ports.Config{
		Engine: r.engine, Names: r.options.Ports, Mode: r.options.Mode, PortEngine: r.options.Engine, EngineNames: r.options.EnginePorts, Hold: r.held, Log: r.log, Explain: verifierTail,
		Changed: func(text string) { r.server.Note(api.EventPort, text) },
	})
	before := map[int]int{} // VRFs of ports, by ifindex
	if !r.held {
		for _, p := range r.engine.Ports() {
			before[p.Ifindex] = p.VRF
		}
	}
	if err := r.openExport(); err != nil {
		return err
	}
	r.follower, err = control.Open(control.Config{
		Image: im, Ports: r.ports, Reasons: rib.DataplaneReasons, Grow: r.grow, NotInstalled: r.notInstalled, Log: r.log,
		ReceiveBuffer: r.options.ReceiveBuffer,
		Interface:     r.interfaceChanged,
		VRF:           func(link int) (int, bool) { vrf, ok := before[link]; return vrf, ok },
		Export:        r.export.Take,
		Observe: func(rib *rib.RIB, e kernel.Event) {
			r.export.Observe(e)
			r.server.Observe(rib, e)
		},
		Synced: func(took time.Duration) {
			r.server.Note(api.EventSync, fmt.Sprintf("all of the kernel's tables read in %v", took.Round(time.Millisecond)))
		},
	})
	if err != nil {
		return fmt.Errorf("follow the kernel: %w", err)
	}
	if err := r.openConfig(place); err != nil {
		return err
	}
	return r.openFPM()
}

// supported finds out whether there is any sense in trying.
func supported() error {
	if os.Geteuid() != 0 {
		return ErrPermission
	}
	if err := permitted(); err != nil {
		return err
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("find kernel version: %w", err)
	}
	release := unix.ByteSliceToString(u.Release[:])
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err == nil && (major < 5 || major == 5 && minor < 15) {
		return fmt.Errorf("%w, this is %s", ErrKernel, release)
	}
	return nil
}

// pinsName is the directory on the bpffs in which each namespace has one.
const pinsName = "weft"

// openPins finds the bpffs, and removes what namespaces have left that are gone.
func (r *router) openPins() (root string, err error) {
	if root, r.bpffs, err = xdp.Root(); err != nil {
		return "", err
	}
	root = filepath.Join(root, pinsName)
	if err := xdp.RemoveStale(root, func(netns string) bool { return netns == r.netns || api.IsLocked(netns) }); err != nil {
		r.log.Warn("remove what gone network namespaces left", "error", err)
	}
	return root, nil
}

// openEngine takes over what forwards, together with the image that it forwards by.
// Where that is of another format or cannot be written to, it goes on as it is until
// what is to take its place is ready.
func (r *router) openEngine(dir string) (*fib.Image, error) {
	im, err := r.adopt(dir)
	switch {
	case err == nil:
		r.log.Info("taking over what forwards", "ports", r.names())
		return im, nil
	case errors.Is(err, xdp.ErrNotFound):
		if im, err = r.build(func() (*xdp.Engine, error) { return xdp.New(r.mem, xdp.Options{Dir: dir}) }); errors.Is(err, xdp.ErrProgram) {
			r.log.Error("make what forwards", "error", err, verifierTail(err))
		}
		return im, err
	case errors.Is(err, xdp.ErrProgram):
		r.log.Error("take over what forwards, which goes on", "error", err, verifierTail(err))
		return nil, err
	case !errors.Is(err, xdp.ErrLayout) && !errors.Is(err, errImage):
		return nil, fmt.Errorf("%w: 'weft stop' gives the ports back to Linux, then run again", err)
	}
	cause := err
	if im, err = r.build(func() (*xdp.Engine, error) { return xdp.Beside(dir, r.mem, xdp.Options{}) }); err != nil {
		return nil, fmt.Errorf("%w: 'weft stop' gives the ports back to Linux, then run again", err)
	}
	r.adopted = true
	before := r.engine.Beside()
	r.log.Info("taking over what forwards in another format: it goes on until the FIB is filled", "format", before.Format,
		"new_format", xdp.Format, "ports", r.names(), "cause", cause)
	if before.Counters != nil {
		r.log.Warn("counters start at 0", "error", before.Counters)
	}
	return im, nil
}

// errImage: the image that is forwarded by cannot be written to.
var errImage = errors.New("the image cannot be taken over")

func (r *router) adopt(dir string) (*fib.Image, error) {
	engine, mem, err := xdp.Open(dir)
	if err != nil {
		return nil, err
	}
	im, err := fib.Open(mem.Mem(), r.imageOptions(mem))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", errImage, err), engine.Close(), mem.Close())
	}
	r.engine, r.mem, r.adopted = soft.New(engine, im, &r.readers, r.options.Loops), mem, true
	return im, nil
}

// build makes an engine that forwards by a new image.
func (r *router) build(engine func() (*xdp.Engine, error)) (_ *fib.Image, err error) {
	if r.mem, err = bpf.NewImage(r.imageSize(firstImage)); err != nil {
		return nil, err
	}
	im, err := fib.Create(r.mem.Mem(), r.imageOptions(r.mem))
	if err != nil {
		return nil, err
	}
	r.held = true
	made, err := engine()
	if err != nil {
		return nil, err
	}
	r.engine = soft.New(made, im, &r.readers, r.options.Loops)
	return im, nil
}

// mostReserve bounds what new routes leave of an image for changes of what there
// is: a 32nd, if that is less.
const mostReserve = 256 << 10

func (r *router) imageOptions(mem *bpf.Image) fib.Options {
	return fib.Options{
		Grace: fib.NewGraces(r.grace, &r.readers), HashSeed: uint32(r.started.UnixNano()), Reserve: min(len(mem.Mem())/32, mostReserve),
	}
}

// serve runs until the end.
func (r *router) serve(signals <-chan os.Signal) error {
	socket := r.options.Socket
	if socket == "" {
		socket = api.Socket(r.netns)
	}
	listener, err := api.Listen(socket)
	if err != nil {
		return err
	}
	// gofail: var daemonListens struct{}
	r.server = api.NewServer(api.Config{
		Follower: r.follower, Configuration: r.config, Ports: r.ports, Engine: r.engine,
		Program: r.program, Degraded: r.degraded, FPM: r.describeFPM, Stop: r.requestStop, Stopped: r.stopped,
		Exporter: r.export.Exporter, Static: r.static, BGP: r.bgp, BGPConfig: r.bgpConfig, Log: r.log,
		Identity: api.Identity{
			Version: r.options.Version, Netns: r.netns, Pins: filepath.Join("/sys/fs/bpf", pinsName, r.netns), Adopted: r.adopted,
			Started: r.started,
		},
	})
	served := make(chan error, 1)
	serving, endServing := context.WithCancel(context.Background())
	go func() {
		served <- r.server.Serve(serving, listener)
		close(served)
	}()
	err = r.follow(signals, served)
	close(r.stopped)
	endServing()
	return errors.Join(err, <-served) // the socket is gone before the lock is
}

// follow keeps image and ports right until the end.
func (r *router) follow(signals <-chan os.Signal, served <-chan error) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	followed := make(chan error, 1)
	go func() { followed <- r.follower.Run(ctx) }()
	end := func() error {
		cancel()
		r.endFPM()
		err := <-followed
		r.export.end()
		return err
	}
	check, retry, pins := time.NewTicker(checkEvery), time.NewTicker(retryEvery), time.NewTicker(pinsEvery)
	defer pins.Stop()
	defer check.Stop()
	defer retry.Stop()
	synced := r.follower.Synced()
	for {
		select {
		case err := <-followed:
			return err
		case <-synced:
			synced = nil
			if err := r.ready(ctx); err != nil {
				return errors.Join(err, end())
			}
		case <-check.C:
			if err := r.engine.Check(); err != nil {
				r.log.Warn("check ports", "error", err, verifierTail(err))
			}
		case <-pins.C:
			r.keepPins()
		case <-retry.C:
			if synced == nil {
				if err := r.follower.UpdatePorts(ctx, r.retry); err != nil {
					return errors.Join(err, end())
				}
			}
		case <-r.stop:
			err := end()
			r.log.Info("giving the ports back to Linux")
			return errors.Join(err, r.leave(false))
		case err := <-served:
			return errors.Join(err, end(), r.leave(true))
		case s := <-signals:
			err := end()
			if s == os.Interrupt {
				r.log.Info("giving the ports back to Linux")
				return errors.Join(err, r.leave(false))
			}
			r.log.Info("ending: packets are forwarded all the same, 'weft stop' gives the ports back to Linux")
			return errors.Join(err, r.leave(true))
		}
	}
}

// ready is called when the image is filled.
func (r *router) ready(ctx context.Context) error {
	// gofail: var daemonReady struct{}
	r.export.start(ctx, r.follower.Do)
	if err := r.startConfig(ctx); err != nil {
		return err
	}
	r.settle(ctx)
	if r.held {
		if err := r.follower.UpdatePorts(ctx, r.ports.Start); err != nil {
			return err
		}
		if err := r.engine.TakeOver(); err != nil {
			return err
		}
	}
	debug.FreeOSMemory() // what the dumps took
	r.log.Info("forwarding", "ports", r.names(), "took", time.Since(r.started).Round(time.Millisecond))
	r.startFPM(ctx)
	// gofail: var daemonForwards struct{}
	if r.options.Ready != nil {
		r.options.Ready()
	}
	return nil
}

// retry tries again what did not work.
func (r *router) retry() {
	if !r.astray {
		r.ports.Release(false)
	}
	r.ports.Retry()
}

func (r *router) requestStop() {
	select {
	case r.stop <- struct{}{}:
	default: // it is on its way
	}
}

func (r *router) names() (names []string) {
	for _, p := range r.engine.Ports() {
		names = append(names, fmt.Sprintf("%s (%s %s)", p.Name, p.Engine, p.Mode))
	}
	return names
}

// errFIBSize: the operator wants no larger image.
var errFIBSize = errors.New("the image is as large as it may be (--fib-size)")

// leave ends the use of the engine, which goes on forwarding or gives its ports
// back to Linux.
func (r *router) leave(forwarding bool) error {
	r.left = true
	// gofail: var leaveBegun struct{}
	if forwarding {
		return r.engine.Close()
	}
	if r.bgp != nil {
		r.bgp.Close()
	}
	if r.static != nil {
		if err := r.static.Withdraw(); err != nil {
			r.log.Warn("remove the configuration's neighbors", "error", err)
		}
	}
	if err := r.export.withdraw(); err != nil {
		r.log.Warn("withdraw weft's own routes from the kernel", "error", err)
	}
	os.Remove(api.LogPath(r.netns)) // of a daemon in the background: it has nothing to tell any more
	// gofail: var leaveStop struct{}
	return r.engine.Stop()
}

// close ends what open began, in the reverse order.
func (r *router) close() error {
	var errs []error
	r.endFPM()
	if r.engine != nil && !r.left { // it did not come to an end of its own
		errs = append(errs, r.leave(r.adopted))
	}
	errs = append(errs, r.export.close())
	if r.mem != nil {
		errs = append(errs, r.mem.Close())
	}
	if r.grace != nil {
		r.grace.Close()
	}
	if r.bpffs != nil {
		errs = append(errs, r.bpffs.Close())
	}
	if r.lock != nil {
		errs = append(errs, api.Unlock(r.lock))
	}
	return errors.Join(errs...)
}
