package main

import (
	"context"
	"fmt"

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
	cmd.AddCommand(newLabUpCommand(e, prefix), newLabCheckCommand(e, prefix), newLabKillCommand(e, prefix), newLabStartCommand(e, prefix),
		newLabDownCommand(e, prefix))
	return cmd
}

const kernelHelp = "leave forwarding to Linux: start no weft"

func newLabUpCommand(e *env, prefix *string) *cobra.Command {
	var o labOptions
	cmd := &cobra.Command{
		Use: "up TOPOLOGY...", Short: "Make a topology, run weft in every router, check it",
		Long: `Makes a topology, whole or not at all, starts a daemon in every router, waits for
the routes, checks that all hosts reach each other, and prints what to try.

Topologies:
` + labTopologies + `

Routing:
  bgp      eBGP unnumbered (RFC 7938, RFC 8950), spoken by weft: leaf-spine, unless
           --routing says otherwise
  frr      the same, spoken by FRR (Debian's package frr); weft follows the kernel
  static   the kernel's, made with the topology`,
		Example: `  sudo weft lab up two-hosts
  sudo weft lab up line 3
  sudo weft lab up leaf-spine 4 2 --json
  sudo weft lab up leaf-spine 4 2 --routing frr`,
		Annotations: map[string]string{inFull: "yes"},
		ValidArgsFunction: cobra.FixedCompletions([]cobra.Completion{
			"two-hosts\tone router between two hosts", "line\trouters in a row", "leaf-spine\tleaves with hosts, each linked to every spine",
		}, cobra.ShellCompDirectiveNoFileComp),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.prefix = *prefix
			return e.labUp(cmd.Context(), args, o)
		},
	}
	cmd.Flags().BoolVar(&o.kernel, "kernel", false, kernelHelp)
	cmd.Flags().StringVar(&o.routing, "routing", "", "where routers have their routes from: bgp, frr or static")
	complete(cmd, "routing", choices(lab.Routings()...))
	return cmd
}

func newLabCheckCommand(e *env, prefix *string) *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "See whether all hosts reach each other",
		Long: `Sends from every host to every address of all others. The exit code is 3 if one
is not reached.`,
		Example:           "  sudo weft lab check\n  sudo weft lab check --json",
		Annotations:       map[string]string{inFull: "yes"},
		Args:              atMost(0),
		ValidArgsFunction: completeNothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withLab(*prefix, func(l *lab.Lab) error { return e.labCheck(cmd.Context(), l) })
		},
	}
}

func newLabKillCommand(e *env, prefix *string) *cobra.Command {
	return &cobra.Command{
		Use: "kill NODE", Short: "End a router as a power cut does",
		Long: `Takes the links of a node down and kills its processes. The routers beside it find
other ways, if there are any.`,
		Example:           "  sudo weft lab kill spine1",
		Annotations:       map[string]string{inFull: "yes"},
		Args:              exactlyOneNode,
		ValidArgsFunction: completeNodes(prefix),
		RunE: func(_ *cobra.Command, args []string) error {
			return withLab(*prefix, func(l *lab.Lab) error { return labFailure(l.Kill(args[0])) })
		},
	}
}

func newLabStartCommand(e *env, prefix *string) *cobra.Command {
	var kernel bool
	cmd := &cobra.Command{
		Use: "start NODE", Short: "Start a router that was killed",
		Long: `Sets the links of a node up again that 'weft lab kill' has taken down, and starts
the daemons of a router. It returns when all routers have all routes.`,
		Example:           "  sudo weft lab start spine1",
		Annotations:       map[string]string{inFull: "yes"},
		Args:              exactlyOneNode,
		ValidArgsFunction: completeNodes(prefix),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withLab(*prefix, func(l *lab.Lab) error { return e.labStart(cmd.Context(), l, !kernel, args[0]) })
		},
	}
	cmd.Flags().BoolVar(&kernel, "kernel", false, kernelHelp)
	return cmd
}

func newLabDownCommand(e *env, prefix *string) *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "Remove it, and leave nothing behind",
		Long:              "Stops the daemons, ends what else runs in the namespaces, and removes them.",
		Example:           "  sudo weft lab down",
		Annotations:       map[string]string{inFull: "yes"},
		Args:              atMost(0),
		ValidArgsFunction: completeNothing,
		RunE:              func(cmd *cobra.Command, _ []string) error { return e.labDown(cmd.Context(), *prefix) },
	}
}

func exactlyOneNode(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usage("lab "+cmd.Name()+": want the name of a node", "'weft lab up' names some: leaf1, spine1, r1")
	}
	return atMost(1)(cmd, args)
}

func completeNodes(prefix *string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) (nodes []cobra.Completion, _ cobra.ShellCompDirective) {
		if l, err := lab.Open(*prefix); err == nil && len(args) == 0 {
			nodes = l.Routers()
		}
		return nodes, cobra.ShellCompDirectiveNoFileComp
	}
}

func withLab(prefix string, f func(*lab.Lab) error) error {
	l, err := lab.Open(prefix)
	if err != nil {
		return labFailure(err)
	}
	return f(l)
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
