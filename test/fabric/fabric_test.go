package fabric

import (
	"bufio"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"weft/test/lab"
	"weft/test/proof"
	"weft/test/star"
)

func TestMain(m *testing.M) { star.Main(m) }

var spines, leaves = []string{"spine1", "spine2"}, []string{"leaf1", "leaf2", "leaf3", "leaf4"}

func TestFRR(t *testing.T) { prove(t, lab.FRR, "FRR's BGP") }

func prove(t *testing.T, routing lab.Routing, speaker string) {
	f := up(t, routing)
	before := f.routes(leaves...)
	for subnet, paths := range before["leaf1"] {
		if want := wantPaths[subnet]; len(paths) != want {
			t.Errorf("leaf1 has %v to %s, want %d paths", paths, subnet, want)
		}
	}
	for _, family := range families {
		f.sharesFlows(family)
	}

	sent := f.keeps("the daemons of spine1 are killed", func() {
		if err := lab.KillProcesses(f.lab.Namespace("spine1")); err != nil {
			t.Fatal(err)
		}
		f.awaitPaths(1)
	})
	sent += f.keeps("spine1's daemons come back", func() { f.weft("lab", "start", "spine1") })
	proof.Record(t, proof.Result{
		Kind: proof.Fault, Name: "R40", What: speaker + ", leaf-spine 4 2: all daemons of a spine killed, and started again", Packets: sent,
	})

	lost := f.loses("spine1 loses its power", func() {
		f.weft("lab", "kill", "spine1")
		f.awaitPaths(1)
	})
	proof.Record(t, proof.Result{
		Kind: proof.Fault, Name: "R41", Packets: lost.sent, Lost: uint64(len(lost.times)),
		What: fmt.Sprintf("%s, leaf-spine 4 2: a spine without power: %.1f ms of all traffic lost", speaker, ms(lost.blocked())),
	})
	sent = f.keeps("spine1 comes back", func() { f.weft("lab", "start", "spine1") })
	proof.Record(t, proof.Result{
		Kind: proof.Fault, Name: "R42", What: speaker + ", leaf-spine 4 2: the spine comes back", Packets: sent,
	})
	f.awaitRoutes(before)
	f.sharesFlows(4)
	f.verified()
	f.down()
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// wantPaths are those of leaf1.
var wantPaths = func() map[string]int {
	all := map[string]int{"10.1.0.0/24": 1, "2001:db8:1::/64": 1}
	for i := 2; i <= len(leaves); i++ {
		all[fmt.Sprintf("10.%d.0.0/24", i)] = len(spines)
		all[fmt.Sprintf("2001:db8:%d::/64", i)] = len(spines)
	}
	return all
}()

// What is left of a lab in which everything was killed goes with it, too.
func TestDownAfterKills(t *testing.T) {
	f := up(t, lab.FRR)
	for _, node := range slices.Concat(spines, leaves) {
		if err := lab.KillProcesses(f.lab.Namespace(node)); err != nil {
			t.Fatal(err)
		}
	}
	f.down()
}

// So does what is left of a lab whose maker was killed while it made it.
func TestDownAfterUpIsKilled(t *testing.T) {
	f := none(t)
	cmd := exec.Command(star.Weft, "lab", "up", "leaf-spine", "2", "2", "--routing", "frr", "--prefix", f.prefix)
	said, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(said); lines.Scan(); {
		if strings.Contains(lines.Text(), "starting FRR") {
			break
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	f.remember()
	if len(f.netns) != 6 {
		t.Errorf("%d network namespaces are there, want 6", len(f.netns))
	}
	f.down()
}
