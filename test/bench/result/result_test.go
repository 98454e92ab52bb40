package result

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
)

func document(weft ...float64) *Document {
	d := &Document{
		Schema: Schema, Version: "1.2", Command: []string{"weft", "bench", "<&>"}, Started: time.Unix(1e9, 0).UTC(), Rounds: len(weft), Seed: 1,
		Machine: Machine{Kernel: "6.18", CPU: "Zen", CPUs: 2},
		Systems: []System{{Name: "linux", Title: "Linux"}, {Name: Headline, Title: "weft xdp"}},
	}
	for i, v := range weft {
		for _, table := range []string{"1", "full"} {
			k := Key{"mrr", "ipv4", table, "64", "linux", "rate"}
			d.Add(k, "pkt/s", false, float64(1+i%2)*1e6)
			k.System = Headline
			d.Add(k, "pkt/s", false, v)
			k.Size = "1518"
			d.Add(k, "pkt/s", false, v/2)
		}
		r := d.Add(Key{"latency", "ipv4", "1", "64", Headline, "p50"}, "us", true, 10)
		r.Points = [][2]float64{{1, 0.2}, {10, 1}}
	}
	return d
}

func TestRatio(t *testing.T) {
	d := document(4e6, 4e6, 3e6)
	k := Key{"mrr", "ipv4", "1", "64", Headline, "rate"}
	// Of the rounds: 4, 2, 3. The ratio of the medians would be 4.
	if r, ok := d.Ratio(k, "linux"); !ok || r != (Spread{3, 2, 4}) {
		t.Errorf("ratio %+v, %v", r, ok)
	}
	if _, ok := d.Ratio(k, "none"); ok {
		t.Error("a ratio to a system that there is not")
	}
	d.Add(k, "pkt/s", false, 1)
	if _, ok := d.Ratio(k, "linux"); ok {
		t.Error("a ratio of rows with different rounds")
	}
	if r := d.Find(k); r.Median != 3.5e6 || r.Min != 1 || r.Max != 4e6 {
		t.Errorf("row %+v", r)
	}
}

func TestReadWrite(t *testing.T) {
	d := document(4e6, 3e6)
	d.Partial = "interrupted"
	var b bytes.Buffer
	if err := d.Write(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	got, err := Read(&b)
	if err != nil || len(got.Rows) != len(d.Rows) || got.Partial != d.Partial || got.Rows[0].Key != d.Rows[0].Key {
		t.Errorf("read %+v, %v", got, err)
	}
	for _, bad := range []string{"", "[]", `{"schema":2}`, strings.Replace(text, `"samples": [`, `"examples": [`, 1)} {
		if _, err := Read(strings.NewReader(bad)); !errors.Is(err, ErrDocument) {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
}

func TestWriteTable(t *testing.T) {
	var b strings.Builder
	d := document(4e6, 4e6, 3e6)
	d.Partial = "interrupted"
	if err := d.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(` +`).ReplaceAllString(b.String(), " ")
	for _, want := range []string{
		"PARTIAL: interrupted\n", "family table size metric unit Linux weft xdp\n", "ipv4 1 64 rate pkt/s 1 M ±50% (3x) 4 M ±12%\n",
		"ipv4 1 1518 rate pkt/s - 2 M ±12%\n", "ipv4 1 64 p50 us 10 ±0%\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func TestWriteBenchmarks(t *testing.T) {
	var b strings.Builder
	if err := document(4e6, 3e6).WriteBenchmarks(&b); err != nil {
		t.Fatal(err)
	}
	want := "BenchmarkWeft/test=mrr/family=ipv4/table=full/size=64/system=weft_xdp/metric=rate 1 4e+06 pkt/s\n" +
		"BenchmarkWeft/test=mrr/family=ipv4/table=full/size=64/system=weft_xdp/metric=rate 1 3e+06 pkt/s\n"
	if !strings.Contains(b.String(), want) || !strings.HasPrefix(b.String(), "goos: linux\n") {
		t.Errorf("%s", b.String())
	}
}

// The page is whole, has plots, and takes nothing from elsewhere.
func TestWritePage(t *testing.T) {
	var b strings.Builder
	d := document(4e6, 3e6)
	d.Partial = "interrupted"
	if err := d.WritePage(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{
		"This run is partial: interrupted.", "weft bench &lt;&amp;&gt;", "Throughput by frame size, ipv4", "Throughput by routes, ipv4", "Latency of weft",
		"<td>6.18</td>", "3.5 M", "&#34;schema&#34;:1", "</html>",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not in the page", want)
		}
	}
	if strings.Count(page, "<svg") != 3 || regexp.MustCompile(`(?i)<script|<link|src=|url\(|@import`).MatchString(page) {
		t.Errorf("%d plots, or something from elsewhere", strings.Count(page, "<svg"))
	}
	if strings.Contains(page, "NaN") || strings.Contains(page, "Inf") {
		t.Error("a plot has a point that is none")
	}
}

func TestWritePlot(t *testing.T) {
	var b bytes.Buffer
	ok, err := document(4e6, 3e6).WritePlot(&b, "Throughput by routes, ipv4")
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	for dec := xml.NewDecoder(&b); ; {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if ok, err := new(Document).WritePlot(&b, "Throughput"); ok || err != nil {
		t.Errorf("an empty document has a plot: %v", err)
	}
}

func TestCompare(t *testing.T) {
	old := document(4e6, 4.1e6, 4.2e6, 3.9e6, 4.05e6)
	find := func(c []Change, size string) Change {
		for _, one := range c {
			if one.System == Headline && one.Size == size && one.Table == "1" && one.Test == "mrr" {
				return one
			}
		}
		t.Fatal("no such row")
		return Change{}
	}
	worse := find(Compare(old, document(3e6, 3.1e6, 3.05e6, 2.9e6, 3.2e6)), "64")
	if !worse.Significant || !worse.Worse || worse.P > 0.05 || worse.Delta > -0.2 {
		t.Errorf("a quarter slower: %+v", worse)
	}
	better := find(Compare(old, document(5e6, 5.1e6, 5.05e6, 4.9e6, 5.2e6)), "64")
	if !better.Significant || better.Worse {
		t.Errorf("faster: %+v", better)
	}
	same := find(Compare(old, document(4.1e6, 3.95e6, 4.15e6, 4.02e6, 4.01e6)), "1518")
	if same.Significant || same.Worse || same.Few {
		t.Errorf("the same: %+v", same)
	}
	few := find(Compare(document(4e6, 4.1e6, 4.2e6), document(1e6, 1.1e6, 1.2e6)), "64")
	if few.Significant || !few.Few {
		t.Errorf("three rounds: %+v", few)
	}
	var b strings.Builder
	if err := WriteChanges(&b, []Change{worse, better, same, few}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"WORSE", "better", "~", "too few rounds"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
	other := document(1)
	other.Machine.Kernel, other.Partial = "6.19", "interrupted"
	if d := Differences(document(1), other); len(d) != 2 || !strings.Contains(d[0], "6.18, then 6.19") {
		t.Errorf("differences %q", d)
	}
}

func TestQuantity(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.0123: "0.0123", 99.9: "99.9", 999: "999", 999.9: "1 k", 1_234_567: "1.23 M", 2.5e9: "2.5 G", 150_000: "150 k"} {
		if got := quantity(v); got != want {
			t.Errorf("quantity(%g) = %q, want %q", v, got, want)
		}
	}
}
