package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// cores divides the machine: one for the traffic and what forwards it, the rest for everything else.
type cores struct {
	traffic int
	rest    unix.CPUSet // the same one, if there is no other
}

func divideCores() (c cores, err error) {
	if err := unix.SchedGetaffinity(0, &c.rest); err != nil {
		return c, fmt.Errorf("find CPUs: %w", err)
	}
	for cpu := range len(c.rest) * 64 {
		if c.rest.IsSet(cpu) {
			c.traffic = cpu
		}
	}
	if c.rest.Count() > 1 {
		c.rest.Clear(c.traffic)
	}
	return c, nil
}

// keepOff keeps all threads of this process, those to come, and its children off the traffic's core.
func (c *cores) keepOff() error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("find threads: %w", err)
	}
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err == nil {
			err = unix.SchedSetaffinity(id, &c.rest)
		}
		if err != nil && !errors.Is(err, unix.ESRCH) { // it has ended meanwhile
			return fmt.Errorf("keep thread %s off CPU %d: %w", t.Name(), c.traffic, err)
		}
	}
	return nil
}

// takeTraffic puts the calling thread on the traffic's core.
func (c *cores) takeTraffic() error {
	var set unix.CPUSet
	set.Set(c.traffic)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("run on CPU %d: %w", c.traffic, err)
	}
	return nil
}

// cpuTime is what a CPU has done since boot, in ticks.
type cpuTime struct{ busy, all uint64 }

func readCPU(cpu int) (t cpuTime, err error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return t, err
	}
	for line := range bytes.Lines(b) {
		f := bytes.Fields(line)
		if string(f[0]) != fmt.Sprintf("cpu%d", cpu) {
			continue
		}
		for i, v := range f[1:9] { // user nice system idle iowait irq softirq steal
			n, err := strconv.ParseUint(string(v), 10, 64)
			if err != nil {
				return t, fmt.Errorf("read /proc/stat: %w", err)
			}
			t.all += n
			if i != 3 && i != 4 {
				t.busy += n
			}
		}
		return t, nil
	}
	return t, fmt.Errorf("read /proc/stat: no CPU %d", cpu)
}

// since returns which share of the time the CPU was busy, 0 to 1.
func (t cpuTime) since(before cpuTime) float64 {
	if t.all <= before.all {
		return 0
	}
	return float64(t.busy-before.busy) / float64(t.all-before.all)
}
