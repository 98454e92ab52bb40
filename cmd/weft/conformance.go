package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"weft/test/conformance"
)

func newConformanceCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "conformance [CLAUSE...]", Short: "See whether weft, on this kernel, does what RFCs say of routers",
		Long: `Checks statements of RFCs about routers, by number, or those that are named: N or
N-M. Each makes a router and its neighbors in network namespaces of its own, sends
packets, and looks at the counters and at every byte that comes out. Nothing outside
of these namespaces is touched, and no daemon is asked; it takes some seconds.

Each line tells a statement's number, its result, the statement and the RFC. A
result is pass, fail, or not_applicable: of what weft does not have yet, or is not
a router's. Behind '->' it says why.

The exit code is 3 when a statement fails.`,
		Example: `  sudo weft conformance
  sudo weft conformance 1-24 61
  sudo weft conformance --json | jq '.[] | select(.result == "fail")'`,
		Annotations:       map[string]string{inFull: "yes"},
		ValidArgsFunction: completeClauses,
		RunE:              func(cmd *cobra.Command, args []string) error { return e.conformance(cmd.Context(), args) },
	}
}

func completeClauses(_ *cobra.Command, args []string, _ string) (out []cobra.Completion, _ cobra.ShellCompDirective) {
	given := map[string]bool{}
	for _, a := range args {
		given[a] = true
	}
	for _, c := range conformance.Clauses() {
		if number := strconv.Itoa(c.Number); !given[number] {
			out = append(out, cobra.CompletionWithDesc(number, c.Title))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

// verdict is a line of the output.
type verdict struct{ conformance.Verdict }

func (v verdict) text() string {
	line := fmt.Sprintf("%3d  %-14s  %s (%s)", v.Clause, v.Result, v.Title, v.RFC)
	if v.Why != "" {
		line += "\n     -> " + strings.ReplaceAll(v.Why, "\n", "\n        ")
	}
	return line
}

func (e *env) conformance(ctx context.Context, args []string) error {
	clauses, err := chooseClauses(conformance.Clauses(), args)
	if err != nil {
		return err
	}
	progress := &progress{e: e}
	l := e.list()
	counts, done := map[conformance.Outcome]int{}, uint64(0)
	progress.show(0, uint64(len(clauses)))
	err = e.conform(ctx, clauses, func(v conformance.Verdict) error {
		counts[v.Result]++
		done++
		progress.clear()
		err := l.add(verdict{v})
		if err == nil && !e.json {
			err = l.flush()
		}
		progress.show(done, uint64(len(clauses)))
		return err
	})
	progress.clear()
	if err == nil && !e.json {
		_, err = fmt.Fprintf(l.w, "%d pass, %d fail, %d not applicable\n",
			counts[conformance.Pass], counts[conformance.Fail], counts[conformance.NotApplicable])
	}
	if err != nil && e.json {
		return err // a list that is not whole is none
	}
	if err = l.close(err); err == nil && counts[conformance.Fail] > 0 {
		err = outcome(codePartial)
	}
	return err
}

// conform needs root.
func conform(ctx context.Context, clauses []conformance.Clause, tell func(conformance.Verdict) error) error {
	if os.Geteuid() != 0 {
		return fail(codePermission, "conformance: needs root, to make network namespaces", "try 'sudo weft conformance'")
	}
	if err := conformance.Run(ctx, clauses, tell); err != nil {
		return fmt.Errorf("conformance: %w", err)
	}
	return nil
}

// chooseClauses returns those of all that arguments name, in their order. No argument
// names all.
func chooseClauses(all []conformance.Clause, args []string) ([]conformance.Clause, error) {
	if len(args) == 0 {
		return all, nil
	}
	last := all[len(all)-1].Number
	chosen := map[int]bool{}
	for _, arg := range args {
		first, end, isRange := strings.Cut(arg, "-")
		if !isRange {
			end = first
		}
		from, err := strconv.Atoi(first)
		to, err2 := strconv.Atoi(end)
		if err != nil || err2 != nil || from < all[0].Number || to > last || from > to {
			return nil, usage("conformance: "+arg+": no such clause", fmt.Sprintf("want a number from %d to %d, or a range like 1-24", all[0].Number, last))
		}
		for n := from; n <= to; n++ {
			chosen[n] = true
		}
	}
	var some []conformance.Clause
	for _, c := range all {
		if chosen[c.Number] {
			some = append(some, c)
		}
	}
	return some, nil
}
