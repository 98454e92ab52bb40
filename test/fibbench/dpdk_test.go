package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weft/test/fulltable"
)

// The sample is what dpdk-test-fib of Debian's DPDK 22.11 printed, less most of EAL's debug lines.
func TestParseDPDK(t *testing.T) {
	out, err := os.ReadFile("testdata/dpdk-test-fib.txt")
	if err != nil {
		t.Fatal(err)
	}
	ns, err := parseDPDK(out)
	if err != nil {
		t.Fatal(err)
	}
	if want := 215.3 / 2.6; math.Abs(ns-want) > 1e-9 {
		t.Errorf("%v ns, want %v", ns, want)
	}
}

func TestParseDPDKRefusesOtherOutput(t *testing.T) {
	for _, out := range []string{
		"",
		"EAL: TSC frequency is ~2600000 KHz\nCan not alloc FIB, err 12\n",
		"AVG FIB lookup 7.5\n",
	} {
		if ns, err := parseDPDK([]byte(out)); err == nil {
			t.Errorf("parse %q: %v ns, want an error", out, ns)
		}
	}
}

func TestWriteDPDKTrace(t *testing.T) {
	v4 := &trace{Trace: fulltable.Trace{Family: "ipv4", IPv4: make([]uint32, fulltable.TraceLen)}}
	v4.IPv4[0] = 0x01020304
	v4.addrs = v4.Addrs()
	v6 := &trace{Trace: fulltable.Trace{Family: "ipv6", IPv6: make([][16]byte, fulltable.TraceLen)}}
	v6.IPv6[0] = [16]byte{0x20, 0x01, 15: 1}
	v6.addrs = v6.Addrs()
	for _, c := range []struct {
		trace *trace
		first string
	}{
		{v4, "4.3.2.1"}, // backwards, as dpdk-test-fib needs it
		{v6, "2001::1"},
	} {
		path := filepath.Join(t.TempDir(), "trace")
		if err := writeDPDKTrace(path, c.trace); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		if len(lines) != dpdkPasses*fulltable.TraceLen || lines[0] != c.first || lines[fulltable.TraceLen] != c.first {
			t.Errorf("%s: %d lines, first %q, second pass %q; want %d lines and %q",
				c.trace.Family, len(lines), lines[0], lines[fulltable.TraceLen], dpdkPasses*fulltable.TraceLen, c.first)
		}
	}
}
