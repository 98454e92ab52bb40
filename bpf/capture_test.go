package bpf

import (
	"testing"

	"github.com/cilium/ebpf"
	netbpf "golang.org/x/net/bpf"

	"weft/test/root"
)

// everything is a filter of each instruction that there is.
var everything = []netbpf.Instruction{
	netbpf.LoadAbsolute{Off: 12, Size: 2},
	netbpf.JumpIf{Cond: netbpf.JumpNotEqual, Val: 0x800, SkipTrue: 26},
	netbpf.LoadMemShift{Off: 14},
	netbpf.LoadIndirect{Off: 14, Size: 2},
	netbpf.StoreScratch{Src: netbpf.RegA, N: 15},
	netbpf.LoadConstant{Dst: netbpf.RegX, Val: 40},
	netbpf.LoadConstant{Dst: netbpf.RegA, Val: 7},
	netbpf.ALUOpX{Op: netbpf.ALUOpShiftLeft}, // by 40: nothing is left
	netbpf.JumpIf{Cond: netbpf.JumpNotEqual, Val: 0, SkipTrue: 19},
	netbpf.LoadScratch{Dst: netbpf.RegX, N: 15},
	netbpf.TXA{},
	netbpf.JumpIf{Cond: netbpf.JumpNotEqual, Val: 40000, SkipTrue: 16},
	netbpf.ALUOpConstant{Op: netbpf.ALUOpMod, Val: 7},
	netbpf.TAX{},
	netbpf.LoadConstant{Dst: netbpf.RegA, Val: 0xffffffff},
	netbpf.ALUOpX{Op: netbpf.ALUOpDiv},
	netbpf.ALUOpX{Op: netbpf.ALUOpMul},
	netbpf.JumpIfX{Cond: netbpf.JumpLessThan, SkipTrue: 10},
	netbpf.LoadExtension{Num: netbpf.ExtLen},
	netbpf.JumpIf{Cond: netbpf.JumpLessThan, Val: 60, SkipTrue: 8},
	netbpf.JumpIf{Cond: netbpf.JumpBitsNotSet, Val: 0xffff, SkipTrue: 1},
	netbpf.Jump{Skip: 1},
	netbpf.RetConstant{Val: 0},
	netbpf.LoadAbsolute{Off: 23, Size: 1},
	netbpf.JumpIf{Cond: netbpf.JumpEqual, Val: 17, SkipFalse: 3},
	netbpf.LoadAbsolute{Off: 26, Size: 4},
	netbpf.JumpIf{Cond: netbpf.JumpGreaterThan, Val: 0xc0000000, SkipTrue: 1},
	netbpf.JumpIf{Cond: netbpf.JumpGreaterOrEqual, Val: 0x0a000000, SkipTrue: 1},
	netbpf.RetConstant{Val: 0},
	netbpf.RetConstant{Val: 0xffff},
}

// captures makes what programs that capture are loaded on.
func captures(t *testing.T, room int) (*Image, *State, *Capture) {
	t.Helper()
	root.Require(t)
	im, err := NewImage(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { im.Close() })
	s, err := NewState(16, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	c, err := NewCapture(room)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return im, s, c
}

func TestLoadCapture(t *testing.T) {
	im, s, c := captures(t, 1<<16)
	with := c.With([Selections][]netbpf.Instruction{3: everything, 7: everything})
	p, err := Load(im, s, Features{Capture: with, VLANs: true, Partial: true})
	if err != nil {
		t.Fatalf("%+v", err)
	}
	p.Close()
	if p, err = LoadTC(im, s, Features{Capture: with, VLANs: true}); err != nil {
		t.Fatalf("%+v", err)
	}
	p.Close()
}

// TestCaptureGoesOn: what was taken and did not reach its reader goes to a packet that comes later, also when nothing was
// left meanwhile, whichever engine has found that out.
func TestCaptureGoesOn(t *testing.T) {
	im, s, c := captures(t, 4096)
	all := []netbpf.Instruction{netbpf.RetConstant{Val: 1}}
	p, err := Load(im, s, Features{Capture: c.With([Selections][]netbpf.Instruction{2: all})})
	if err != nil {
		t.Fatalf("%+v", err)
	}
	defer p.Close()
	packets := func(n int) {
		t.Helper()
		if _, err := p.Run(&ebpf.RunOptions{Data: make([]byte, 60), Repeat: uint32(n)}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(left int64, lost uint64, armed bool) {
		t.Helper()
		if got := c.all.Selection[2].Left; got != left || c.Lost(2) != lost || c.Armed() == 1<<2 != armed {
			t.Errorf("%d left, %d lost, armed %#x; want %d left, %d lost, armed %t", got, c.Lost(2), c.Armed(), left, lost, armed)
		}
	}
	c.Arm(2, Selection{Reasons: [2]uint64{^uint64(0), ^uint64(0)}, Snap: 60, Left: 2})
	packets(5)
	want(0, 0, false)
	if c.Take(2) {
		t.Error("one is taken of none")
	}
	c.Lose(2)
	want(1, 1, true)
	packets(5)
	want(0, 1, false)
	c.Disarm(2)
	c.Arm(2, Selection{Reasons: [2]uint64{^uint64(0), ^uint64(0)}, Snap: 60, Left: 1000})
	packets(500) // more than the ring has room for
	if left, lost := c.all.Selection[2].Left, c.Lost(2); lost < 100 || uint64(left) != 500+lost || c.Armed() != 1<<2 {
		t.Errorf("%d left, %d lost, armed %#x", left, lost, c.Armed())
	}
}
