package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"weft/test/bench/peer"
)

// memRows are the rows of the loop in memory, by what package soft's BenchmarkMem calls them.
var memRows = map[string]string{
	"ipv4/one/no_lookup":   "mem/ipv4/one/64/no_lookup",
	"ipv4/one/round":       "mem/ipv4/one/64/weft_soft",
	"ipv4/full/pfx":        "mem/ipv4/full/64/weft_soft",
	"ipv6/one/no_lookup":   "mem/ipv6/one/64/no_lookup",
	"ipv6/one/round":       "mem/ipv6/one/64/weft_soft",
	"ipv6/full/pfx":        "mem/ipv6/full/64/weft_soft",
	"floor/dependent_load": "mem/floor",
}

// memory runs BenchmarkMem, which is in its package as it looks into the loop, in each round.
func (b *bench) memory(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "forwardbench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "soft.test")
	err = peer.OnCPUs(&b.allCPUs, func() error {
		out, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, "weft/dataplane/soft").CombinedOutput()
		if err != nil {
			return fmt.Errorf("build the benchmark of package soft: %w: %s", err, out)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for round := range b.Rounds {
		fmt.Fprintf(b.stderr, "forwardbench: mem, round %d of %d\n", round+1, b.Rounds)
		for name, row := range memRows {
			if !b.Only.MatchString(row) {
				continue
			}
			ns, err := runBenchmark(ctx, binary, "Mem/"+name)
			if err != nil {
				return fmt.Errorf("measure %s: %w", row, err)
			}
			b.samples.Add(row, "ns", ns)
		}
	}
	return nil
}

// perPacket is what a benchmark prints of a packet, or of a load.
var perPacket = regexp.MustCompile(`\s([0-9.]+) ns/(pkt|load)`)

func runBenchmark(ctx context.Context, binary, name string) (ns float64, err error) {
	const benchmark = "^Benchmark"
	pattern := regexp.MustCompile("/").ReplaceAllString(name, "$/^")
	out, err := exec.CommandContext(ctx, binary, "-test.run", "^$", "-test.bench", benchmark+pattern+"$", "-test.benchtime", "200ms", "-test.cpu", "1").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, out)
	}
	m := perPacket.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("it prints no figure: %s", out)
	}
	return strconv.ParseFloat(string(m[1]), 64)
}
