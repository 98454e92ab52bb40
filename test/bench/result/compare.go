package result

import (
	"fmt"
	"io"
	"text/tabwriter"

	"golang.org/x/perf/benchmath"
)

// Change is a row in two documents.
type Change struct {
	Key
	Unit        string  `json:"unit"`
	Old         float64 `json:"old"` // medians
	New         float64 `json:"new"`
	Delta       float64 `json:"delta"` // new / old - 1
	P           float64 `json:"p"`     // that noise alone makes such a difference (Mann-Whitney U)
	Significant bool    `json:"significant"`
	Worse       bool    `json:"worse"` // of those that are significant
	Few         bool    `json:"few"`   // too few samples to be ever significant
}

// Enough rounds on both sides may show a change.
const Enough = 4

// alpha is how likely noise may be taken for a change.
const alpha = 0.05

// Compare returns the rows that both have, in the order of new.
func Compare(before, after *Document) (all []Change) {
	for _, r := range after.Rows {
		o := before.Find(r.Key)
		if o == nil || o.Unit != r.Unit {
			continue
		}
		c := benchmath.AssumeNothing.Compare(benchmath.NewSample(o.Samples, &benchmath.DefaultThresholds),
			benchmath.NewSample(r.Samples, &benchmath.DefaultThresholds))
		change := Change{Key: r.Key, Unit: r.Unit, Old: o.Median, New: r.Median, P: c.P, Significant: c.P < alpha}
		change.Few = leastP(len(o.Samples), len(r.Samples)) >= alpha
		if o.Median != 0 {
			change.Delta = r.Median/o.Median - 1
		}
		change.Worse = change.Significant && (r.Median > o.Median) == r.Lower && r.Median != o.Median
		all = append(all, change)
	}
	return all
}

// leastP is that of samples of which all of one side are greater than all of the other: 2 of all ways to mix them.
func leastP(n, m int) float64 {
	ways := 1.0
	for i := 1; i <= n; i++ {
		ways *= float64(m+i) / float64(i)
	}
	return 2 / ways
}

// Differences tells what of two documents makes their figures hard to compare.
func Differences(before, after *Document) (all []string) {
	for _, d := range []struct{ what, before, after string }{
		{"kernel", before.Machine.Kernel, after.Machine.Kernel}, {"CPU", before.Machine.CPU, after.Machine.CPU},
		{"number of CPUs", fmt.Sprint(before.Machine.CPUs), fmt.Sprint(after.Machine.CPUs)},
		{"seed", fmt.Sprint(before.Seed), fmt.Sprint(after.Seed)},
	} {
		if d.before != d.after {
			all = append(all, fmt.Sprintf("%s: %s, then %s", d.what, d.before, d.after))
		}
	}
	for i, d := range []*Document{before, after} {
		if d.Partial != "" {
			all = append(all, fmt.Sprintf("the %s run is partial: %s", []string{"first", "second"}[i], d.Partial))
		}
	}
	return all
}

// WriteChanges prints a line for each.
func WriteChanges(w io.Writer, all []Change) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "row\tunit\told\tnew\tdelta\tp\t")
	for _, c := range all {
		verdict := "~"
		switch {
		case c.Few:
			verdict = "too few rounds"
		case c.Worse:
			verdict = "WORSE"
		case c.Significant:
			verdict = "better"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%+.1f%%\t%.3f\t%s\n", c.Key, c.Unit, quantity(c.Old), quantity(c.New), 100*c.Delta, c.P, verdict)
	}
	return tw.Flush()
}
