package main

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"unsafe"

	"github.com/cilium/ebpf"

	"weft/test/fulltable"
)

// runLen is how many destinations one BPF_PROG_TEST_RUN looks up: few enough that the slowest engine ends well within
// the 250 ms that the kernel allows a may_goto loop, many enough that starting and stopping the clock does not show.
const runLen = 1 << 14

// bpfObject is a loaded object that includes bench.h.
type bpfObject struct {
	first, count, done, ns, sum *ebpf.Variable
	mem                         *ebpf.Variable
	loaded                      *trace // what mem holds
}

var bpfProgram = regexp.MustCompile(`^(\w+)_(ipv4|ipv6)_(dep|ind)$`)

// bpfEngines returns an engine for each program that BENCH_IPV4 and BENCH_IPV6 defined in coll, which stays the
// caller's. An engine is named as in C, or as rename says.
func bpfEngines(coll *ebpf.Collection, rename map[string]string) ([]engine, error) {
	o := new(bpfObject)
	for name, v := range map[string]**ebpf.Variable{
		"bench_first": &o.first, "bench_count": &o.count, "bench_done": &o.done,
		"bench_ns": &o.ns, "bench_sum": &o.sum, "bench_trace": &o.mem,
	} {
		if *v = coll.Variables[name]; *v == nil {
			return nil, fmt.Errorf("find variable %s of bench.h in BPF object", name)
		}
	}
	if err := o.count.Set(uint32(runLen)); err != nil {
		return nil, err
	}
	var engines []engine
	for _, name := range slices.Sorted(maps.Keys(coll.Programs)) {
		prog := coll.Programs[name]
		m := bpfProgram.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		e := engine{side: "bpf", family: m[2], mode: m[3], name: m[1]}
		if to, ok := rename[e.name]; ok {
			e.name = to
		}
		e.run = func(ctx context.Context, t *trace) (float64, uint64, error) { return o.run(ctx, prog, t) }
		engines = append(engines, e)
	}
	return engines, nil
}

// run looks up the whole trace twice, runLen destinations at a time. The first pass does not count: it refills the caches
// that the engine before has emptied.
func (o *bpfObject) run(ctx context.Context, prog *ebpf.Program, t *trace) (nsPerLookup float64, sum uint64, err error) {
	if err := o.load(t); err != nil {
		return 0, 0, err
	}
	var ns uint64
	for range 2 {
		ns, sum = 0, 0
		for first := 0; first < fulltable.TraceLen; first += runLen {
			if err := ctx.Err(); err != nil {
				return 0, 0, err
			}
			n, s, err := o.step(prog, first)
			if err != nil {
				return 0, 0, err
			}
			ns += n
			sum += s
		}
	}
	return float64(ns) / fulltable.TraceLen, sum, nil
}

// load writes the trace into the object's memory, unless it is there.
func (o *bpfObject) load(t *trace) error {
	if o.loaded == t {
		return nil
	}
	// The 16 bytes of an IPv6 destination are the slot; IPv4 destinations are packed into the first quarter.
	slots := make([]byte, o.mem.Size())
	if t.IPv4 != nil {
		copy(slots, unsafe.Slice((*byte)(unsafe.Pointer(&t.IPv4[0])), 4*len(t.IPv4)))
	} else {
		copy(slots, unsafe.Slice(&t.IPv6[0][0], 16*len(t.IPv6)))
	}
	if err := o.mem.Set(slots); err != nil {
		return fmt.Errorf("write trace: %w", err)
	}
	o.loaded = t
	return nil
}

// step runs the program once, for the runLen destinations from first on.
func (o *bpfObject) step(prog *ebpf.Program, first int) (ns, sum uint64, err error) {
	if err := o.first.Set(uint32(first)); err != nil {
		return 0, 0, err
	}
	frame := make([]byte, 64)
	if _, err := prog.Run(&ebpf.RunOptions{Data: frame}); err != nil {
		return 0, 0, fmt.Errorf("run %v: %w", prog, err)
	}
	var done uint32
	if err := o.done.Get(&done); err != nil {
		return 0, 0, err
	}
	if done != runLen {
		return 0, 0, fmt.Errorf("run %v: the kernel ended the loop after %d of %d lookups", prog, done, runLen)
	}
	if err := o.ns.Get(&ns); err != nil {
		return 0, 0, err
	}
	if err := o.sum.Get(&sum); err != nil {
		return 0, 0, err
	}
	return ns, sum, nil
}
