package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"strings"
	"testing"

	report "weft/test/benchreport"
)

func TestParseFlags(t *testing.T) {
	o, err := parseFlags([]string{"-format", "json", "-rounds", "7", "-only", "^go/", "-floor-mib", "16", "-cpu", "0"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if !o.JSON || o.Rounds != 7 || o.Only.String() != "^go/" || o.floor != 16<<20 || o.CPU != 0 {
		t.Errorf("options %+v", o)
	}
}

func TestBadFlags(t *testing.T) {
	for args, want := range map[string]string{
		"-format xml":        `-format "xml": want table or json`,
		"-rounds 0":          "-rounds 0: want 1 or more",
		"-rounds many":       `invalid value "many" for flag -rounds`,
		"-only (":            "-only: error parsing regexp",
		"-only nothing":      "-only nothing: no row matches",
		"-floor-mib 48":      "-floor-mib 48: want 1, 2, 4, 8, 16, 32 or 64",
		"-cpu 100000":        "-cpu 100000: this machine has CPUs 0 to",
		"-no-such-flag":      "flag provided but not defined: -no-such-flag",
		"-rounds 2 leftover": `unexpected argument "leftover"`,
	} {
		err := run(context.Background(), strings.Fields(args), io.Discard, io.Discard)
		var bad report.UsageError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want a usage error with %q", args, err, want)
		}
	}
}

func TestHelp(t *testing.T) {
	var out strings.Builder
	if err := run(context.Background(), []string{"-h"}, &out, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v", err)
	}
	if !strings.Contains(out.String(), "-only regexp") {
		t.Errorf("help does not tell -only:\n%s", out.String())
	}
}

func TestWantedSources(t *testing.T) {
	for only, want := range map[string]string{
		"lpm_trie":               "lpm_trie",
		"^go/.*/rte_fib$":        "rte_fib",
		"^bpf/ipv4/dep/.*/floor": "floor in BPF",
		"bart":                   "bart",
	} {
		o, err := parseFlags([]string{"-only", only}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		got := wantedSources(o.Only)
		if len(got) != 1 || got[0].name != want {
			t.Errorf("-only %s: %d sources %+v, want %s alone", only, len(got), got, want)
		}
	}
}
