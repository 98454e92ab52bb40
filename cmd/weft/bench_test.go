package main

import (
	"strings"
	"testing"
)

func TestBenchUsage(t *testing.T) {
	for args, want := range map[string]string{
		"bench gen":                                     "bench gen: which interface is missing",
		"bench sink":                                    "bench sink: which interface is missing",
		"bench sink a b":                                "b: unexpected",
		"bench sink a --time -1s":                       "--time -1s: want more than 0",
		"bench gen lo":                                  "--dst is missing: try '--dst 198.18.0.0/15'",
		"bench gen lo --dst nowhere":                    "--dst nowhere: want a prefix",
		"bench gen lo --dst 198.18.0.0/15":              "name the router by --via ADDRESS or --dst-mac MAC",
		"bench gen lo --dst ::/0 --dst-mac 1:2":         "--dst-mac 1:2: want a MAC",
		"bench gen lo --dst ::/0 --via here":            "--via here: want an address",
		"bench gen lo --dst ::/0 --via ::1":             "--via ::1: the kernel does not know its MAC on lo",
		"bench gen nolink --dst ::/0 --via ::1":         "nolink: there is no such interface here",
		"bench gen lo --dst ::/0 --via ::1 --dst-mac a": "exclude each other",
		"bench gen lo --dst ::/0 --size 63":             "--size: impossible frame size: 63 bytes: want 64 to 9018",
		"bench gen lo --dst ::/0 --size genome:ax":      "letter x, want a to i",
		"bench gen lo --dst ::/0 --rate fast":           `--rate: impossible rate: "fast"`,
		"bench gen lo --dst ::/0 --rate 2G":             "want 0.001 to 1e+09",
		"bench gen lo --dst ::/0 --rate=-3":             "impossible rate",
		"bench gen lo --dst ::/0 --flows 3":             "--flows 3: want a power of two",
		"bench gen lo --dst ::/0 --ttl 256":             "--ttl 256: want 1 to 255",
		"bench gen lo --dst ::/0 --cpu 100000":          "this machine has CPUs 0 to",
		"bench gne":                                     "did you mean gen?",
	} {
		r := weft(t, &fake{}, strings.Fields(args)...)
		if r.exit != 2 || r.stdout != "" || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: exit %d, %s%s; want %q", args, r.exit, r.stdout, r.stderr, want)
		}
	}
}
