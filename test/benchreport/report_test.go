package benchreport

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

func sampled() *Samples {
	s := NewSamples()
	for _, v := range []struct{ weft, kernel float64 }{{10, 90}, {20, 300}, {30, 360}} {
		s.Add("bpf/ipv4/dep/zipf/weft", "ns", v.weft)
		s.Add("bpf/ipv4/dep/zipf/fib_lookup", "ns", v.kernel)
	}
	s.Add("memory/full/weft", "bytes", 70<<20)
	return s
}

var testEnvironment = Environment{
	Kernel: "6.18", CPU: "AMD EPYC", Go: "go1.26", Date: "2026-01-02T03:04:05Z",
	Rounds: 3, PinnedCPU: 1, Notes: []string{"rte_fib: rows absent"},
}

var testGoals = []Goal{
	{"bpf/ipv4/dep/zipf/weft", "bpf/ipv4/dep/zipf/fib_lookup", TimesFaster, 10},
	{"bpf/ipv4/dep/zipf/weft", "bpf/ipv4/dep/zipf/lpm_trie", TimesFaster, 15},
	{"memory/full/weft", "", AtMost, 64 << 20},
}

// The ratio of the medians is 15, the median of the ratios (9, 15, 12) is 12.
const wantTable = `kernel 6.18, AMD EPYC, go1.26, 2026-01-02T03:04:05Z
medians of 3 rounds on CPU 1; a ratio is the median of the rounds' ratios
rte_fib: rows absent

ROW                           FIGURE            SPREAD                    PEER                          ITS FIGURE  RATIO  GOAL           MET
bpf/ipv4/dep/zipf/weft        20 ns             10 to 30                  bpf/ipv4/dep/zipf/fib_lookup  300 ns      12     >= 10x faster  yes
bpf/ipv4/dep/zipf/weft        20 ns             10 to 30                  bpf/ipv4/dep/zipf/lpm_trie                       >= 15x faster  no peer
bpf/ipv4/dep/zipf/fib_lookup  300 ns            90 to 360
memory/full/weft              73,400,320 bytes  73,400,320 to 73,400,320                                                   <= 67,108,864  NO
`

func TestWriteTable(t *testing.T) {
	var out strings.Builder
	if err := WriteTable(&out, sampled(), testGoals, testEnvironment); err != nil {
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
	if err := WriteJSON(&out, sampled(), testGoals, testEnvironment); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Rows []struct {
			Name  string
			Value float64
			Min   float64
			Max   float64
			Unit  string
		}
		Goals []struct {
			Row   string
			Ratio float64
			Met   bool
		}
		Environment Environment
	}
	if err := json.Unmarshal([]byte(out.String()), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Rows) != 3 || doc.Rows[0].Name != "bpf/ipv4/dep/zipf/weft" || doc.Rows[0].Value != 20 || doc.Rows[0].Min != 10 || doc.Rows[0].Max != 30 || doc.Rows[0].Unit != "ns" {
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
		goal      Goal
		row, peer float64
		want      bool
	}{
		{Goal{Relation: TimesFaster, Limit: 10}, 10, 100, true},
		{Goal{Relation: TimesFaster, Limit: 10}, 11, 100, false},
		{Goal{Relation: TimesRate, Limit: 5.5}, 5.5, 1, true},
		{Goal{Relation: TimesRate, Limit: 5.5}, 5.4, 1, false},
		{Goal{Relation: Within, Limit: 1.5}, 15, 10, true},
		{Goal{Relation: Within, Limit: 1.5}, 16, 10, false},
		{Goal{Relation: AtMost, Limit: 0.5}, 0.5, 0, true},
		{Goal{Relation: AtMost, Limit: 0.5}, 0.6, 0, false},
		{Goal{Relation: AtLeast, Limit: 1e6}, 1e6, 0, true},
		{Goal{Relation: AtLeast, Limit: 1e6}, 9e5, 0, false},
	} {
		if got := c.goal.met(c.goal.ratio(c.row, c.peer)); got != c.want {
			t.Errorf("%v for %v against %v: met is %v, want %v", c.goal, c.row, c.peer, got, c.want)
		}
	}
}
