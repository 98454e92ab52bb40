package bpf

import (
	"testing"

	"github.com/cilium/ebpf/asm"
)

const testMark = 0x1234

// program: r0 = 1; if r10 == mark goto traced; r0 = 2; if r0 == 2 goto end; r0 = 3; goto end; traced: r1 = 64 bits; r0 = 4; end: exit
func program() asm.Instructions {
	mark := asm.Instruction{OpCode: asm.JEq.Op(asm.ImmSource), Dst: asm.R10, Constant: testMark, Offset: 4}
	return asm.Instructions{
		asm.Mov.Imm(asm.R0, 1).WithSymbol("program"),
		mark,
		asm.Mov.Imm(asm.R0, 2),
		{OpCode: asm.JEq.Op(asm.ImmSource), Dst: asm.R0, Constant: 2, Offset: 5},
		asm.Mov.Imm(asm.R0, 3),
		{OpCode: asm.Ja.Op(asm.ImmSource), Offset: 3},
		asm.LoadImm(asm.R1, 1<<40, asm.DWord), // counts as two
		asm.Mov.Imm(asm.R0, 4),
		asm.Return(),
	}
}

// path runs what little program has.
func path(t *testing.T, insns asm.Instructions) (r0 int64) {
	t.Helper()
	targets := jumpTargets(insns)
	for i := 0; ; {
		ins := insns[i]
		switch {
		case ins.OpCode.JumpOp() == asm.Exit && ins.OpCode.Class() == asm.JumpClass:
			return r0
		case isGoto(&ins), isJump(&ins) && ins.Dst == asm.R0 && r0 == ins.Constant:
			i = targets[i]
			continue
		case isJump(&ins) && ins.Dst == asm.R10:
			t.Fatal("the question is still there")
		case ins.Dst == asm.R0:
			r0 = ins.Constant
		}
		i++
	}
}

func TestPrune(t *testing.T) {
	for _, c := range []struct {
		yes    bool
		r0     int64
		length int
	}{
		{true, 4, 4},  // r0 = 1; r1; r0 = 4; exit
		{false, 2, 5}, // r0 = 1; r0 = 2; if; r0 = 3; exit: what leads to the end goes there by itself
	} {
		insns := program()
		decide(insns, testMark, c.yes)
		insns = prune(insns)
		if r0 := path(t, insns); r0 != c.r0 || len(insns) != c.length {
			t.Errorf("traced %v: r0 = %d by %d instructions, want %d by %d:\n%v", c.yes, r0, len(insns), c.r0, c.length, insns)
		}
		if insns[0].Symbol() != "program" {
			t.Errorf("traced %v: the program lost its name", c.yes)
		}
	}
}

func TestPruneKeepsAll(t *testing.T) {
	insns := program()
	if got := prune(insns); len(got) != len(program()) {
		t.Errorf("%d instructions of %d are left:\n%v", len(got), len(insns), got)
	}
}
