package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

const rootLong = `weft makes this machine's packets go by XDP instead of through Linux's network
stack. It follows the kernel's links, addresses, neighbors and routes, so FRR,
BIRD and 'ip route' work as before; it can take routes from FRR directly (FPM), and
have some of its own: static ones, and those of its BGP. What weft cannot do for a
packet, Linux still does, and weft says why: each packet is counted by a named reason.

One daemon forwards for one network namespace. The other commands ask it.

Commands may be shortened as long as it is clear which is meant: 'weft r g
192.0.2.1' is 'weft routes get 192.0.2.1'. Those that change something (run, stop,
config apply, routes add, bgp clear, lab...) are written in full. 'weft show routes'
and 'weft routes show' are 'weft routes'.

With --json, data goes to stdout as JSON, with iproute2's keys where it has
them, of BGP with FRR's. Errors go to stderr, with --json as
{"error":{"code":"...","message":"...","hint":"..."}}.

Exit codes:
` + exitCodes

const rootExample = `  sudo weft run                     forward on all ports, in the foreground
  weft status                       what runs, and whether all is well
  weft routes get 203.0.113.9       where a packet goes, asked of the live program
  weft drops                        what did not go out, and why
  weft doctor                       what this machine lacks, and what mends it
  sudo weft stop                    give the machine back to Linux`

// inFull marks commands that change the machine: they cannot be shortened.
const inFull = "in full"

// client marks commands that only ask the daemon: they need not enter its
// network namespace, only find its socket. Those that show something are nouns.
const (
	client = "client"
	noun   = "noun"
)

const (
	groupDaemon = "daemon"
	groupAsk    = "ask"
	groupOther  = "other"
)

func newRoot(e *env) *cobra.Command {
	cobra.EnableCommandSorting = false // status comes first, not completion
	root := &cobra.Command{
		Use: "weft", Short: "A router in XDP, beside Linux and its routing daemons", Long: rootLong, Example: rootExample,
		Version: e.version, SilenceErrors: true, SilenceUsage: true, DisableAutoGenTag: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRunE: e.prepare,
		Args:              atMost(0),
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("weft {{.Version}}\n")
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	root.SetFlagErrorFunc(flagError)
	root.SetUsageTemplate(usageTemplate)
	root.SetHelpTemplate(helpTemplate)
	f := root.PersistentFlags()
	f.StringVarP(&e.netns, "netns", "n", "", "`NAME` of the network namespace to act in, as of 'ip netns'")
	f.StringVar(&e.socket, "socket", "", "`PATH` of the daemon's socket (default: $WEFT_SOCKET, or by network namespace)")
	f.BoolVarP(&e.json, "json", "j", false, "print JSON")
	f.BoolVarP(&e.pretty, "pretty", "p", false, "indent JSON")
	f.BoolVarP(&e.ipv4, "ipv4", "4", false, "only IPv4")
	f.BoolVarP(&e.ipv6, "ipv6", "6", false, "only IPv6")
	complete(root, "netns", e.completeNetns)

	root.AddGroup(&cobra.Group{ID: groupDaemon, Title: "The daemon:"}, &cobra.Group{ID: groupAsk, Title: "Ask it:"},
		&cobra.Group{ID: groupOther, Title: "Other:"})
	root.SetHelpCommandGroupID(groupOther)
	add := func(group string, cmds ...*cobra.Command) {
		for _, cmd := range cmds {
			cmd.GroupID = group
			root.AddCommand(cmd)
		}
	}
	add(groupDaemon, newRunCommand(e), newStopCommand(e), newConfigCommand(e))
	add(groupAsk, newStatusCommand(e), newPortsCommand(e), newRoutesCommand(e), newNeighborsCommand(e), newGroupsCommand(e), newBGPCommand(e),
		newDropsCommand(e), newStatsCommand(e), newMonitorCommand(e), newTraceCommand(e), newCaptureCommand(e), newVerifyCommand(e))
	add(groupOther, newDoctorCommand(e), newLabCommand(e), newConformanceCommand(e), newBenchCommand(e), newShowCommand(root), newVersionCommand(e), newCompletionCommand(e), newManCommand(root))
	root.AddCommand(newExitCodesTopic())
	root.InitDefaultHelpCmd()
	describeHelp(root)
	return root
}

// atMost lets a command have so many arguments.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			var names []string
			for _, c := range cmd.Commands() {
				names = append(names, c.Name())
			}
			return usage(fmt.Sprintf("%s: unexpected", args[n]), meant(args[n], names, fmt.Sprintf("see '%s --help'", cmd.CommandPath())))
		}
		return nil
	}
}

// prepare comes before every command.
func (e *env) prepare(cmd *cobra.Command, _ []string) error {
	if e.ipv4 && e.ipv6 {
		return usage("-4 and -6: exclude each other", "leave out both for both families")
	}
	if e.socket != "" {
		abs, err := filepath.Abs(e.socket)
		if err != nil {
			return usagef("--socket %s: %v", e.socket, err)
		}
		e.socket = abs
	}
	if e.netns == "" {
		if e.socket == "" {
			e.socket = e.getenv(socketVariable)
		}
		return nil
	}
	if cmd.Annotations[client] != "" {
		return nil
	}
	return e.enter(e.netnsPath())
}

// newExitCodesTopic is only to be read: 'weft help exit-codes'.
func newExitCodesTopic() *cobra.Command {
	return &cobra.Command{
		Use: "exit-codes", Short: "What the exit codes mean",
		Long: "Exit codes:\n" + exitCodes,
	}
}

// newShowCommand stands for the order of words of routers: expand rewrites
// 'weft show routes' before it comes here.
func newShowCommand(root *cobra.Command) *cobra.Command {
	nouns := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var all []string
		for _, c := range root.Commands() {
			if c.Annotations[client] == noun {
				all = append(all, c.Name()+"\t"+c.Short)
			}
		}
		return all, cobra.ShellCompDirectiveNoFileComp
	}
	return &cobra.Command{
		Use: "show COMMAND", Short: "The same as COMMAND, for fingers that say 'show' first",
		Long:              "'weft show routes' is 'weft routes'; so for every command that shows something.",
		Example:           "  weft show routes\n  weft show ports --json",
		Annotations:       map[string]string{client: "yes"},
		ValidArgsFunction: nouns,
		RunE: func(*cobra.Command, []string) error {
			return usage("show: what to show is missing", "try 'weft show status', 'weft show routes' or 'weft help'")
		},
	}
}

// describeHelp gives cobra's own help command what every command has here.
func describeHelp(root *cobra.Command) {
	for _, c := range root.Commands() {
		if c.Name() == "help" {
			c.Short = "Help about a command"
			c.Long = "Shows what a command does, with examples. 'weft help exit-codes' lists the exit codes."
			c.Example = "  weft help routes get\n  weft help exit-codes"
			run := c.Run
			c.Run = nil
			c.RunE = func(cmd *cobra.Command, args []string) error {
				if found, rest, err := root.Find(args); err != nil || found == root && len(rest) > 0 {
					return unknownCommand(root, strings.Join(args, " "))
				}
				run(cmd, args)
				return nil
			}
		}
	}
}

const usageTemplate = `Usage:
  {{if and .Runnable .HasParent}}{{.UseLine}}{{if .HasAvailableSubCommands}}
  {{end}}{{end}}{{if .HasAvailableSubCommands}}{{.CommandPath}} COMMAND{{end}}{{if .HasAvailableSubCommands}}{{$cmds := .Commands}}{{if eq (len .Groups) 0}}

Commands:{{range $cmds}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{else}}{{range $group := .Groups}}

{{.Title}}{{range $cmds}}{{if and (eq .GroupID $group.ID) (or .IsAvailableCommand (eq .Name "help"))}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

Flags of all commands:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}
`

const helpTemplate = `{{.Short}}
{{if .HasExample}}
Examples:
{{.Example}}
{{end}}{{if .Long}}
{{.Long | trimTrailingWhitespaces}}
{{end}}{{if or .Runnable .HasSubCommands}}
{{.UsageString}}{{end}}`
