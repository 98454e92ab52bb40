package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"weft/control/config/spell"
)

// word is a keyword of iproute2's kind: "dev eth0", "explain".
type word struct {
	name     string
	help     string
	set      func(value string) error
	alone    bool                      // it takes no value
	complete func() []cobra.Completion // values to choose from; may be nil
}

// words is what a command takes after its name: keywords, in any order and
// shortened like ip's, around at most one word that is none.
type words struct {
	all        []word
	positional func(string) error
	want       string // what the positional word is, "PREFIX"
}

// find returns the keyword that an argument stands for: as with ip, the first
// that begins so. nil: it is none.
func (ws *words) find(arg string) *word {
	var found *word
	for i := range ws.all {
		w := &ws.all[i]
		if w.name == arg {
			return w
		}
		if found == nil && arg != "" && strings.HasPrefix(w.name, arg) {
			found = w
		}
	}
	return found
}

func (ws *words) names() (names []string) {
	for _, w := range ws.all {
		names = append(names, w.name)
	}
	return names
}

// parse reads a command's arguments.
func (ws *words) parse(args []string) error {
	seen := map[string]bool{}
	for i := 0; i < len(args); i++ {
		w := ws.find(args[i])
		var err error
		name := ws.want
		if w != nil {
			name = w.name
		}
		if near := spell.Nearest(args[i], ws.names()); seen[name] && w == nil && near != "" {
			return usage(args[i]+": unexpected", "did you mean "+near+"?")
		}
		if seen[name] && name != "" {
			return usagef("%s: %s is given twice", args[i], name)
		}
		seen[name] = true
		switch {
		case w == nil && ws.positional == nil:
			return usage(args[i]+": unexpected", meant(args[i], ws.names(), "see --help"))
		case w == nil:
			err = ws.positional(args[i])
			if near := spell.Nearest(args[i], ws.names()); err != nil && near != "" {
				return usage(args[i]+": neither "+ws.want+" nor a keyword", "did you mean "+near+"?")
			}
		case w.alone:
			err = w.set("")
		case i+1 == len(args):
			return usagef("%s: its value is missing", w.name)
		default:
			i++
			err = w.set(args[i])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// completions returns what may follow args.
func (ws *words) completions(args []string) []cobra.Completion {
	used := map[string]bool{}
	for i := 0; i < len(args); i++ {
		w := ws.find(args[i])
		if w == nil {
			continue
		}
		used[w.name] = true
		if w.alone {
			continue
		}
		if i++; i == len(args) {
			if w.complete == nil {
				return nil
			}
			return w.complete()
		}
	}
	var out []cobra.Completion
	for _, w := range ws.all {
		if !used[w.name] {
			out = append(out, cobra.CompletionWithDesc(w.name, w.help))
		}
	}
	return out
}

// number reads a number of at most max.
func number(name, value string, max uint64) (uint64, error) {
	n, err := strconv.ParseUint(value, 0, 64)
	if err != nil || n > max {
		return 0, usagef("%s %s: want a number from 0 to %d", name, value, max)
	}
	return n, nil
}
