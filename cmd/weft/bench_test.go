package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	benchresult "weft/test/bench/result"
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
		"bench througput":                               `unknown test "througput": did you mean throughput?`,
		"bench mrr --system lnux":                       "did you mean linux?",
		"bench mrr --size 10":                           "10 bytes: want 64 to 9018",
		"bench --rounds -3":                             "-3 rounds: want 1 to 1000",
		"bench --rounds many":                           "--rounds many: not a value of type int",
		"bench compare a":                               "bench compare: 1 files, want 2",
		"bench compare none.json none":                  "bench compare: open none.json: no such file",
		"bench compare cli_test.go cli_test.go":         "cli_test.go: not a document of weft bench",
	} {
		r := weft(t, &fake{}, strings.Fields(args)...)
		if r.exit != 2 || r.stdout != "" || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: exit %d, %s%s; want %q", args, r.exit, r.stdout, r.stderr, want)
		}
	}
}

// A file that cannot be written is known before there is anything to write.
func TestBenchOutputs(t *testing.T) {
	dir := t.TempDir()
	f := benchFlags{json: filepath.Join(dir, "a.json"), html: filepath.Join(dir, "none", "a.html")}
	if _, err := f.open(); err == nil || !strings.Contains(err.Error(), "a.html") {
		t.Errorf("%v", err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 0 {
		t.Errorf("%d files are left: %v", len(files), err)
	}
	f = benchFlags{json: filepath.Join(dir, "a.json"), html: os.DevNull}
	if _, err := f.open(); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("a device would be replaced: %v", err)
	}
	f = benchFlags{json: filepath.Join(dir, "a.json"), lines: filepath.Join(dir, "a.txt"), html: filepath.Join(dir, "a.html")}
	all, err := f.open()
	if err != nil {
		t.Fatal(err)
	}
	d := &benchresult.Document{Schema: benchresult.Schema}
	d.Add(benchresult.Key{Test: "mrr", System: "linux"}, "pkt/s", false, 1)
	if err := all.write(d); err != nil {
		t.Fatal(err)
	}
	all.close()
	files, err = os.ReadDir(dir)
	if err != nil || len(files) != 3 {
		t.Errorf("%d files: %v", len(files), err)
	}
	r := weft(t, &fake{}, "bench", "compare", f.json, f.json)
	if r.exit != 0 || !strings.Contains(r.stdout, "too few rounds") {
		t.Errorf("compare: exit %d, %s%s", r.exit, r.stdout, r.stderr)
	}
}
