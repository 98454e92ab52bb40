package main

import (
	"github.com/spf13/cobra"
)

func newStopCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "stop", Short: "Give the machine back to Linux and end the daemon",
		Long: `Takes the programs off all ports, removes what is pinned, and ends the daemon.
Linux forwards from then on, by the same routes, but for those that weft itself
has put into the kernel (its static routes and BGP's): they are withdrawn. It is done
when the command returns.

To replace the daemon without stopping, start the new one with 'weft run'.`,
		Example:           "  sudo weft stop\n  sudo weft -n router1 stop",
		Annotations:       map[string]string{inFull: "yes"},
		Args:              atMost(0),
		ValidArgsFunction: completeNothing,
		RunE:              func(cmd *cobra.Command, _ []string) error { return stopDaemon(cmd.Context(), e) },
	}
}
