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

func TestBGP(t *testing.T) { prove(t, lab.BGP).down() }

// What is left of a lab in which everything was killed goes with it, too.
func TestFRR(t *testing.T) {
	f := prove(t, lab.FRR)
	for _, node := range slices.Concat(spines, leaves) {
		f.killDaemons(node)
	}
	f.down()
}

// prove takes a lab through what can happen to a spine.
func prove(t *testing.T, routing lab.Routing) *fabric {
	f := up(t, routing)
	record := func(what string, l loss) {
		proof.Record(t, proof.Result{
			Kind: proof.Fault, Name: "fabric " + string(routing), What: "leaf-spine 4 2: " + what, Packets: l.sent, Lost: uint64(len(l.times)),
		})
	}
	before := f.routes(leaves...)
	for subnet, paths := range before["leaf1"] {
		if want := wantPaths[subnet]; len(paths) != want {
			t.Errorf("leaf1 has %v to %s, want %d paths", paths, subnet, want)
		}
	}
	for _, family := range families {
		f.sharesFlows(family)
	}

	record("all daemons of a spine killed", f.keeps("the daemons of spine1 are killed", func() {
		f.killDaemons("spine1")
		f.awaitSessions(1)
		f.stays(routing, before)
	}))
	record("the daemons started again", f.keeps("spine1's daemons come back", func() { f.weft("lab", "start", "spine1") }))
	f.awaitRoutes(before)

	lost := f.loses("the link from leaf4 to spine1 goes down", func() {
		f.setLink("leaf4", "to-spine1", "down")
		f.awaitPaths(1, "leaf1", "10.4.0.0/24", "2001:db8:4::/64")
	})
	record(fmt.Sprintf("a link from a leaf to a spine goes down: as if nothing had arrived for %.1f ms", ms(lost.blocked())), lost)
	record("the link comes back", f.keeps("the link comes back", func() {
		f.setLink("leaf4", "to-spine1", "up")
		f.awaitRoutes(before)
	}))

	lost = f.loses("spine1 loses its power", func() {
		f.weft("lab", "kill", "spine1")
		f.awaitAllPaths(1)
	})
	record(fmt.Sprintf("a spine loses its power: as if nothing had arrived for %.1f ms", ms(lost.blocked())), lost)

	record("the spine comes back", f.keeps("spine1 comes back", func() { f.weft("lab", "start", "spine1") }))
	f.awaitRoutes(before)
	f.sharesFlows(4)
	f.verified()
	return f
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

// What is left of a lab whose maker was killed while it made it goes, too.
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

// Without FRR nothing is made, and it is said which package has it.
func TestWithoutFRR(t *testing.T) {
	f := none(t)
	o := star.Execute(t, "unshare", "--mount", "sh", "-c", "mount -t tmpfs none /usr/lib/frr && exec \"$@\"", "sh",
		star.Weft, "lab", "up", "leaf-spine", "2", "2", "--routing", "frr", "--prefix", f.prefix)
	o.WantError(t, 1, "FRR is not installed", "apt-get install frr")
	if f.remember(); len(f.netns) != 0 {
		t.Errorf("network namespaces were made: %v", f.netns)
	}
}
