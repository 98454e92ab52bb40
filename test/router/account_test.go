package router

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"weft/test/proof"
	"weft/test/star"
)

// Somebody puts another program in the place of weft's at a port. Linux forwards,
// nobody counts: weft status tells it, and what it says is what helps.
func TestUnaccounted(t *testing.T) {
	n := star.New(t)
	n.Run()
	n.Resolve()
	p := n.Path(2)
	p.Crosses(p.Packet("10.2.0.2"))
	if o := n.Weft("status"); o.Code != 0 || !strings.Contains(o.Stdout, " 0 unaccounted") {
		t.Errorf("exit code %d before\n%s", o.Code, o.Stdout)
	}
	before := n.Accounts()
	id := replaceProgram(n, "to-h1")
	counted := n.Accounts() // what hosts say unasked, too
	var port star.Port
	n.Until("packets are unaccounted", func() bool {
		p.Arrives(p.Packet("10.2.0.2"))
		port = n.Ports()["to-h1"]
		return port.Unaccounted > 0
	})
	now := n.Accounts()[port.Ifindex]
	missed, more := now.Linux-before[port.Ifindex].Linux, now.Weft-counted[port.Ifindex].Weft
	if port.Unaccounted > missed || more != 0 {
		t.Errorf("%d packets unaccounted: %d came in, and weft has counted %d", port.Unaccounted, missed, more)
	}
	why := fmt.Sprintf("program %d is there in the place of weft's", id)
	o := n.Weft("status")
	for _, words := range []string{"!! to-h1: ", "UNACCOUNTED", why, "'weft stop', then 'weft run'"} {
		if o.Code != 3 || !strings.Contains(o.Stdout, words) {
			t.Errorf("weft status: exit code %d, want 3, and %q in\n%s", o.Code, words, o.Stdout)
		}
	}
	if o := n.Weft("drops", "-i", "0"); !strings.Contains(o.Stdout, "unaccounted") {
		t.Errorf("weft drops:\n%s", o.Stdout)
	}
	if o := n.Weft("stop"); o.Code != 0 {
		t.Errorf("weft stop: exit code %d\n%s", o.Code, o.Stderr)
	}
	n.Run()
	p.Crosses(p.Packet("10.2.0.2"))
	if o := n.Weft("status"); o.Code != 0 {
		t.Errorf("exit code %d after the remedy\n%s", o.Code, o.Stdout)
	}
	proof.Record(t, proof.Result{
		Kind: proof.Fault, Name: "unaccounted", What: "another program in the place of weft's: told with the remedy, every packet arrives", Count: 1, Packets: missed,
	})
}

// replaceProgram makes a program that counts nothing that of a port.
func replaceProgram(n *star.Network, dev string) (id ebpf.ProgramID) {
	n.Helper()
	number := n.Ports()[dev].Number
	n.Pins(func(dir string) {
		pass, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Name: "stranger", Type: ebpf.XDP, AttachType: ebpf.AttachXDP, License: "GPL",
			Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}, // XDP_PASS
		})
		if err != nil {
			n.Fatal(err)
		}
		defer pass.Close()
		l, err := link.LoadPinnedLink(filepath.Join(dir, fmt.Sprint("link_", number)), nil)
		if err != nil {
			n.Fatal(err)
		}
		info, err := pass.Info()
		if err = errors.Join(err, l.Update(pass), l.Close()); err != nil {
			n.Fatal(err)
		}
		id, _ = info.ID()
	})
	return id
}
