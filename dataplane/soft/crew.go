package soft

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"weft/dataplane"
	"weft/dataplane/soft/device"
	"weft/dataplane/soft/xsk"
	"weft/fib"
)

// LoopOptions say how an Engine's loops are made. The zero value is right for most.
type LoopOptions struct {
	// Workers is how many loops there are at most; 0: as many as the process may use CPUs but for one, and at least one.
	// There are never more than queues that packets come in by.
	Workers int
	// CPUs are those that loops are pinned to, in their order, from the first on again if there are more loops. None: those
	// that the process may use, from one on that the process's number says, so that daemons of many network
	// namespaces do not all choose the same. A loop that may use one CPU only is not pinned.
	CPUs []int
	// BusyPoll is that of package xsk, µs; 0: off.
	BusyPoll int
	// Thread, if not nil, is called on each loop's thread before it opens a socket: where a process is in several network
	// namespaces, it enters that of the ports.
	Thread func() error
}

// ErrOptions: loops cannot be made so.
var ErrOptions = errors.New("not possible")

// Check tells whether loops can be made so, by this process.
//
// Errors: ErrOptions.
func (o *LoopOptions) Check() error {
	allowed, err := allowedCPUs()
	if err != nil {
		return err
	}
	if o.Workers < 0 || o.Workers > mostWorkers {
		return fmt.Errorf("%d workers: %w: want 1 to %d", o.Workers, ErrOptions, mostWorkers)
	}
	for i, cpu := range o.CPUs {
		if !slices.Contains(allowed, cpu) {
			return fmt.Errorf("CPU %d: %w: this process may use %v (taskset, cpuset)", cpu, ErrOptions, allowed)
		}
		if slices.Contains(o.CPUs[:i], cpu) {
			return fmt.Errorf("CPU %d: %w: it is named twice", cpu, ErrOptions)
		}
	}
	if o.BusyPoll < 0 || o.BusyPoll > mostBusyPoll {
		return fmt.Errorf("busy polling for %d µs: %w: want 0 to %d", o.BusyPoll, ErrOptions, mostBusyPoll)
	}
	return nil
}

const (
	mostWorkers  = 64
	mostBusyPoll = 10000
)

// allowedCPUs are those of the process. It is asked once: any of its threads may be a loop's later, and pinned.
var allowedCPUs = sync.OnceValues(func() (all []int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(os.Getpid(), &set); err != nil {
		return nil, fmt.Errorf("find out which CPUs may be used: %w", err)
	}
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			all = append(all, cpu)
		}
	}
	return all, nil
})

// pins are the CPUs that loops are pinned to, one after the other: none if there is no choice.
func (o *LoopOptions) pins(allowed []int, process int) []int {
	switch {
	case len(o.CPUs) > 0:
		return o.CPUs
	case len(allowed) < 2:
		return nil
	}
	from := process % len(allowed)
	return slices.Concat(allowed[from:], allowed[:from])
}

// crew is the loops, and what they share. A loop is added when there is a queue for it.
type crew struct {
	readers *fib.Readers
	most    int
	pins    []int
	thread  func() error
	mem     *device.Memory
	depot   *device.Depot
	umem    *xsk.UMEM
	asks    chan Neighbor
	loops   []*loop
	config  *Config // of all; nil: not set yet
}

// Memory is framesFirst and framesEach for each loop that there may be: 64 MiB for one, 32 for each more.
const (
	framesFirst = 16 << 10
	framesEach  = 16 << 10
)

// newCrew makes one of no loops.
func newCrew(readers *fib.Readers, o *LoopOptions) (_ *crew, err error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	allowed, err := allowedCPUs()
	if err != nil {
		return nil, err
	}
	c := &crew{readers: readers, most: o.Workers, pins: o.pins(allowed, os.Getpid()), thread: o.Thread, asks: make(chan Neighbor, asksMost)}
	if c.most == 0 {
		c.most = min(max(1, len(allowed)-1), mostWorkers)
	}
	frames := framesFirst + c.most*framesEach
	if c.mem, err = device.NewMemory(frames, loopFrameSize); err != nil {
		return nil, err
	}
	if c.depot, err = c.mem.NewDepot(frames, c.most); err != nil {
		return nil, errors.Join(err, c.mem.Close())
	}
	c.umem = xsk.NewUMEM(c.mem)
	return c, nil
}

// add makes one more loop, that has what the others are configured by.
func (c *crew) add() error {
	cpu := -1
	if len(c.pins) > 0 {
		cpu = c.pins[len(c.loops)%len(c.pins)]
	}
	l, err := newLoop(c.readers, c.mem, c.depot.NewPool(), c.asks, cpu)
	if err != nil {
		return err
	}
	if c.thread != nil {
		l.do(func() { err = c.thread() })
	}
	if err == nil && c.config != nil {
		err = l.Set(c.config)
	}
	if err != nil {
		return errors.Join(err, l.close())
	}
	c.loops = append(c.loops, l)
	return nil
}

// recruit returns the loop that is to have one more queue: that which has the fewest, or a new one while all have some and
// there may be more.
func (c *crew) recruit() (n int, err error) {
	for i, l := range c.loops {
		if l.receives < c.loops[n].receives {
			n = i
		}
	}
	if len(c.loops) > 0 && (c.loops[n].receives == 0 || len(c.loops) == c.most) {
		return n, nil
	}
	if err := c.add(); err != nil {
		return 0, err
	}
	return len(c.loops) - 1, nil
}

// set gives all loops a Config. None goes by the one before when it returns.
func (c *crew) set(config *Config) error {
	var errs []error
	for _, l := range c.loops {
		l.do(func() { errs = append(errs, l.Set(config)) })
	}
	err := errors.Join(errs...)
	if err == nil {
		c.config = config
	}
	return err
}

// drain lets all loops finish what they have.
func (c *crew) drain() {
	for _, l := range c.loops {
		l.drain()
	}
}

// Counters reads what came in by a port.
func (c *crew) Counters(number uint32) (sum dataplane.Counters) {
	for _, l := range c.loops {
		one := l.Counters(number)
		for r := range one {
			sum[r].Add(one[r])
		}
	}
	return sum
}

// lost reads what a port did not take.
func (c *crew) lost(number uint32) (sum Lost) {
	for _, l := range c.loops {
		l.do(func() {
			one := l.Lost(number)
			sum.Forwarded.Add(one.Forwarded)
			sum.Punted.Add(one.Punted)
		})
	}
	return sum
}

// stages reads what each stage has had to do, in all loops.
func (c *crew) stages() []StageStats {
	var sum []StageStats
	for _, l := range c.loops {
		for i, one := range l.Stages() {
			if i == len(sum) {
				sum = append(sum, StageStats{Stage: one.Stage})
			}
			sum[i].Calls += one.Calls
			sum[i].Packets += one.Packets
			sum[i].Took += one.Took
		}
	}
	return sum
}

// close ends all loops. All sockets have been closed.
func (c *crew) close() error {
	var errs []error
	for _, l := range c.loops {
		errs = append(errs, l.close())
	}
	return errors.Join(append(errs, c.mem.Close())...)
}
