package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"

	report "weft/test/benchreport"
)

// bench measures the wanted rows in turns.
type bench struct {
	rounds  int
	only    *regexp.Regexp
	stderr  io.Writer
	engines []engine
	figures []figure
	samples *report.Samples
}

// measure takes all rows of one trace before those of the next, so that engines which are compared run within seconds
// of each other: the machine's speed drifts over minutes.
func (b *bench) measure(ctx context.Context, traces []*trace) error {
	for _, t := range traces {
		var rows []func(context.Context) error
		for _, e := range b.engines {
			if e.family != t.Family || !b.only.MatchString(e.row(t)) {
				continue
			}
			rows = append(rows, func(ctx context.Context) error {
				ns, sum, err := e.run(ctx, t)
				if err != nil {
					return fmt.Errorf("measure %s: %w", e.row(t), err)
				}
				b.samples.Add(e.row(t), "ns", ns)
				return e.check(t, sum)
			})
		}
		if err := b.inTurns(ctx, t.Family+"/"+t.Name, rows); err != nil {
			return err
		}
	}
	var rows []func(context.Context) error
	for _, f := range b.figures {
		if !b.only.MatchString(f.name) {
			continue
		}
		rows = append(rows, func(ctx context.Context) error {
			v, err := f.measure(ctx)
			if err != nil {
				return fmt.Errorf("measure %s: %w", f.name, err)
			}
			b.samples.Add(f.name, f.unit, v)
			return nil
		})
	}
	return b.inTurns(ctx, "figures", rows)
}

func (b *bench) inTurns(ctx context.Context, what string, rows []func(context.Context) error) error {
	if len(rows) == 0 {
		return nil
	}
	for round := range b.rounds {
		fmt.Fprintf(b.stderr, "fibbench: %s, %d rows, round %d of %d\n", what, len(rows), round+1, b.rounds)
		for _, measure := range rows {
			if err := measure(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// wantedSources returns the sources of the rows that -only lets through.
func wantedSources(only *regexp.Regexp) []source {
	var wanted []source
	for _, s := range sources {
		if slices.ContainsFunc(s.rows, only.MatchString) {
			wanted = append(wanted, s)
		}
	}
	return wanted
}
