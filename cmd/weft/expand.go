package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"weft/control/config/spell"
)

// expand writes shortened commands in full and puts the words of 'show routes'
// and 'routes show' in one order, before cobra sees them.
func expand(root *cobra.Command, args []string) ([]string, error) {
	if len(args) > 0 && strings.HasPrefix(args[0], "__complete") {
		// The last word is still being typed.
		if len(args) < 2 {
			return args, nil
		}
		last := len(args) - 1
		full, err := expand(root, args[1:last])
		if err != nil {
			full = args[1:last]
		}
		return append(append([]string{args[0]}, full...), args[last]), nil
	}
	var full []string
	cmd, show := root, false
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if strings.HasPrefix(arg, "-") && arg != "-" {
			full = append(full, arg)
			if arg == "--" {
				return append(full, args[i+1:]...), nil
			}
			if takesNext(cmd, arg) && i+1 < len(args) {
				i++
				full = append(full, args[i])
			}
			continue
		}
		next, err := child(cmd, arg)
		switch {
		case err != nil:
			return nil, err
		case next == nil && cmd == root:
			return nil, unknownCommand(root, arg)
		case next == nil && isShow(cmd, arg):
			continue
		case show && cmd == root && next.Annotations[client] != noun:
			return nil, usage("show "+arg+": shows nothing", "'weft help' tells the commands that do")
		case next == nil || next.Name() == "help" || next.Hidden:
			return append(full, args[i:]...), nil
		case next.Name() == "show" && cmd == root:
			show = true // the noun comes
			continue
		}
		full, cmd = append(full, next.Name()), next
	}
	if show && cmd == root {
		full = append(full, "show")
	}
	return full, nil
}

// child returns the command of cmd that a word stands for, nil if none.
func child(cmd *cobra.Command, word string) (*cobra.Command, error) {
	var found []*cobra.Command
	for _, c := range cmd.Commands() {
		if c.Name() == word || c.HasAlias(word) {
			return c, nil
		}
		if strings.HasPrefix(c.Name(), word) && c.Annotations[inFull] == "" && !c.Hidden && c.Runnable() {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		return found[0], nil
	}
	var names []string
	for _, c := range found {
		names = append(names, c.Name())
	}
	return nil, usage(fmt.Sprintf("%s: could be any of %s", word, strings.Join(names, ", ")), "write more of it")
}

// isShow tells the second word of 'routes show', after commands that show
// something.
func isShow(cmd *cobra.Command, word string) bool {
	return cmd.Annotations[client] == noun && word != "" && strings.HasPrefix("show", word)
}

// takesNext tells whether a flag's value is the next word.
func takesNext(cmd *cobra.Command, arg string) bool {
	if strings.Contains(arg, "=") {
		return false
	}
	var f *pflag.Flag
	if name, long := strings.CutPrefix(arg, "--"); long {
		f = cmd.Flag(name)
	} else {
		// -jn NAME: the last letter decides; -nNAME has its value already.
		for i, letter := range arg[1:] {
			f = shorthand(cmd, string(letter))
			if f != nil && f.NoOptDefVal == "" && i < len(arg)-2 {
				return false
			}
		}
	}
	return f != nil && f.NoOptDefVal == ""
}

func shorthand(cmd *cobra.Command, letter string) *pflag.Flag {
	if len(letter) > 1 {
		return nil // pflag panics at letters that are not ASCII's
	}
	if f := cmd.Flags().ShorthandLookup(letter); f != nil {
		return f
	}
	return cmd.Root().PersistentFlags().ShorthandLookup(letter)
}

func unknownCommand(root *cobra.Command, word string) error {
	var names []string
	for _, c := range root.Commands() {
		if !c.Hidden {
			names = append(append(names, c.Name()), c.Aliases...)
		}
	}
	return usage(word+": no such command", meant(word, names, "see 'weft help'"))
}

// flagError is an error of pflag in our words.
func flagError(cmd *cobra.Command, err error) error {
	hint := fmt.Sprintf("see '%s --help'", cmd.CommandPath())
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	var missing *pflag.ValueRequiredError
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
		name := "--" + unknown.GetSpecifiedName()
		return usage(fmt.Sprintf("%s: no such flag of '%s'", name, cmd.CommandPath()), meant(name, names, hint))
	case errors.As(err, &unknown):
		return usage(fmt.Sprintf("-%s: no such flag of '%s'", unknown.GetSpecifiedName(), cmd.CommandPath()), hint)
	case errors.As(err, &invalid):
		f := invalid.GetFlag()
		return usage(fmt.Sprintf("--%s %s: not a value of type %s", f.Name, invalid.GetValue(), f.Value.Type()), hint)
	case errors.As(err, &missing):
		return usage(fmt.Sprintf("--%s: its value is missing", missing.GetFlag().Name), hint)
	}
	return usage(err.Error(), hint)
}

// meant is a hint: the word that was probably meant, or else what to do.
func meant(word string, words []string, otherwise string) string {
	if near := spell.Nearest(word, words); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	return otherwise
}

// wantsJSON looks for -j where flags could not be parsed.
func wantsJSON(args []string) bool {
	for _, a := range args {
		short := strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--") && strings.Trim(a, "-jp46") == ""
		if a == "--json" || short && strings.Contains(a, "j") {
			return true
		}
	}
	return false
}
