package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"weft/dataplane"
	"weft/dataplane/soft"
	"weft/dataplane/xdp"
)

// softNames are the engines of the rows soft/..., in the order in which they are measured.
var softNames = []string{"linux", "weft_xdp", "weft_soft", testpmdXDP, testpmdPacket}

// softEngines are those of a router, which has its CPU for itself and the sink.
func (r *router) softEngines(ctx context.Context, cpu int) (err error) {
	r.cpu = cpu
	if r.soft, err = newSoft(r.weft, cpu); err != nil {
		return err
	}
	r.split = map[string]engine{
		"linux": &steered{t: r.topology, cpu: cpu}, "weft_xdp": &threaded{weft: r.weft, cpu: cpu}, "weft_soft": r.soft,
	}
	for _, driver := range []string{testpmdXDP, testpmdPacket} {
		r.split[driver] = &testpmd{ctx: ctx, t: r.topology, cpu: cpu, driver: driver}
	}
	return nil
}

// softEngine is the userspace engine, on the image of weft's: with one loop.
type softEngine struct {
	*weft
	engine *soft.Engine
}

func newSoft(w *weft, cpu int) (*softEngine, error) {
	s := &softEngine{weft: w}
	err := within(w.t.router, func() error {
		base, err := xdp.New(w.mem, xdp.Options{})
		if err != nil {
			return err
		}
		router, err := netns.Get()
		if err != nil {
			return errors.Join(err, base.Stop())
		}
		s.engine = soft.New(base, w.im, &w.readers, soft.LoopOptions{Workers: 1, CPUs: []int{cpu}, Thread: func() error { return netns.Set(router) }})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("start the userspace engine: %w", err)
	}
	return s, nil
}

func (s *softEngine) attach() error {
	out, in := ports(s.t)
	out.Engine, in.Engine = dataplane.Soft, dataplane.Soft
	return errors.Join(s.engine.SetPort(out), s.engine.SetPort(in))
}

func (s *softEngine) detach() error {
	return errors.Join(s.engine.RemovePort(portIn), s.engine.RemovePort(portOut))
}

// unforwarded leaves out what did not come to the loop: it is no figure of another's.
func (s *softEngine) unforwarded() (n uint64, err error) {
	if err := within(s.t.router, s.engine.Check); err != nil {
		return 0, err
	}
	return unforwarded(s.engine, dataplane.LoopOverrun), nil
}

// steered is Linux with what comes in on one CPU and forwarding on another (RPS), as AF_XDP has it, too.
type steered struct {
	linux
	t   *topology
	cpu int
}

func (s *steered) attach() error {
	return s.t.setDevice("in", "queues/rx-0/rps_cpus", fmt.Sprintf("%x", 1<<s.cpu))
}
func (s *steered) detach() error { return s.t.setDevice("in", "queues/rx-0/rps_cpus", "0") }

// setDevice writes to a file that the router's sysfs has of an interface.
func (t *topology) setDevice(name, file, value string) error {
	path := filepath.Join("/sys/class/net", name, file)
	out, err := exec.Command("ip", "netns", "exec", t.name("router"), "sh", "-c", "echo "+value+" > "+path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("write %s to %s: %w: %s", value, path, err, out)
	}
	return nil
}

// threaded is weft's XDP program on a thread of its own: else it would run where packets are made.
type threaded struct {
	*weft
	cpu int
}

func (e *threaded) attach() error {
	if err := e.weft.attach(); err != nil {
		return err
	}
	if err := e.t.setDevice("in", "threaded", "1"); err != nil {
		return err
	}
	return pinThreads("napi/in-", e.cpu)
}

func (e *threaded) detach() error {
	return errors.Join(e.t.setDevice("in", "threaded", "0"), e.weft.detach())
}

// pinThreads pins the kernel's threads whose names begin so.
func pinThreads(prefix string, cpu int) error {
	all, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return err
	}
	var set unix.CPUSet
	set.Set(cpu)
	n := 0
	for _, path := range all {
		name, err := os.ReadFile(path)
		if err != nil || !strings.HasPrefix(string(name), prefix) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil {
			err = unix.SchedSetaffinity(pid, &set)
		}
		if err != nil {
			return fmt.Errorf("pin %s: %w", name, err)
		}
		n++
	}
	if n == 0 {
		return fmt.Errorf("no thread of the kernel is called %s*", prefix)
	}
	return nil
}
