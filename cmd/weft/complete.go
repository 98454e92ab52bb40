package main

import (
	"context"
	"os"
	"time"

	"github.com/spf13/cobra"

	"weft/control/api"
	"weft/dataplane"
)

// completionTime is what the daemon has to answer a completion: fingers wait.
const completionTime = 200 * time.Millisecond

// daemonTime is what it has to answer the doctor, who does not depend on it.
const daemonTime = 2 * time.Second

// complete sets what a flag's value is completed from.
func complete(cmd *cobra.Command, flag string, values func() []cobra.Completion) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return values(), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // the flag is not there: a mistake in this program
	}
}

// completeWords completes a command's keywords and, in front of them, what
// first gives.
func completeWords(make func() *words, first func() []cobra.Completion) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		out := make().completions(args)
		if len(args) == 0 && first != nil {
			out = append(out, first()...)
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

func completeNothing(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// askQuickly asks for a completion. Without an answer there is none.
func (e *env) askQuickly(f func(context.Context, api.RouterClient) error) {
	ctx, cancel := context.WithTimeout(context.Background(), completionTime)
	defer cancel()
	_ = e.ask(ctx, f)
}

func (e *env) completePorts() (out []cobra.Completion) {
	e.askQuickly(func(ctx context.Context, c api.RouterClient) error {
		ports, err := c.ListPorts(ctx, &api.PortsRequest{})
		for _, p := range ports.GetPorts() {
			out = append(out, cobra.CompletionWithDesc(p.GetDev(), "port "+p.GetMac()))
		}
		return err
	})
	return out
}

// completePrefixes offers the first routes: more than a screen helps nobody.
func (e *env) completePrefixes() (out []cobra.Completion) {
	e.askQuickly(func(ctx context.Context, c api.RouterClient) error {
		stream, err := c.ListRoutes(ctx, &api.RoutesRequest{Family: e.familyNumber(), Limit: 50})
		for err == nil {
			var m *api.Routes
			if m, err = stream.Recv(); err == nil {
				for _, r := range m.GetRoutes() {
					out = append(out, cobra.CompletionWithDesc(r.GetDst(), hopsInWords(r)))
				}
			}
		}
		return err
	})
	return out
}

func hopsInWords(r *api.Route) string {
	if hops := r.GetNexthops(); len(hops) == 1 {
		return viaDev(hops[0].GetGateway(), hops[0].GetDev(), r.GetDst())
	}
	return r.GetType() + ", " + count(len(r.GetNexthops()), "next hop")
}

func completeReasons() (out []cobra.Completion) {
	for r := range dataplane.Reasons() {
		if r.Verdict() != dataplane.Forward {
			out = append(out, cobra.CompletionWithDesc(r.String(), r.Verdict().String()))
		}
	}
	return append(out, cobra.CompletionWithDesc(unaccounted, "unknown"))
}

func (e *env) completeNetns() (out []cobra.Completion) {
	names, _ := os.ReadDir(e.netnsDir)
	for _, n := range names {
		out = append(out, cobra.CompletionWithDesc(n.Name(), "network namespace"))
	}
	return out
}

// choices are values that are known beforehand.
func choices(values ...string) func() []cobra.Completion {
	return func() []cobra.Completion { return values }
}
