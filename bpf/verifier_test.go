package bpf

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	netbpf "golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"weft/test/proof"
	"weft/test/root"
)

var update = flag.Bool("update", false, "write testdata/verifier.txt anew")

const (
	verifierTable = "testdata/verifier.txt"
	mostVerified  = 1_000_000 / 10 // a tenth of what the verifier goes through before it gives up
	mostGrowth    = 1.2            // of a figure, until the table is written anew
)

// figures are what a program costs. Only the first does not depend on the kernel.
type figures struct {
	given    int // instructions that are given to the kernel
	loaded   int // and what it has made of them: translated, without dead ones
	verified int // that the verifier went through, some many times
	states   int // at most at once, of the verifier's
	stack    int // bytes
	jited    int // bytes
	load     float64
}

// variant is a program with features on an image, as Load may be asked for it.
type variant struct {
	name string
	spec func() (*ebpf.CollectionSpec, map[string]*ebpf.Map, error)
}

// variants returns every program in every combination of features. A device map is for programs that take frames in pieces,
// or for those that do not: so there is a state for each.
func variants(direct, chunked *Image, whole, inPieces *State, xsks *ebpf.Map, capture *Capture) (all []variant) {
	for _, im := range []*Image{direct, chunked} {
		image := map[bool]string{false: "direct", true: "chunked"}[im.Chunked()]
		for bits := range 32 {
			f := Features{Trace: bits&1 != 0, VLANs: bits&2 != 0, Partial: bits&4 != 0}
			if bits&16 != 0 {
				f.Capture = capture
			}
			if f.Trace && f.Capture != nil {
				continue
			}
			pieces, s := bits&8 != 0, whole
			if pieces {
				s = inPieces
			}
			all = append(all, variant{name("xdp", image, pieces, f), func() (*ebpf.CollectionSpec, map[string]*ebpf.Map, error) {
				spec, err := specXDP(im, pieces, f.Capture != nil)
				if err != nil {
					return nil, nil, err
				}
				maps, err := fit(spec, weftProgWeft, im, s, f)
				return spec, maps, err
			}})
			all = append(all, variant{name("xsk", image, pieces, f), func() (*ebpf.CollectionSpec, map[string]*ebpf.Map, error) {
				return specXSK(im, s, xsks, f, pieces)
			}})
			if f.Partial || pieces {
				continue // tc has neither
			}
			all = append(all, variant{name("tc", image, false, f), func() (*ebpf.CollectionSpec, map[string]*ebpf.Map, error) {
				spec, err := specTC(im, f.Capture != nil)
				if err != nil {
					return nil, nil, err
				}
				maps, err := fit(spec, tcProgWeftTc, im, s, f)
				return spec, maps, err
			}})
			all = append(all, variant{name("tap", image, false, f), func() (*ebpf.CollectionSpec, map[string]*ebpf.Map, error) {
				spec, err := specTap(im, f.Capture != nil)
				if err != nil {
					return nil, nil, err
				}
				maps, err := fit(spec, tapProgWeftTap, im, s, f)
				return spec, maps, err
			}})
		}
	}
	return append(all, variant{"transmit", func() (*ebpf.CollectionSpec, map[string]*ebpf.Map, error) { return specTransmit(whole) }})
}

func name(program, image string, pieces bool, f Features) string {
	words := []string{program, image}
	for _, w := range []struct {
		name string
		on   bool
	}{{"pieces", pieces}, {"trace", f.Trace}, {"vlans", f.VLANs}, {"partial", f.Partial}, {"capture", f.Capture != nil}} {
		if w.on {
			words = append(words, w.name)
		}
	}
	return strings.Join(words, "+")
}

// TestVerifier loads every program in every combination of features, and compares what it costs with what is written down:
// a program that has grown by more than a fifth, or comes near to what the verifier takes, is found here and not by a user.
func TestVerifier(t *testing.T) {
	root.Require(t)
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	direct, err := NewImage(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	chunked, err := NewChunkedImage(2)
	if err != nil {
		t.Fatal(err)
	}
	defer chunked.Close()
	var states [2]*State
	for i := range states {
		if states[i], err = NewState(16, 2); err != nil {
			t.Fatal(err)
		}
		defer states[i].Close()
	}
	xsks, err := NewXSKs(2)
	if err != nil {
		t.Fatal(err)
	}
	defer xsks.Close()
	capture, err := NewCapture(1 << 16)
	if err != nil {
		t.Fatal(err)
	}
	defer capture.Close()
	capture = capture.With([Selections][]netbpf.Instruction{everything})
	var names []string
	have := map[string]figures{}
	for _, v := range variants(direct, chunked, states[0], states[1], xsks, capture) {
		spec, maps, err := v.spec()
		if err != nil {
			t.Fatalf("%s: %v", v.name, err)
		}
		for name, f := range measure(t, v.name, spec, maps) {
			names = append(names, name)
			have[name] = f
		}
	}
	table := write(names, have)
	t.Logf("\n%s", table)
	if *update {
		if err := os.WriteFile(verifierTable, []byte(table), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, kernel := read(t)
	if kernel != release() {
		t.Logf("%s is of Linux %s: what this kernel makes of programs is not compared", verifierTable, kernel)
	}
	for _, complaint := range compare(have, want, kernel == release()) {
		t.Errorf("%s (%s; 'go test ./bpf -run Verifier -update' writes it anew)", complaint, verifierTable)
	}
	proof.Record(t, proof.Result{
		Kind: proof.Verifier, Name: "programs", What: "loaded in every combination of features, none grown by a fifth", Count: uint64(len(have)),
	})
}

// stats is what the verifier says in the end.
var stats = regexp.MustCompile(`stack depth (\d+)[^\n]*\nprocessed (\d+) insns .* peak_states (\d+)`)

// measure loads the programs of spec, each by itself.
func measure(t *testing.T, variant string, spec *ebpf.CollectionSpec, maps map[string]*ebpf.Map) map[string]figures {
	t.Helper()
	all := map[string]figures{}
	for program := range spec.Programs {
		one := spec.Copy()
		one.Programs = map[string]*ebpf.ProgramSpec{program: one.Programs[program]}
		began := time.Now()
		coll, err := ebpf.NewCollectionWithOptions(one, ebpf.CollectionOptions{
			MapReplacements: maps, Programs: ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats},
		})
		took := time.Since(began)
		if err != nil {
			t.Fatalf("%s: %v", variant, err)
		}
		prog := coll.Programs[program]
		f := figures{load: float64(took.Microseconds()) / 1000}
		for _, ins := range one.Programs[program].Instructions {
			f.given += width(&ins)
		}
		m := stats.FindStringSubmatch(prog.VerifierLog)
		if m == nil {
			t.Fatalf("%s: the verifier says:\n%s", variant, prog.VerifierLog)
		}
		f.stack, f.verified, f.states = number(t, m[1]), number(t, m[2]), number(t, m[3])
		info, err := prog.Info()
		if err != nil {
			t.Fatalf("%s: %v", variant, err)
		}
		bytes, err := info.TranslatedSize()
		if err != nil {
			t.Fatalf("%s: %v", variant, err)
		}
		f.loaded = bytes / 8
		jited, err := info.JitedSize()
		if err != nil {
			t.Fatalf("%s: %v", variant, err)
		}
		f.jited = int(jited)
		name := variant
		if len(spec.Programs) > 1 {
			name += "+" + program
		}
		all[name] = f
		coll.Close()
	}
	return all
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// write makes the table.
func write(names []string, have map[string]figures) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# What programs cost, by 'go test ./bpf -run Verifier -update'. given: BPF instructions as they are given to the kernel;\n"+
		"# loaded: as it has translated them; verified: those the verifier went through; states: of it, at most at once; stack and\n"+
		"# jited: bytes; load: ms, and asserted by nobody.\n# Linux %s\n", release())
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "given\tloaded\tverified\tstates\tstack\tjited\tload\t  program")
	for _, n := range names {
		f := have[n]
		fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%d\t%d\t%.1f\t  %s\n", f.given, f.loaded, f.verified, f.states, f.stack, f.jited, f.load, n)
	}
	w.Flush()
	return b.String()
}

// read returns what is written down, and of which kernel.
func read(t *testing.T) (all map[string]figures, kernel string) {
	t.Helper()
	text, err := os.ReadFile(verifierTable)
	if err != nil {
		t.Fatal(err)
	}
	all = map[string]figures{}
	for line := range strings.Lines(string(text)) {
		if k, ok := strings.CutPrefix(strings.TrimSpace(line), "# Linux "); ok {
			kernel = k
		}
		var f figures
		var name string
		n, _ := fmt.Sscan(line, &f.given, &f.loaded, &f.verified, &f.states, &f.stack, &f.jited, &f.load, &name)
		if n == 8 {
			all[name] = f
		}
	}
	return all, kernel
}

// compare says which programs have grown, are not written down, or are written down and not there. What a kernel makes of a
// program is compared with the same kernel's only.
func compare(have, want map[string]figures, sameKernel bool) (complaints []string) {
	complain := func(format string, args ...any) { complaints = append(complaints, fmt.Sprintf(format, args...)) }
	for name, f := range have {
		w, known := want[name]
		if !known {
			complain("%s is not in the table", name)
			continue
		}
		if f.verified > mostVerified {
			complain("%s: the verifier goes through %d instructions, want at most %d", name, f.verified, mostVerified)
		}
		grown := func(what string, have, want int) {
			if float64(have) > float64(want)*mostGrowth {
				complain("%s: %d instructions %s, were %d: more than a fifth", name, have, what, want)
			}
		}
		grown("given to the kernel", f.given, w.given)
		if sameKernel {
			grown("loaded", f.loaded, w.loaded)
			grown("verified", f.verified, w.verified)
		}
	}
	for name := range want {
		if _, there := have[name]; !there {
			complain("%s is in the table, and not there", name)
		}
	}
	return complaints
}

func TestCompare(t *testing.T) {
	was := figures{given: 100, loaded: 100, verified: 1000}
	for _, c := range []struct {
		have figures
		same bool
		want int
	}{
		{was, true, 0},
		{figures{given: 120, loaded: 120, verified: 1200}, true, 0},
		{figures{given: 121, loaded: 121, verified: 1201}, true, 3},
		{figures{given: 121, loaded: 121, verified: 1201}, false, 1},
		{figures{given: 100, loaded: 100, verified: mostVerified + 1}, false, 1},
		{figures{given: 1, loaded: 1, verified: 1}, true, 0},
	} {
		if got := compare(map[string]figures{"p": c.have}, map[string]figures{"p": was}, c.same); len(got) != c.want {
			t.Errorf("%+v: %q, want %d complaints", c.have, got, c.want)
		}
	}
	if got := compare(map[string]figures{"new": was}, map[string]figures{"old": was}, true); len(got) != 2 {
		t.Errorf("another name: %q", got)
	}
}

// release is the kernel's, without what does not matter: "6.18".
func release() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	parts := strings.SplitN(unix.ByteSliceToString(u.Release[:]), ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}
