package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"weft/test/lab"
)

const labTopologies = `  two-hosts         h1 and h2, and the router r1 between them
  line N            N routers in a row, a host at each end
  leaf-spine L S    L leaves with a host each, every one linked to S spines`

func newLabCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "lab", Short: "A network of hosts and routers in network namespaces",
		Long: `Makes a network of hosts and routers out of network namespaces and veth pairs on
this machine, with weft in every router, and removes it. Nothing outside of these
namespaces is touched.

Topologies:
` + labTopologies,
		Example: `  sudo weft lab up two-hosts
  sudo weft lab up leaf-spine 4 2
  sudo weft lab check
  sudo weft lab down`,
		Annotations:       map[string]string{inFull: "yes"},
		Args:              atMost(0),
		ValidArgsFunction: completeNothing,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	prefix := cmd.PersistentFlags().String("prefix", lab.DefaultPrefix, "`WORD` that the names of the namespaces begin with")
	var kernel bool
	up := &cobra.Command{
		Use: "up TOPOLOGY...", Short: "Make a topology, run weft in every router, check it",
		Long: `Makes a topology, whole or not at all, starts a daemon in every router, checks
that all hosts reach each other, and prints what to try.

Topologies:
` + labTopologies,
		Example:     "  sudo weft lab up two-hosts\n  sudo weft lab up line 3\n  sudo weft lab up leaf-spine 4 2 --json",
		Annotations: map[string]string{inFull: "yes"},
		ValidArgsFunction: cobra.FixedCompletions([]cobra.Completion{
			"two-hosts\tone router between two hosts", "line\trouters in a row", "leaf-spine\tleaves with hosts, each linked to every spine",
		}, cobra.ShellCompDirectiveNoFileComp),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.labUp(cmd.Context(), args, *prefix, kernel)
		},
	}
	up.Flags().BoolVar(&kernel, "kernel", false, "leave forwarding to Linux: start no daemons")
	check := &cobra.Command{
		Use: "check", Short: "See whether all hosts reach each other",
		Long: `Sends from every host to every address of all others. The exit code is 3 if one
is not reached.`,
		Example:           "  sudo weft lab check\n  sudo weft lab check --json",
		Annotations:       map[string]string{inFull: "yes"},
		Args:              atMost(0),
		ValidArgsFunction: completeNothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := lab.Open(*prefix)
			if err != nil {
				return labFailure(err)
			}
			return e.labCheck(cmd.Context(), l)
		},
	}
	down := &cobra.Command{
		Use: "down", Short: "Remove it, and leave nothing behind",
		Long:              "Stops the daemons, ends what else runs in the namespaces, and removes them.",
		Example:           "  sudo weft lab down",
		Annotations:       map[string]string{inFull: "yes"},
		Args:              atMost(0),
		ValidArgsFunction: completeNothing,
		RunE:              func(cmd *cobra.Command, _ []string) error { return e.labDown(cmd.Context(), *prefix) },
	}
	cmd.AddCommand(up, check, down)
	return cmd
}

func (e *env) labUp(ctx context.Context, args []string, prefix string, kernel bool) error {
	t, err := lab.Parse(args)
	if err != nil {
		return usage("lab: "+err.Error(), "see 'weft lab up --help'")
	}
	fmt.Fprintf(e.stderr, "weft: making %s: %d network namespaces, %d links\n", t.Name, len(t.Nodes), len(t.Links))
	l, err := lab.Up(ctx, t, lab.Options{Prefix: prefix})
	if err != nil {
		return labFailure(err)
	}
	routers := l.Routers()
	if kernel {
		routers = nil
	}
	for i, router := range routers {
		fmt.Fprintf(e.stderr, "weft: starting weft in %s (%d of %d)\n", l.Namespace(router), i+1, len(routers))
		if err := self(ctx, "-n", l.Namespace(router), "run", "--detach"); err != nil {
			err = fmt.Errorf("lab: start weft in %s: %w", l.Namespace(router), err)
			return errors.Join(err, e.labDown(context.WithoutCancel(ctx), prefix)) // all or nothing
		}
	}
	checked := e.labCheck(ctx, l)
	fmt.Fprintln(e.stderr, "weft: try")
	for _, line := range l.Try() {
		fmt.Fprintln(e.stderr, "  "+line)
	}
	return checked
}

type labReach struct {
	From  string  `json:"from"`
	To    string  `json:"to"`
	Dst   string  `json:"dst"`
	RTT   float64 `json:"rtt_us,omitempty"`
	Error string  `json:"error,omitempty"`
}

func (e *env) labCheck(ctx context.Context, l *lab.Lab) error {
	reaches, err := l.Check(ctx)
	if err != nil {
		return labFailure(err)
	}
	all, lost := []labReach{}, 0
	for _, r := range reaches {
		all = append(all, labReach{r.From, r.To, r.Addr.String(), float64(r.RTT.Nanoseconds()) / 1000, r.Error})
		if r.Error != "" {
			lost++
		}
	}
	if e.json {
		err = e.printJSON(all)
	} else if err = lab.WriteTable(e.stdout, reaches); err == nil {
		_, err = fmt.Fprintf(e.stdout, "%d of %d reached\n", len(all)-lost, len(all))
	}
	if err == nil && lost > 0 {
		err = outcome(codePartial)
	}
	return err
}

// labDown gives ports back before their namespaces go, so that no pin is left.
func (e *env) labDown(ctx context.Context, prefix string) error {
	names, err := lab.Namespaces(prefix)
	if err != nil {
		return labFailure(err)
	}
	var errs []error
	for _, name := range names {
		if err := self(ctx, "-n", name, "stop"); err != nil {
			errs = append(errs, fmt.Errorf("lab: stop weft in %s: %w", name, err))
		}
	}
	if err := lab.Down(prefix); err != nil {
		errs = append(errs, labFailure(err))
	}
	if len(errs) == 0 {
		fmt.Fprintf(e.stderr, "weft: removed %s\n", count(len(names), "network namespace"))
	}
	return errors.Join(errs...)
}

// self runs this program with other arguments.
func self(ctx context.Context, args ...string) error {
	path, err := os.Executable()
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

func labFailure(err error) error {
	switch {
	case errors.Is(err, lab.ErrExists):
		return fail(codeFailed, "lab: "+err.Error(), "'weft lab down' removes it, or choose another --prefix")
	case errors.Is(err, lab.ErrNotFound):
		return fail(codeNotFound, "lab: "+err.Error(), "'weft lab up two-hosts' makes one")
	case errors.Is(err, os.ErrPermission):
		return fail(codePermission, "lab: "+err.Error(), "try 'sudo weft lab'")
	}
	return fmt.Errorf("lab: %w", err)
}
