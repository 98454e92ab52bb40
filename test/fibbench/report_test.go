package main

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func sampled() *samples {
	s := newSamples()
	for _, v := range []struct{ weft, kernel float64 }{{10, 90}, {20, 300}, {30, 360}} {
		s.add("bpf/ipv4/dep/zipf/weft", "ns", v.weft)
		s.add("bpf/ipv4/dep/zipf/fib_lookup", "ns", v.kernel)
	}
	s.add("memory/full/weft", "bytes", 70<<20)
	return s
}

var testEnvironment = environment{
	Kernel: "6.18", CPU: "AMD EPYC", Go: "go1.26", Date: "2026-01-02T03:04:05Z",
	Rounds: 3, PinnedCPU: 1, FloorBytes: 32 << 20, Notes: []string{"rte_fib: rows absent"},
}

// The ratio of the medians is 15, the median of the ratios (9, 15, 12) is 12.
const wantTable = `kernel 6.18, AMD EPYC, go1.26, 2026-01-02T03:04:05Z
medians of 3 rounds on CPU 1; floor of 32 MiB; a ratio is the median of the rounds' ratios
rte_fib: rows absent

ROW                           FIGURE            PEER                          ITS FIGURE  RATIO  GOAL           MET
bpf/ipv4/dep/zipf/weft        20 ns             bpf/ipv4/dep/zipf/fib_lookup  300 ns      12     >= 10x faster  yes
bpf/ipv4/dep/zipf/weft        20 ns             bpf/ipv4/dep/zipf/lpm_trie                       >= 15x faster  no peer
bpf/ipv4/dep/zipf/weft        20 ns             bpf/ipv4/dep/zipf/floor                          <= 1.5x        no peer
bpf/ipv4/dep/zipf/weft        20 ns             bpf/ipv4/dep/zipf/weft_one                       >= 0.6x faster  no peer
bpf/ipv4/dep/zipf/fib_lookup  300 ns
memory/full/weft              73,400,320 bytes                                                   <= 67,108,864  NO
`

func TestWriteTable(t *testing.T) {
	var out strings.Builder
	if err := writeTable(&out, sampled(), testEnvironment); err != nil {
		t.Fatal(err)
	}
	if got := tight(out.String()); got != tight(wantTable) {
		t.Errorf("table:\n%s\nwant:\n%s", out.String(), wantTable)
	}
}

// tight makes columns one space apart: their width is tabwriter's affair.
func tight(table string) string {
	return regexp.MustCompile(` *\n`).ReplaceAllString(regexp.MustCompile(` +`).ReplaceAllString(table, " "), "\n")
}

func TestWriteJSON(t *testing.T) {
	var out strings.Builder
	if err := writeJSON(&out, sampled(), testEnvironment); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Rows []struct {
			Name  string
			Value float64
			Unit  string
		}
		Goals []struct {
			Row   string
			Ratio float64
			Met   bool
		}
		Environment environment
	}
	if err := json.Unmarshal([]byte(out.String()), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Rows) != 3 || doc.Rows[0].Name != "bpf/ipv4/dep/zipf/weft" || doc.Rows[0].Value != 20 || doc.Rows[0].Unit != "ns" {
		t.Errorf("rows %+v", doc.Rows)
	}
	if len(doc.Goals) != 2 || doc.Goals[0].Ratio != 12 || !doc.Goals[0].Met || doc.Goals[1].Met {
		t.Errorf("goals %+v", doc.Goals)
	}
	if doc.Environment.Kernel != "6.18" {
		t.Errorf("environment %+v", doc.Environment)
	}
}

func TestQuantity(t *testing.T) {
	for v, want := range map[float64]string{
		0.5544: "0.554", 12: "12", 12.34: "12.3", 999.4: "999", 999.6: "1,000", 1234567: "1,234,567", 100_000: "100,000",
	} {
		if got := quantity(v); got != want {
			t.Errorf("quantity(%v) = %s, want %s", v, got, want)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{[]float64{3}, 3}, {[]float64{3, 1}, 2}, {[]float64{9, 1, 2}, 2}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.values, got, c.want)
		}
	}
}

func TestGoalMet(t *testing.T) {
	for _, c := range []struct {
		goal      goal
		row, peer float64
		want      bool
	}{
		{goal{relation: timesFaster, limit: 10}, 10, 100, true},
		{goal{relation: timesFaster, limit: 10}, 11, 100, false},
		{goal{relation: within, limit: 1.5}, 15, 10, true},
		{goal{relation: within, limit: 1.5}, 16, 10, false},
		{goal{relation: atMost, limit: 0.5}, 0.5, 0, true},
		{goal{relation: atMost, limit: 0.5}, 0.6, 0, false},
		{goal{relation: atLeast, limit: 1e6}, 1e6, 0, true},
		{goal{relation: atLeast, limit: 1e6}, 9e5, 0, false},
	} {
		if got := c.goal.met(c.goal.ratio(c.row, c.peer)); got != c.want {
			t.Errorf("%v for %v against %v: met is %v, want %v", c.goal, c.row, c.peer, got, c.want)
		}
	}
}

// A peer that no source gives would leave its goal without a verdict for ever.
func TestPeersOfGoalsExist(t *testing.T) {
	var rows []string
	for _, s := range sources {
		rows = append(rows, s.rows...)
	}
	for _, g := range goals() {
		if g.peer != "" && !strings.Contains(g.peer, "weft") && !slices.Contains(rows, g.peer) {
			t.Errorf("no source gives %s", g.peer)
		}
	}
}
