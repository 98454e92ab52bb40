package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"weft/control/api"
	"weft/control/config"
)

const configLong = `Lists the configurations that are or were in force, the latest first. They
hold static routes, next-hop groups, neighbors, BGP, preferences of sources and FRR's
access (FPM). They come from a file ('weft config apply', 'weft run --config') and
from 'weft routes add'. A file looks like this; 'weft config schema' has all of it:

  version: 1
  routes:
    - {prefix: 10.0.0.0/8, via: 192.0.2.1}
    - {prefix: 10.9.0.0/16, type: blackhole}
  bgp:
    as: 65001
    neighbors: [{address: 192.0.2.2, remote_as: 65002}]

A change is all or nothing, and outlives the daemon. Applied with --confirm, it is
taken back by itself unless 'weft config confirm' comes in time, also when the
daemon was killed in between, and whatever becomes of the clock.`

func newConfigCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "Check, plan and apply a configuration, and go back", Long: configLong,
		Example: `  weft config check weft.yaml
  weft config plan weft.yaml
  sudo weft config apply weft.yaml --confirm 5m
  sudo weft config confirm
  sudo weft config rollback`,
		Annotations:       map[string]string{client: noun},
		Args:              atMost(0),
		ValidArgsFunction: completeNothing,
		RunE:              func(cmd *cobra.Command, _ []string) error { return e.listGenerations(cmd.Context()) },
	}
	cmd.AddCommand(newConfigCheckCommand(e), newConfigPlanCommand(e), newConfigApplyCommand(e), newConfigConfirmCommand(e),
		newConfigRollbackCommand(e), newConfigShowCommand(e), newConfigSchemaCommand(e))
	return cmd
}

func completeFile(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return []cobra.Completion{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

// readConfig reads the file that a command line names: '-' is standard input.
func (e *env) readConfig(args []string) (name, text string, c *config.Config, err error) {
	name = config.File
	if len(args) > 0 {
		name = args[0]
	}
	var b []byte
	if name == "-" {
		name = "stdin"
		if b, err = io.ReadAll(io.LimitReader(e.stdin, config.MaxFile+1)); err == nil {
			c, err = config.Parse(name, b)
		}
	} else {
		c, b, err = config.ReadFile(name)
	}
	switch {
	case errors.Is(err, os.ErrNotExist):
		err = fail(codeNotFound, name+": no such file", "name the configuration file, or write that one: 'weft help config'")
	case errors.Is(err, os.ErrPermission):
		err = fail(codePermission, name+": not allowed to read it", "try 'sudo weft'")
	}
	return name, string(b), c, err
}

func newConfigCheckCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "check [FILE]", Short: "Say what is wrong with a configuration file",
		Long: `Reads a configuration file (default: ` + config.File + `, '-': standard
input) and says what is wrong with it: file, line, column, cause, and what to do.
No daemon is needed. Exit code 1: there are mistakes.`,
		Example:           "  weft config check\n  weft config check router.yaml",
		Annotations:       map[string]string{client: "yes"},
		Args:              atMost(1),
		ValidArgsFunction: completeFile,
		RunE: func(_ *cobra.Command, args []string) error {
			name, _, c, err := e.readConfig(args)
			if err != nil {
				return err
			}
			found := checked{File: name, Routes: len(c.Routes), Groups: len(c.Groups), Neighbors: len(c.Neighbors)}
			if c.BGP != nil {
				found.BGP = new(len(c.BGP.Neighbors))
			}
			return e.printChecked(found)
		},
	}
}

// checked is what a right configuration holds.
type checked struct {
	File      string `json:"file"`
	Routes    int    `json:"routes"`
	Groups    int    `json:"groups"`
	Neighbors int    `json:"neighbors"`
	BGP       *int   `json:"bgp_neighbors,omitempty"` // nil: no BGP
}

func (e *env) printChecked(c checked) error {
	if e.json {
		return e.printJSON(c)
	}
	holds := []string{count(c.Routes, "route"), count(c.Groups, "group"), count(c.Neighbors, "neighbor")}
	if c.BGP != nil {
		holds = append(holds, "BGP with "+count(*c.BGP, "neighbor"))
	}
	_, err := fmt.Fprintf(e.stdout, "%s: %s: no mistakes\n", c.File, strings.Join(holds, ", "))
	return err
}

func newConfigPlanCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "plan [FILE]", Short: "Tell what applying a file would change",
		Long: `Tells what 'weft config apply' of a file (default: ` + config.File + `)
would add (+), remove (-) and change (~), and what traffic would notice of it.
Nothing is changed.`,
		Example:           "  weft config plan\n  weft config plan router.yaml --json",
		Annotations:       map[string]string{client: "yes"},
		Args:              atMost(1),
		ValidArgsFunction: completeFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, text, _, err := e.readConfig(args)
			if err != nil {
				return err
			}
			return e.change(cmd.Context(), "apply with: weft config apply "+name+" --confirm 5m", func(ctx context.Context, c api.RouterClient) (*api.ConfigPlan, error) {
				return c.PlanConfig(ctx, &api.PlanConfigRequest{Text: text, File: name})
			})
		},
	}
}

func newConfigApplyCommand(e *env) *cobra.Command {
	var confirm time.Duration
	cmd := &cobra.Command{
		Use: "apply [FILE] [--confirm 5m]", Short: "Put a configuration file into force",
		Long: `Puts a file (default: ` + config.File + `) into force, instead of all that
was: all of it, or nothing. It outlives the daemon and a restart.

With --confirm it is taken back by itself unless 'weft config confirm' comes in
time: so a mistake that cuts you off mends itself.`,
		Example:           "  sudo weft config apply\n  sudo weft config apply router.yaml --confirm 5m",
		Annotations:       map[string]string{client: "yes", inFull: "yes"},
		Args:              atMost(1),
		ValidArgsFunction: completeFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			if confirm != 0 && (confirm < config.MinConfirm || confirm > config.MaxConfirm) {
				return usage("--confirm "+confirm.String()+": out of range", "want 1s to 24h")
			}
			name, text, _, err := e.readConfig(args)
			if err != nil {
				return err
			}
			return e.change(cmd.Context(), "", func(ctx context.Context, c api.RouterClient) (*api.ConfigPlan, error) {
				return c.ApplyConfig(ctx, &api.ApplyConfigRequest{Text: text, File: name, Confirm: int64(confirm)})
			})
		},
	}
	cmd.Flags().DurationVar(&confirm, "confirm", 0, "take it back unless it is confirmed in this `TIME`, as 5m")
	complete(cmd, "confirm", choices("1m", "5m", "15m"))
	return cmd
}

func newConfigConfirmCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "confirm", Short: "Keep what was applied with --confirm",
		Long: `Makes the configuration that was applied with --confirm one for good. Without
that it is taken back when the time is over.`,
		Example:           "  sudo weft config confirm",
		Annotations:       map[string]string{client: "yes", inFull: "yes"},
		Args:              atMost(0),
		ValidArgsFunction: completeNothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var reply *api.ConfirmConfigReply
			err := e.ask(cmd.Context(), func(ctx context.Context, c api.RouterClient) (err error) {
				reply, err = c.ConfirmConfig(ctx, &api.ConfirmConfigRequest{})
				return err
			})
			switch {
			case err != nil:
				return err
			case e.json:
				return e.printJSON(struct {
					Generation uint64 `json:"generation"`
				}{reply.GetGeneration()})
			}
			fmt.Fprintf(e.stderr, "weft: configuration %d is confirmed\n", reply.GetGeneration())
			return nil
		},
	}
}

func newConfigRollbackCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "rollback [N]", Short: "Go back to the configuration before the last change, or N changes ago",
		Long: `Puts the configuration into force that was so before the last change, or N
changes ago: 'weft config' lists them. A rollback is a change, too: a second one
takes the first back. What waits to be confirmed is taken back.`,
		Example:           "  sudo weft config rollback\n  sudo weft config rollback 3",
		Annotations:       map[string]string{client: "yes", inFull: "yes"},
		Args:              atMost(1),
		ValidArgsFunction: completeNothing,
		RunE: func(cmd *cobra.Command, args []string) error {
			n := uint64(1)
			if len(args) == 1 {
				var err error
				if n, err = number("rollback", args[0], 1000); err != nil {
					return err
				}
			}
			return e.change(cmd.Context(), "", func(ctx context.Context, c api.RouterClient) (*api.ConfigPlan, error) {
				return c.RollbackConfig(ctx, &api.RollbackConfigRequest{Changes: uint32(n)})
			})
		},
	}
}

func newConfigShowCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show [GENERATION]", Short: "Print the configuration that is in force, as a file",
		Long: `Prints the configuration that is in force, or the one of a generation ('weft
config' lists them), as a file that 'weft config apply' takes. Comments of the file
that it came from are not kept.`,
		Example:           "  weft config show > weft.yaml\n  weft config show 7",
		Annotations:       map[string]string{client: "yes"},
		Args:              atMost(1),
		ValidArgsFunction: completeNothing,
		RunE: func(cmd *cobra.Command, args []string) error {
			q := &api.GetConfigRequest{}
			if len(args) == 1 {
				n, err := number("show", args[0], 1<<63)
				if err != nil {
					return err
				}
				q.Generation = &n
			}
			return e.showConfig(cmd.Context(), q)
		},
	}
}

func (e *env) showConfig(ctx context.Context, q *api.GetConfigRequest) error {
	var reply *api.Configuration
	err := e.ask(ctx, func(ctx context.Context, c api.RouterClient) (err error) {
		reply, err = c.GetConfig(ctx, q)
		return err
	})
	switch {
	case err != nil:
		return err
	case e.json:
		return e.printJSON(struct {
			Generation uint64 `json:"generation"`
			Text       string `json:"text"`
		}{reply.GetGeneration(), reply.GetText()})
	}
	_, err = io.WriteString(e.stdout, reply.GetText())
	return err
}

func newConfigSchemaCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON schema of configuration files",
		Long: `Prints the JSON schema of configuration files. Editors check and complete files
by it while they are written: put its path behind '# yaml-language-server: $schema='
in the first line.`,
		Example:           "  weft config schema > weft.schema.json",
		Annotations:       map[string]string{client: "yes"},
		Args:              atMost(0),
		ValidArgsFunction: completeNothing,
		RunE: func(*cobra.Command, []string) error {
			_, err := e.stdout.Write(config.Schema())
			return err
		},
	}
}

// change asks for a change, or a plan of one, and prints it.
func (e *env) change(ctx context.Context, apply string, f func(context.Context, api.RouterClient) (*api.ConfigPlan, error)) error {
	var p *api.ConfigPlan
	err := e.ask(ctx, func(ctx context.Context, c api.RouterClient) (err error) {
		p, err = f(ctx, c)
		return err
	})
	if err != nil {
		return err
	}
	if err := e.printPlan(newPlan(p), apply); err != nil || apply != "" || e.json {
		return err
	}
	if left := time.Duration(p.GetConfirm()); left > 0 {
		fmt.Fprintf(e.stderr, "weft: configuration %d is in force; it is taken back in %s, unless: weft config confirm\n", p.GetGeneration(), short(left.Round(time.Second)))
	} else {
		fmt.Fprintf(e.stderr, "weft: configuration %d is in force\n", p.GetGeneration())
	}
	return nil
}

// plan is what a change does.
type plan struct {
	Changes    []planChange `json:"changes"`
	Impact     string       `json:"impact"`
	Generation uint64       `json:"generation"`
	Confirm    float64      `json:"confirm_seconds,omitempty"`
}

type planChange struct {
	Op    string `json:"op"`
	Thing string `json:"thing"`
	Name  string `json:"name"`
	Old   string `json:"old,omitempty"`
	New   string `json:"new,omitempty"`
	Uses  uint32 `json:"routes,omitempty"`
}

func newPlan(m *api.ConfigPlan) *plan {
	p := &plan{Changes: []planChange{}, Impact: m.GetImpact(), Generation: m.GetGeneration(), Confirm: time.Duration(m.GetConfirm()).Seconds()}
	for _, c := range m.GetChanges() {
		p.Changes = append(p.Changes, planChange{c.GetOp(), c.GetThing(), c.GetName(), c.GetOld(), c.GetNew(), c.GetUses()})
	}
	return p
}

func (e *env) printPlan(p *plan, apply string) error {
	if e.json {
		return e.printJSON(p)
	}
	out := e.out()
	diff := p.config()
	var all []string
	for _, c := range diff.Changes {
		fmt.Fprintln(out, "  "+c.Text())
	}
	for _, thing := range diff.Things() {
		adds, removes, modifies := diff.Counts(thing)
		all = append(all, fmt.Sprintf("+ %s   - %s   ~ %s", count(adds, thing), count(removes, thing), count(modifies, thing)))
	}
	if all == nil {
		all = []string{"no changes"}
		apply = ""
	}
	fmt.Fprintf(out, "  %s      traffic impact: %s\n", strings.Join(all, "\n  "), p.Impact)
	if apply != "" {
		fmt.Fprintln(out, "  "+apply)
	}
	return out.Flush()
}

// config is the plan as the daemon made it.
func (p *plan) config() *config.Plan {
	out := &config.Plan{Impact: p.Impact}
	for _, c := range p.Changes {
		out.Changes = append(out.Changes, config.Change{
			Op: config.Op(c.Op), Thing: c.Thing, Name: c.Name, Old: c.Old, New: c.New, Uses: int(c.Uses),
		})
	}
	return out
}
