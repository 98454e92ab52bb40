package result

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"text/tabwriter"
)

// Headline is the system that others are compared with in tables.
const Headline = "weft_xdp"

// WriteTable prints a table of each test.
func (d *Document) WriteTable(w io.Writer) error {
	fmt.Fprintf(w, "weft bench %s: %s, %d CPUs, kernel %s\nmedians of %d rounds, ± half their spread; (2x): the figure of weft xdp is twice this one, by the median of the rounds' ratios\n", d.Version, d.Machine.CPU, d.Machine.CPUs, d.Machine.Kernel, d.Rounds)
	if d.Partial != "" {
		fmt.Fprintf(w, "PARTIAL: %s\n", d.Partial)
	}
	for _, n := range d.Notes {
		fmt.Fprintln(w, n)
	}
	for _, test := range d.tests() {
		t := d.table(test)
		fmt.Fprintf(w, "\n%s\n", test)
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, line := range append([][]string{t.Head}, t.Lines...) {
			fmt.Fprintln(tw, strings.Join(line, "\t"))
		}
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// cell is the median, its spread in percent, and the headline's ratio to it.
func (d *Document) cell(c Key, system string) string {
	c.System = system
	r := d.Find(c)
	if r == nil {
		return "-"
	}
	text := quantity(r.Median)
	if len(r.Samples) > 1 && r.Median > 0 {
		text += fmt.Sprintf(" ±%.0f%%", 50*(r.Max-r.Min)/r.Median)
	}
	c.System = Headline
	if ratio, ok := d.Ratio(c, system); ok && system != Headline {
		text += fmt.Sprintf(" (%.2gx)", ratio.Median)
	}
	return text
}

func (d *Document) title(system string) string {
	for _, s := range d.Systems {
		if s.Name == system {
			return s.Title
		}
	}
	return system
}

func (d *Document) tests() (all []string) {
	return distinct(d.Rows, func(r Row) (string, bool) { return r.Test, true })
}

func (d *Document) systems(test string) (all []string) {
	return distinct(d.Rows, func(r Row) (string, bool) { return r.System, r.Test == test })
}

// cases are rows, one of each case.
func (d *Document) cases(test string) (all []Row) {
	seen := map[Key]bool{}
	for _, r := range d.Rows {
		if r.Test == test && !seen[r.Case()] {
			seen[r.Case()] = true
			all = append(all, r)
		}
	}
	return all
}

func distinct[A any, B comparable](of []A, f func(A) (B, bool)) (all []B) {
	seen := map[B]bool{}
	for _, a := range of {
		if b, ok := f(a); ok && !seen[b] {
			seen[b] = true
			all = append(all, b)
		}
	}
	return all
}

// WriteBenchmarks prints a line of Go's benchmark format for each sample, for benchstat.
func (d *Document) WriteBenchmarks(w io.Writer) error {
	fmt.Fprintf(w, "goos: linux\ngoarch: %s\npkg: weft\ncpu: %s\nkernel: %s\nweft: %s\n", runtime.GOARCH, d.Machine.CPU, d.Machine.Kernel, d.Version)
	for _, r := range d.Rows {
		for _, v := range r.Samples {
			_, err := fmt.Fprintf(w, "BenchmarkWeft/test=%s/family=%s/table=%s/size=%s/system=%s/metric=%s 1 %g %s\n",
				r.Test, r.Family, r.Table, r.Size, r.System, r.Metric, v, strings.ReplaceAll(r.Unit, " ", "-"))
			if err != nil {
				return err
			}
		}
	}
	return nil
}
