package main

import (
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newCompletionCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "completion bash|zsh|fish", Short: "Print the completion script of a shell",
		Long: `Prints a script that lets the shell complete weft's commands, keywords, ports,
reasons, prefixes and BGP's neighbors, with descriptions. What the daemon knows is
asked of it each time; it has 200 ms to answer.`,
		Example: `  source <(weft completion bash)
  weft completion zsh > "${fpath[1]}/_weft"
  weft completion fish > ~/.config/fish/completions/weft.fish`,
		Annotations: map[string]string{client: "yes"},
		ValidArgs:   []string{"bash", "zsh", "fish"},
		Args:        atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("completion: the shell is missing", "want bash, zsh or fish")
			}
			switch args[0] {
			case "bash":
				return cmd.Root().GenBashCompletionV2(e.stdout, true)
			case "zsh":
				return cmd.Root().GenZshCompletion(e.stdout)
			case "fish":
				return cmd.Root().GenFishCompletion(e.stdout, true)
			}
			return usage("completion: "+args[0]+": no such shell", "want bash, zsh or fish")
		},
	}
}

func newManCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "man DIRECTORY", Short: "Write the manual pages", Hidden: true,
		Long:    "Writes a manual page for each command into a directory, which is made if it is not there.",
		Example: "  weft man build/man && man build/man/weft.1",
		Args:    atMost(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("man: the directory is missing", "try 'weft man build/man'")
			}
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			preformat(root)
			return doc.GenManTree(root, &doc.GenManHeader{Title: "WEFT", Section: "1", Source: "weft"}, args[0])
		},
	}
}

// beforeIndented is the end of a line of text that indented ones follow.
var beforeIndented = regexp.MustCompile(`(?m)^(\S.*:)\n  `)

// preformat makes indented lines of descriptions code, so that manual pages
// keep them as they are.
func preformat(cmd *cobra.Command) {
	cmd.Long = strings.ReplaceAll(beforeIndented.ReplaceAllString(cmd.Long, "$1\n\n  "), "\n  ", "\n\t")
	for _, c := range cmd.Commands() {
		preformat(c)
	}
}
