package main

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"weft/control/fpm"
	portset "weft/control/ports"
	"weft/dataplane/soft"
	"weft/fib"
)

// runOptions is what the command line says of a run.
type runOptions struct {
	ports         []string // globs
	detach        bool
	log           string // path; "": stderr
	mode          string // "auto", "native", "generic", "tc"
	engine        string // "xdp", "soft", "soft:GLOB,..."
	loops         soft.LoopOptions
	config        string // path; "": the default one
	fpm           string // address; "": none
	fpmAddress    netip.AddrPort
	fpmAck        bool
	receiveBuffer int // of the netlink socket, bytes; 0: the default
	fibSize       int // MiB at most; 0: as it comes
}

var (
	runModes   = []string{"auto", "native", "generic", "tc"}
	runEngines = []string{"xdp", "soft"}
)

func newRunCommand(e *env) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use: "run", Short: "Forward, until interrupted or stopped",
		Long: `Attaches to the machine's ports and forwards by the kernel's routes. Ports are
the Ethernet interfaces that forward (sysctl net.ipv4.conf.IF.forwarding,
net.ipv6.conf.IF.forwarding) and match one of the globs of --ports; interfaces
that come later too. What weft cannot do for a packet, Linux still does.

A configuration file (--config) adds static routes, BGP and more. It is put into force
if it has changed since it last was; if not, the configuration in force stays, with what
'weft config' and 'weft routes add' have made of it. See 'weft config --help'.

With --engine soft packets are forwarded by a loop in this process, over AF_XDP, instead
of in XDP; with --engine soft:GLOB,GLOB those that come in by the ports that match. What
the configuration says of a port's engine stands above it. A port goes from one to the
other without loss: by 'weft ports set', or a daemon that takes over with another one.
There are as many loops as ports have queues, up to one less than there are CPUs, each
pinned to one (--engine-workers, --engine-cpus). A port whose mode is tc, or that has no
AF_XDP, they have by AF_PACKET: slower.

If a daemon was killed, what it left forwarding goes on, and run takes it over.`,
		Example: `  sudo weft run
  sudo weft run --detach --log /var/log/weft.log
  sudo weft run --ports 'eth*' --ports 'veth-*'
  sudo weft run --config router.yaml
  sudo weft run --engine soft:eth1,eth2
  sudo weft run --fpm 127.0.0.1:2620
  sudo weft -n router1 run`,
		Annotations:       map[string]string{inFull: "yes"},
		Args:              atMost(0),
		ValidArgsFunction: completeNothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return runDaemon(cmd.Context(), e, o)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.ports, "ports", nil, "`GLOB` of the interfaces to forward on; may be repeated (default: Ethernet, taps, veths)")
	f.BoolVar(&o.detach, "detach", false, "go on in the background; returns when packets are forwarded")
	f.StringVar(&o.log, "log", "", "append the log to `FILE` (default: stderr)")
	f.StringVar(&o.config, "config", "", "configuration `FILE` (default: /etc/weft/weft.yaml if it is there and -n is not)")
	f.StringVar(&o.mode, "mode", "auto", "`MODE`, how to take packets from ports: auto, native, generic or tc")
	f.StringVar(&o.engine, "engine", "xdp", "`ENGINE` that forwards: xdp, soft, or for single ports soft:GLOB,GLOB...")
	f.IntVar(&o.loops.Workers, "engine-workers", 0, "at most `N` loops of the soft engine (default: the CPUs but for one)")
	f.IntSliceVar(&o.loops.CPUs, "engine-cpus", nil, "`CPUS` to pin them to, like 2,3 (default: all that the process may use)")
	f.IntVar(&o.loops.BusyPoll, "engine-busy-poll", 0, "`US` that the soft engine runs drivers itself, instead of interrupts (default: 0, off)")
	f.IntVar(&o.fibSize, "fib-size", 0, "at most `MIB` for the FIB; Linux forwards what does not fit (default: 512)")
	f.StringVar(&o.fpm, "fpm", "", "take routes from FRR's zebra (-M dplane_fpm_nl) on `ADDRESS`, like 127.0.0.1:2620")
	f.BoolVar(&o.fpmAck, "fpm-acknowledge", true, "tell FRR which routes packets find (FRR 8.5 and later listen)")
	f.IntVar(&o.receiveBuffer, "receive-buffer", 0, "`BYTES` of the netlink socket's receive buffer, for tests")
	if err := f.MarkHidden("receive-buffer"); err != nil {
		panic(err) // it is defined above
	}
	complete(cmd, "mode", choices(runModes...))
	complete(cmd, "engine", choices(runEngines...))
	return cmd
}

func (o *runOptions) check() error {
	if err := portset.CheckNames(o.ports); err != nil {
		return usage("--ports "+err.Error(), "want a glob like 'eth*'")
	}
	if err := o.checkEngine(); err != nil {
		return err
	}
	for _, m := range runModes {
		if o.mode == m {
			return o.checkValues()
		}
	}
	return usage("--mode "+o.mode+": no such mode", meant(o.mode, runModes, "want auto, native, generic or tc"))
}

// checkEngine holds that the userspace engine is not wanted where it cannot be.
func (o *runOptions) checkEngine() error {
	name, globs := o.wantedEngine()
	if err := portset.CheckNames(globs); err != nil {
		return usage("--engine "+err.Error(), "want a glob like 'eth*'")
	}
	if slices.Contains(globs, "") {
		return usage("--engine "+o.engine+": a glob is empty", "want one like 'eth*', or "+name+" alone for all ports")
	}
	if !slices.Contains(runEngines, name) {
		return usage("--engine "+name+": no such engine", meant(name, runEngines, "want xdp or soft"))
	}
	if err := o.loops.Check(); err != nil {
		return usagef("--engine-workers, --engine-cpus, --engine-busy-poll: %v", err)
	}
	return nil
}

// wantedEngine is the engine's name, and the globs of the ports that are to have it: none for all.
func (o *runOptions) wantedEngine() (name string, globs []string) {
	name, list, some := strings.Cut(o.engine, ":")
	if some {
		globs = strings.Split(list, ",")
	}
	return name, globs
}

func (o *runOptions) checkValues() (err error) {
	if o.fpm != "" {
		if o.fpmAddress, err = fpm.ParseAddress(o.fpm); err != nil {
			return usagef("--fpm %v", err)
		}
	}
	switch {
	case o.receiveBuffer < 0:
		return usagef("--receive-buffer %d: want 0 or more", o.receiveBuffer)
	case o.fibSize < 0 || o.fibSize<<20 > fib.MaxSize:
		return usagef("--fib-size %d: want 1 to %d", o.fibSize, fib.MaxSize>>20)
	}
	return nil
}

// wantedMode is the mode as the engine says it.
func (o *runOptions) wantedMode() string {
	if o.mode == "auto" {
		return ""
	}
	return o.mode
}

// arguments are those of the same run in the foreground.
func (o *runOptions) arguments(e *env) []string {
	args := []string{"run", "--mode", o.mode, "--engine", o.engine, "--receive-buffer", strconv.Itoa(o.receiveBuffer), "--fib-size", strconv.Itoa(o.fibSize)}
	args = append(args, "--engine-workers", strconv.Itoa(o.loops.Workers), "--engine-busy-poll", strconv.Itoa(o.loops.BusyPoll))
	for _, cpu := range o.loops.CPUs {
		args = append(args, "--engine-cpus", strconv.Itoa(cpu))
	}
	for _, glob := range o.ports {
		args = append(args, "--ports", glob)
	}
	if o.config != "" {
		args = append(args, "--config", o.config)
	}
	if o.fpm != "" {
		args = append(args, "--fpm", o.fpm, "--fpm-acknowledge="+strconv.FormatBool(o.fpmAck))
	}
	if e.socket != "" {
		args = append(args, "--socket", e.socket)
	}
	return args
}
