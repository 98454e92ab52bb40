package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"weft/bpf"
	"weft/control"
	"weft/control/kernel"
	"weft/control/rib"
	"weft/dataplane"
	"weft/dataplane/xdp"
	"weft/fib"
)

// firstImage is the size that an image starts with; it doubles when it is full.
const firstImage = 1 << 20

// checkInterval is for how long a port may lose what is redirected to it.
const checkInterval = 200 * time.Millisecond

// punts are the reasons that groups which punt are counted under.
var punts = rib.Reasons{
	NoPort: uint16(dataplane.PuntRoute), LinkDown: uint16(dataplane.PuntRoute), Unresolved: uint16(dataplane.PuntRoute),
	Broadcast: uint16(dataplane.Broadcast), Multicast: uint16(dataplane.Multicast),
	LinkLocal: uint16(dataplane.IPv6UCDIPLinkLocalScope), Martian: uint16(dataplane.PuntRoute),
	Throw: uint16(dataplane.PuntRoute), Encap: uint16(dataplane.PuntRoute), Policy: uint16(dataplane.PuntRoute),
}

// router holds what a run is made of.
type router struct {
	config config
	log    *slog.Logger
	grace  *bpf.Grace
	engine *xdp.Engine
	mem    *bpf.Image

	mu    sync.Mutex // guards what follows
	ports map[int]uint32
}

// run forwards until ctx ends, and then gives the machine back.
func run(ctx context.Context, c config, stdout, stderr io.Writer) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("run: needs root, for XDP programs and netlink: try 'sudo weft run'")
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("run: raise the limit of locked memory: %w", err)
	}
	r := &router{
		config: c, log: slog.New(slog.NewTextHandler(stderr, nil)), grace: bpf.NewGrace(), ports: map[int]uint32{},
	}
	defer r.grace.Close()
	if r.mem, err = bpf.NewImage(firstImage); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	defer func() { err = errors.Join(err, r.mem.Close()) }()
	im, err := fib.Create(r.mem.Mem(), fib.Options{Grace: r.grace, HashSeed: uint32(os.Getpid())})
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	if r.engine, err = xdp.New(r.mem, xdp.Options{}); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	defer func() { err = errors.Join(err, r.engine.Stop()) }()
	follower, err := control.Open(control.Config{
		Image: im, Ports: r, Reasons: punts, Grow: r.grow, NotInstalled: r.notInstalled, Link: r.link, Log: r.log,
	})
	if err != nil {
		return fmt.Errorf("run: follow the kernel: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	followed := make(chan error, 1)
	go func() { followed <- follower.Run(ctx) }()
	select {
	case err := <-followed:
		return err
	case <-follower.Synced():
		r.log.Info("forwarding", "ports", r.names())
	}
	report := newReport(r, stdout)
	tick, check := time.NewTicker(c.interval), time.NewTicker(checkInterval)
	defer tick.Stop()
	defer check.Stop()
	for {
		select {
		case err := <-followed:
			return err
		case <-check.C:
			if err := r.engine.Check(); err != nil {
				r.log.Warn("check ports", "error", err)
			}
		case <-tick.C:
			if err := report.print(); err != nil {
				cancel()
				return errors.Join(fmt.Errorf("run: %w", err), <-followed)
			}
		}
	}
}

// Number implements rib.Ports.
func (r *router) Number(ifindex int) (uint32, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, ok := r.ports[ifindex]
	return n, ok
}

// link makes a link a port, or no port any more, as it is now.
func (r *router) link(l kernel.Link, there bool) {
	number, known := r.Number(l.Index)
	v4, v6 := forwards("ipv4", l.Name), forwards("ipv6", l.Name)
	if match, _ := path.Match(r.config.ports, l.Name); !there || !match || !isPort(&l) || !v4 && !v6 {
		if known {
			r.forget(l.Index)
			if err := r.engine.RemovePort(number); err != nil && there {
				r.log.Warn("remove port", "port", l.Name, "error", err)
			}
		}
		return
	}
	if !known {
		number = r.free()
	}
	err := r.engine.SetPort(dataplane.Port{
		Number: number, Ifindex: l.Index, Name: l.Name, MAC: dataplane.MAC(l.MAC), IPv4: v4, IPv6: v6,
	})
	if err != nil {
		r.log.Error("this interface stays with Linux alone", "error", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ports[l.Index] = number
}

// isPort tells links that stand for a wire from those that stand on others.
func isPort(l *kernel.Link) bool {
	return l.Type == unix.ARPHRD_ETHER && l.HasMAC && l.IsUp() && l.Master == 0 && (l.Kind == "" || l.Kind == "veth" || l.Kind == "tun")
}

func forwards(family, name string) bool {
	b, err := os.ReadFile("/proc/sys/net/" + family + "/conf/" + name + "/forwarding")
	return err == nil && strings.TrimSpace(string(b)) == "1"
}

func (r *router) forget(ifindex int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.ports, ifindex)
}

// free returns the lowest number that no port has.
func (r *router) free() uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := map[uint32]bool{}
	for _, n := range r.ports {
		taken[n] = true
	}
	n := uint32(1)
	for taken[n] {
		n++
	}
	return n
}

func (r *router) names() (names []string) {
	for _, p := range r.engine.Ports() {
		names = append(names, fmt.Sprintf("%s (%s)", p.Name, p.Mode))
	}
	return names
}

// grow makes an image twice as large beside the full one and takes the ports
// over to it.
func (r *router) grow(im *fib.Image) (*fib.Image, error) {
	mem, err := bpf.NewImage(2 * im.Size())
	if err != nil {
		return nil, err
	}
	larger, err := im.CopyTo(mem.Mem(), fib.Options{Grace: r.grace})
	if err == nil {
		err = r.engine.Replace(mem)
	}
	if err != nil {
		return nil, errors.Join(err, mem.Close())
	}
	old := r.mem
	r.mem = mem
	return larger, old.Close()
}

// notInstalled is told how many routes the image lacks. A packet that follows a
// shorter one would go astray: Linux gets all of them until there is room.
func (r *router) notInstalled(routes int) {
	if routes == 0 {
		return
	}
	r.log.Error("the FIB cannot grow: ports go back to Linux", "routes_not_installed", routes)
	for _, p := range r.engine.Ports() {
		r.forget(p.Ifindex)
		if err := r.engine.RemovePort(p.Number); err != nil {
			r.log.Error("remove port", "port", p.Name, "error", err)
		}
	}
}
