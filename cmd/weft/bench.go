package main

import (
	"github.com/spf13/cobra"
)

func newBenchCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure what forwards, beside its peers",
		Long: `Measures forwarding in network namespaces of its own, or at ports: 'gen' sends packets
and 'sink' counts them, on one machine or two.`,
		Example: `  sudo weft bench gen eth1 --dst 198.18.0.0/15 --via 192.0.2.1
  sudo weft bench sink eth2`,
		Annotations:       map[string]string{inFull: "yes"},
		Args:              atMost(0),
		ValidArgsFunction: completeNothing,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBenchGenCommand(e), newBenchSinkCommand(e))
	return cmd
}
