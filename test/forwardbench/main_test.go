package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"slices"
	"strings"
	"testing"

	report "weft/test/benchreport"
)

func TestBadFlags(t *testing.T) {
	for args, want := range map[string]string{
		"-format xml":    `-format "xml": want table or json`,
		"-rounds 0":      "-rounds 0: want 1 or more",
		"-only (":        "-only: error parsing regexp",
		"-only nothing":  "-only nothing: no row matches",
		"-cpu 100000":    "-cpu 100000: this machine has CPUs 0 to",
		"-no-such-flag":  "flag provided but not defined: -no-such-flag",
		"-rounds 2 more": `unexpected argument "more"`,
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

// A row that nothing measures would leave its goal without a verdict for ever.
func TestRowsOfGoalsExist(t *testing.T) {
	rows := allRows()
	for _, g := range goals() {
		for _, row := range []string{g.Row, g.Peer} {
			if row != "" && !slices.Contains(rows, row) {
				t.Errorf("nothing measures %s", row)
			}
		}
	}
}
