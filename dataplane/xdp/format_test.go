package xdp_test

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"weft/bpf"
	"weft/dataplane/xdp"
)

var writeFormat = flag.Bool("write-format", false, "write testdata/format.txt anew")

const formatFile = "testdata/format.txt"

// layout describes what is pinned, as far as code of this format relies on it.
func layout(t testing.TB) (lines []string) {
	t.Helper()
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	add("format %d", xdp.Format)
	add("maps %s", strings.Join(xdp.PinNames(), " "))
	for _, one := range []any{bpf.Port{}, bpf.Ports{}, bpf.Counter{}, bpf.VLANs{}, bpf.Transmit{}, bpf.Transmits{}, xdp.About{}} {
		typ := reflect.TypeOf(one)
		add("%s, %d bytes", typ.Name(), typ.Size())
		for i := range typ.NumField() {
			f := typ.Field(i)
			add("%s.%s at %d, %d bytes", typ.Name(), f.Name, f.Offset, f.Type.Size())
		}
	}
	add("flags of a port: ipv4 %d, ipv6 %d, vlan %d, 802.1ad %d, partial %d, trunk from bit %d on", bpf.PortIPv4, bpf.PortIPv6,
		bpf.PortVLAN, bpf.Port8021AD, bpf.PortPartial, bpf.PortTrunkShift)
	add("counters of a row %d, punts from %d, drops from %d; rows of a port: one for each CPU and %d", bpf.Reasons, bpf.FirstPunt,
		bpf.FirstDrop, xdp.BeforeRows)
	names, err := bpf.ReasonNames()
	if err != nil {
		t.Fatal(err)
	}
	for number, name := range names {
		if name != "" {
			add("reason %d %s", number, name)
		}
	}
	return lines
}

// A format stands for one layout. A reason may be added: code that does not know it
// leaves its counter alone.
func TestFormat(t *testing.T) {
	now := layout(t)
	if *writeFormat {
		if err := os.WriteFile(formatFile, []byte(strings.Join(now, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(formatFile)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(text)), "\n")
	const remedy = "raise xdp.Format if the one before has been released (and keep its pins: test/upgrade/testdata), then -write-format"
	for _, line := range want {
		if !slices.Contains(now, line) {
			t.Errorf("what is pinned was %q, and is not: %s", line, remedy)
		}
	}
	for _, line := range now {
		if !slices.Contains(want, line) && !strings.HasPrefix(line, "reason ") {
			t.Errorf("what is pinned is %q, and was not: %s", line, remedy)
		}
	}
	if about := reflect.TypeOf(xdp.About{}); about.Size() != 36 || about.Field(0).Name != "Format" || about.Field(1).Name != "Generation" {
		t.Error("what formats tell each other is never to change")
	}
}
