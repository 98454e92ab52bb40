package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

var dpdkFIB = source{
	name: "rte_fib", open: openDPDK,
	rows: lookupRows("go", []string{"batch"}, []string{"rte_fib"}),
}

// dpdkProgram is part of DPDK; Debian has it in its package dpdk.
const dpdkProgram = "dpdk-test-fib"

// dpdkPasses is how often the trace stands in its file, so that the first pass, which finds the caches full of the filling
// of the FIB, weighs little. The other engines have a first pass that does not count.
const dpdkPasses = 8

// dpdk runs dpdk-test-fib: each run reads table and trace, fills the FIB, and looks the trace up, 64 addresses at a time.
type dpdk struct {
	dir     string // holds a table per family and one trace
	cpu     int
	written *trace // the one in dir
}

func openDPDK(_ context.Context, s *setup) (*contest, error) {
	if _, err := exec.LookPath(dpdkProgram); err != nil {
		return &contest{note: "rte_fib: rows absent, " + dpdkProgram + " is not installed (Debian: apt install dpdk)"}, nil
	}
	dir, err := os.MkdirTemp("", "fibbench-")
	if err != nil {
		return nil, err
	}
	c := &contest{close: func() { os.RemoveAll(dir) }}
	d := &dpdk{dir: dir, cpu: s.cpu}
	if err := errors.Join(
		writeDPDKTable(d.table("ipv4"), s.table.ipv4, s.table.hops4),
		writeDPDKTable(d.table("ipv6"), s.table.ipv6, s.table.hops6),
	); err != nil {
		c.close()
		return nil, fmt.Errorf("write table for %s: %w", dpdkProgram, err)
	}
	for _, family := range []string{"ipv4", "ipv6"} {
		c.engines = append(c.engines, engine{side: "go", family: family, mode: "batch", name: "rte_fib", run: d.run, unchecked: true})
	}
	return c, nil
}

func (d *dpdk) table(family string) string { return filepath.Join(d.dir, family+".table") }

// run takes the better of 2-byte and 4-byte entries for IPv4, as a user of rte_fib would. For IPv6, 2-byte entries
// cannot hold this table.
func (d *dpdk) run(ctx context.Context, t *trace) (ns float64, sum uint64, err error) {
	path := filepath.Join(d.dir, "trace")
	if d.written != t {
		if err := writeDPDKTrace(path, t); err != nil {
			return 0, 0, fmt.Errorf("write trace for %s: %w", dpdkProgram, err)
		}
		d.written = t
	}
	if t.Family == "ipv6" {
		ns, err = d.lookup(ctx, "-6", "-f", d.table("ipv6"), "-t", path, "-b", "trie", "-e", "4", "-g", "500000")
		return ns, 0, err
	}
	for _, entryBytes := range []string{"2", "4"} {
		n, err := d.lookup(ctx, "-f", d.table("ipv4"), "-t", path, "-b", "dir", "-e", entryBytes, "-g", "4096")
		if err != nil {
			return 0, 0, err
		}
		if ns == 0 || n < ns {
			ns = n
		}
	}
	return ns, 0, nil
}

func (d *dpdk) lookup(ctx context.Context, args ...string) (ns float64, err error) {
	// The log level is what makes it tell the TSC's frequency. Without -v it takes the widest lookup that CPU and
	// bit width allow. No shared files, so that nothing is left in /run and two benches do not collide.
	eal := []string{"--no-huge", "-m", "2048", "--no-pci", "--no-telemetry", "--no-shconf", "--log-level=lib.eal:debug",
		"--force-max-simd-bitwidth=512", "-l", strconv.Itoa(d.cpu), "--"}
	out, err := exec.CommandContext(ctx, dpdkProgram, append(eal, args...)...).CombinedOutput()
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if err != nil {
		return 0, fmt.Errorf("run %s: %w\n%s", dpdkProgram, err, out[max(0, len(out)-500):])
	}
	return parseDPDK(out)
}

var (
	dpdkCycles = regexp.MustCompile(`(?m)^AVG FIB lookup ([0-9.]+)$`)
	dpdkTSC    = regexp.MustCompile(`(?m)^EAL: TSC frequency is ~([0-9]+) KHz$`)
)

// parseDPDK finds the TSC cycles per lookup in what dpdk-test-fib prints, and their frequency, which DPDK measures and
// rounds to 10 MHz.
func parseDPDK(out []byte) (ns float64, err error) {
	cycles, kHz := dpdkCycles.FindSubmatch(out), dpdkTSC.FindSubmatch(out)
	if cycles == nil || kHz == nil {
		return 0, fmt.Errorf("find lookup cycles and TSC frequency in output of %s:\n%s", dpdkProgram, out)
	}
	c, err := strconv.ParseFloat(string(cycles[1]), 64)
	if err != nil {
		return 0, err
	}
	f, err := strconv.ParseFloat(string(kHz[1]), 64)
	if err != nil {
		return 0, err
	}
	return c / f * 1e6, nil
}

func writeDPDKTable(path string, prefixes []netip.Prefix, hops []uint32) error {
	return writeLines(path, len(prefixes), func(line []byte, i int) []byte {
		line = append(prefixes[i].AppendTo(line), ' ')
		return strconv.AppendUint(line, uint64(hops[i]), 10)
	})
}

// writeDPDKTrace writes IPv4 addresses backwards: dpdk-test-fib 22.11 hands them to rte_fib in network order, as
// inet_pton leaves them, though rte_fib wants them in the CPU's (its option -u shows it). Given the addresses as they
// are it would look up others, which says nothing about this trace: random-prefix figures come out 40 % slower, and
// figures of network addresses, whose last byte is 0, several times faster.
func writeDPDKTrace(path string, t *trace) error {
	return writeLines(path, dpdkPasses*len(t.addrs), func(line []byte, i int) []byte {
		i %= len(t.addrs)
		if t.IPv4 != nil {
			return netip.AddrFrom4([4]byte(binary.LittleEndian.AppendUint32(nil, t.IPv4[i]))).AppendTo(line)
		}
		return t.addrs[i].AppendTo(line)
	})
}

func writeLines(path string, n int, appendLine func(line []byte, i int) []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for i := range n {
		w.Write(append(appendLine(w.AvailableBuffer(), i), '\n')) // an error sticks until Flush
	}
	return errors.Join(w.Flush(), f.Close())
}
