package peer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// SetApart gives the router a CPU of its own, or takes it away again. Nothing is attached meanwhile.
func (n *Network) SetApart(apart bool, cpu int) {
	n.options.Apart, n.options.RouterCPU = apart, cpu
	for _, v := range n.variants {
		v.SetApart(apart, cpu)
	}
}

// place has packets forwarded on the router's CPU, if it has one, or no longer.
func (n *Network) place(e engine, begin bool) error {
	if !n.options.Apart {
		return nil
	}
	switch e.(type) {
	case *softEngine, *testpmd: // they have threads of their own: the kernel takes packets in on the generator's CPU
		return nil
	case linux: // as it does by RPS
		cpus := "0"
		if begin {
			cpus = maskOf(n.options.RouterCPU)
		}
		return n.writeClass(n.port("in"), "queues/rx-0/rps_cpus", cpus)
	}
	if begin { // an XDP program works where the port is polled
		return n.pollOn(n.options.RouterCPU)
	}
	return n.writeClass(n.port("in"), "threaded", "0")
}

// maskOf is a CPU as the kernel reads sets of them: hexadecimal words of 32 bits, commas between.
func maskOf(cpu int) string {
	return fmt.Sprintf("%x", 1<<(cpu%32)) + strings.Repeat(",00000000", cpu/32)
}

// pollOn has the kernel poll the port that packets come in by in a thread of its own, on one CPU. What is sent on is
// taken in there, too.
func (n *Network) pollOn(cpu int) error {
	if err := n.writeClass(n.port("in"), "threaded", "1"); err != nil {
		return fmt.Errorf("poll port in a thread of its own: %w", err)
	}
	pids, err := threadsOf(n.port("in"))
	if err == nil && len(pids) == 0 {
		err = errors.New("/proc has no thread for it: is this another PID namespace?")
	}
	for _, pid := range pids {
		if err == nil {
			err = errors.Join(pin(pid, cpu), Prefer(pid))
		}
	}
	if err != nil {
		return fmt.Errorf("poll port on CPU %d: %w", cpu, err)
	}
	return nil
}

// writeClass writes an attribute of a network interface of the router. Sysfs shows those of the namespace in which it
// was mounted, so a thread that ends with it mounts one.
func (n *Network) writeClass(name, attribute, value string) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // not unlocked: the thread ends
		done <- n.InRouter(func() error {
			if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
				return fmt.Errorf("make mount namespace: %w", err)
			}
			if err := unix.Mount("", "/", "none", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
				return fmt.Errorf("make mounts private: %w", err)
			}
			if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
				return fmt.Errorf("mount sysfs: %w", err)
			}
			return os.WriteFile(filepath.Join("/sys/class/net", name, attribute), []byte(value), 0)
		})
	}()
	return <-done
}

// threadsOf returns the kernel's threads that poll an interface.
func threadsOf(name string) (pids []int, err error) {
	dirs, err := os.ReadDir("/proc")
	for _, d := range dirs {
		pid, e := strconv.Atoi(d.Name())
		if e != nil {
			continue
		}
		comm, e := os.ReadFile(filepath.Join("/proc", d.Name(), "comm"))
		if e == nil && strings.HasPrefix(string(comm), "napi/"+name+"-") {
			pids = append(pids, pid)
		}
	}
	return pids, err
}

// Prefer gives a thread, 0 for the calling one, the CPU before others, and what it starts: a ring of 256 packets is full after 100 us in
// which somebody else works.
func Prefer(tid int) error {
	if err := unix.Setpriority(unix.PRIO_PROCESS, tid, -20); err != nil {
		return fmt.Errorf("raise priority: %w", err)
	}
	return nil
}

func pin(pid, cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(pid, &set); err != nil {
		return fmt.Errorf("pin to CPU %d: %w", cpu, err)
	}
	return nil
}
