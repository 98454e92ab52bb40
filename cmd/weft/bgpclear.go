package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"weft/control/api"
)

func newBGPClearCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "clear N|all [soft [in|out]]", Short: "End a session, so that it begins again; or apply policies again",
		Long: `Ends the session with a neighbor (its address, or the interface of an unnumbered
one), or with all of them. It begins again by itself. Its routes go meanwhile, unless
both sides do graceful restart.

With 'soft' no session ends: 'soft in' asks the neighbor to send its routes again, and
applies the import policies; 'soft out' applies the export policies, and sends all
routes again; 'soft' does both.`,
		Example: `  sudo weft bgp clear 192.0.2.2
  sudo weft bgp clear eth0 soft in
  sudo weft bgp clear all soft`,
		Annotations: map[string]string{client: "yes", inFull: "yes"},
		Args:        cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			q, err := clearRequest(args)
			if err != nil {
				return err
			}
			return e.clearBGP(cmd.Context(), q)
		},
		ValidArgsFunction: e.completeClear,
	}
}

// clearRequest reads the words behind 'clear'.
func clearRequest(args []string) (*api.ClearBGPRequest, error) {
	if len(args) == 0 {
		return nil, usage("bgp clear: the neighbor is missing", "name one ('weft bgp' lists them), or all")
	}
	q := &api.ClearBGPRequest{Neighbor: args[0], How: strings.Join(args[1:], " ")}
	if q.GetNeighbor() == "*" { // as FRR has it
		q.Neighbor = "all"
	}
	switch q.GetHow() {
	case "":
		q.How = "hard"
	case "in", "out":
		q.How = "soft " + q.GetHow()
	case "soft", "soft in", "soft out":
	default:
		return nil, usage("bgp clear: "+q.GetHow()+": no such way to clear", "want nothing more, or soft, soft in, soft out")
	}
	return q, nil
}

func (e *env) completeClear(_ *cobra.Command, args []string, _ string) (out []cobra.Completion, _ cobra.ShellCompDirective) {
	switch {
	case len(args) == 0:
		out = append(e.completeBGPNeighbors(), cobra.CompletionWithDesc("all", "every neighbor"))
	case len(args) == 1:
		out = []cobra.Completion{cobra.CompletionWithDesc("soft", "keep the session, apply policies again")}
	case len(args) == 2 && args[1] == "soft":
		out = []cobra.Completion{cobra.CompletionWithDesc("in", "what it sends"), cobra.CompletionWithDesc("out", "what it is sent")}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func (e *env) clearBGP(ctx context.Context, q *api.ClearBGPRequest) error {
	err := e.askBGP(ctx, func(ctx context.Context, c api.RouterClient) error {
		_, err := c.ClearBGP(ctx, q)
		return err
	})
	switch {
	case err != nil:
		return err
	case e.json:
		return e.printJSON(struct {
			Neighbor string `json:"neighbor"`
			Clear    string `json:"clear"`
		}{q.GetNeighbor(), q.GetHow()})
	}
	done := map[string]string{
		"hard": "the session has ended and begins again", "soft": "policies are applied again, both ways",
		"soft in": "import policies are applied again", "soft out": "export policies are applied again",
	}[q.GetHow()]
	who := q.GetNeighbor()
	if who == "all" {
		who = "all neighbors"
	}
	fmt.Fprintf(e.stderr, "weft: %s: %s\n", who, done)
	return nil
}
