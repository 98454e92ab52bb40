package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"weft/control/api"
	"weft/control/config"
	portset "weft/control/ports"
)

// defaultEngine is the one that the daemon was started with.
const defaultEngine = "default"

func settableEngines() []string { return append(config.Engines(), defaultEngine) }

func newPortsSetCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "set DEV... engine ENGINE", Short: "Choose what forwards what comes in by ports",
		Long: `Takes ports from one engine to the other while they forward: no packet is lost. DEV is
a port's name or a glob; ENGINE is xdp, soft (the loop in weft's own process), or default:
what 'weft run --engine' says. All of the ports change, or none, with the reason.

The choice belongs to the configuration that is in force, like static routes: it is kept
when the daemon ends, is killed or gives over to another one, stands above 'weft run
--engine', and 'weft config rollback' takes it back. In the file it is

  ports:
    - {match: 'eth*', engine: soft}

of which the first entry counts that matches; what is set here stands before those that
are there. 'weft ports' shows it.`,
		Example: `  sudo weft ports set eth1 engine soft
  sudo weft ports set eth0 'veth-*' engine xdp
  sudo weft ports set eth1 engine default`,
		Annotations: map[string]string{client: "yes", inFull: "yes"},
		Args:        cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			q, err := setPortsRequest(args)
			if err != nil {
				return err
			}
			return e.change(cmd.Context(), "", func(ctx context.Context, c api.RouterClient) (*api.ConfigPlan, error) {
				return c.SetPorts(ctx, q)
			})
		},
		ValidArgsFunction: e.completeSetPorts,
	}
}

const engineWord = "engine"

// setPortsRequest reads 'DEV... engine ENGINE'.
func setPortsRequest(args []string) (*api.SetPortsRequest, error) {
	at := len(args) - 2
	switch i := slices.Index(args, engineWord); {
	case i < 0 && len(args) > 1 && slices.Contains(settableEngines(), args[len(args)-1]):
		return nil, usage("ports set: the word engine is missing", "write it before "+args[len(args)-1])
	case i < 0:
		return nil, usage("ports set: what to set is missing", "want DEV... engine ENGINE, as eth0 engine soft")
	case i == 0:
		return nil, usage("ports set: no port is named", "want DEV... engine ENGINE, as eth0 engine soft")
	case i == len(args)-1:
		return nil, usagef("%s: its value is missing", engineWord)
	case i < at:
		return nil, usage(args[i+2]+": unexpected", "ports are named before the word engine")
	}
	engine := args[at+1]
	globs := args[:at]
	if err := portset.CheckNames(globs); err != nil {
		return nil, usage(err.Error(), "want a name or a glob like 'eth*'")
	}
	switch {
	case !slices.Contains(settableEngines(), engine):
		return nil, usage("engine "+engine+": no such engine", meant(engine, settableEngines(), "want xdp, soft or default"))
	case engine == defaultEngine:
		engine = ""
	}
	return &api.SetPortsRequest{Match: globs, Engine: engine}, nil
}

func (e *env) completeSetPorts(_ *cobra.Command, args []string, _ string) (out []cobra.Completion, _ cobra.ShellCompDirective) {
	switch i := slices.Index(args, engineWord); {
	case i < 0:
		out = e.completePorts()
		if len(args) > 0 {
			out = append(out, cobra.CompletionWithDesc(engineWord, "what forwards"))
		}
	case i == len(args)-1:
		out = append(out, cobra.CompletionWithDesc(config.EngineXDP, "in the kernel"), cobra.CompletionWithDesc(config.EngineSoft, "in weft's own process"),
			cobra.CompletionWithDesc(defaultEngine, "what 'weft run --engine' says"))
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
