package bpf

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cilium/ebpf/asm"
)

const (
	testMark = 0x1234
	testCold = 0x5678
)

func question(mark int64, offset int16) asm.Instruction {
	return asm.Instruction{OpCode: asm.JEq.Op(asm.ImmSource), Dst: asm.R10, Constant: mark, Offset: offset}
}

func jump(op asm.JumpOp, constant int64, offset int16) asm.Instruction {
	return asm.Instruction{OpCode: op.Op(asm.ImmSource), Dst: asm.R0, Constant: constant, Offset: offset}
}

// program: r0 = 1; if r10 == mark goto traced; r0 = 2; if r0 == 2 goto end; r0 = 3; goto end; traced: r1 = 64 bits; r0 = 4; end: exit
func program() asm.Instructions {
	return asm.Instructions{
		asm.Mov.Imm(asm.R0, 1).WithSymbol("program"),
		question(testMark, 4),
		asm.Mov.Imm(asm.R0, 2),
		jump(asm.JEq, 2, 5),
		asm.Mov.Imm(asm.R0, 3),
		{OpCode: asm.Ja.Op(asm.ImmSource), Offset: 3},
		asm.LoadImm(asm.R1, 1<<40, asm.DWord), // counts as two
		asm.Mov.Imm(asm.R0, 4),
		asm.Return(),
	}
}

// path runs what little the programs have, and returns the values that r0 had and how many jumps were taken.
func path(t *testing.T, insns asm.Instructions, r0 int64) (values []int64, taken int) {
	t.Helper()
	targets := jumpTargets(insns)
	for i := 0; len(values) < 1000; {
		ins := insns[i]
		op := ins.OpCode.JumpOp()
		switch {
		case isExit(&ins):
			return values, taken
		case isJump(&ins) && ins.Dst == asm.R10:
			t.Fatal("the question is still there")
		case isGoto(&ins), isJump(&ins) && (op == asm.JEq && r0 == ins.Constant || op == asm.JNE && r0 != ins.Constant ||
			op == asm.JGT && r0 > ins.Constant || op == asm.JLE && r0 <= ins.Constant || op == asm.JSet && r0&ins.Constant != 0):
			i = targets[i]
			taken++
			continue
		case ins.Dst == asm.R0 && !isJump(&ins):
			if ins.OpCode.ALUOp() == asm.Add {
				r0 += ins.Constant
			} else {
				r0 = ins.Constant
			}
			values = append(values, r0)
		}
		i++
	}
	t.Fatal("the program does not end")
	return nil, 0
}

func TestArrangeRemoves(t *testing.T) {
	for _, c := range []struct {
		yes    bool
		values string
		length int
	}{
		{true, "[1 4]", 4},  // r0 = 1; r1; r0 = 4; exit
		{false, "[1 2]", 5}, // r0 = 1; r0 = 2; if; r0 = 3; exit
	} {
		insns := program()
		decide(insns, testMark, c.yes)
		insns = arrange(insns, testCold)
		if values, _ := path(t, insns, 0); fmt.Sprint(values) != c.values || len(insns) != c.length {
			t.Errorf("traced %v: r0 = %v by %d instructions, want %s by %d:\n%v", c.yes, values, len(insns), c.values, c.length, insns)
		}
		if insns[0].Symbol() != "program" {
			t.Errorf("traced %v: the program lost its name", c.yes)
		}
	}
}

// What is marked, and what only it leads to, comes last: the way of other packets has no jump that is taken.
func TestArrangeOrders(t *testing.T) {
	insns := asm.Instructions{
		asm.Add.Imm(asm.R0, 1).WithSymbol("program"),
		jump(asm.JGT, 10, 5), // most go there
		question(testCold, 0),
		asm.Mov.Imm(asm.R0, 7),
		jump(asm.JEq, 3, 1),
		asm.Mov.Imm(asm.R0, 8),
		{OpCode: asm.Ja.Op(asm.ImmSource), Offset: 2}, // to the end
		jump(asm.JSet, 64, 1),                         // has no inverse
		asm.Mov.Imm(asm.R0, 9),
		asm.Return(),
	}
	got := arrange(insns, testCold)
	for _, c := range []struct {
		r0     int64
		values string
		taken  int
	}{
		{20, "[21 9]", 0}, {63, "[64]", 1}, {2, "[3 7 8]", 2},
	} {
		if values, taken := path(t, got, c.r0); fmt.Sprint(values) != c.values || taken != c.taken {
			t.Errorf("from %d: r0 = %v and %d jumps taken, want %s and %d:\n%v", c.r0, values, taken, c.values, c.taken, got)
		}
	}
}

// TestArrangeKeeps has programs at random do the same before and after.
func TestArrangeKeeps(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	ops := []asm.JumpOp{asm.JEq, asm.JNE, asm.JGT, asm.JLE, asm.JSet, asm.Ja}
	for range 2000 {
		const length = 40
		insns := make(asm.Instructions, length)
		for i := range insns {
			switch n := r.IntN(10); {
			case i == length-1 || n == 0:
				insns[i] = asm.Return()
			case n < 4: // forward, so that it ends
				insns[i] = jump(ops[r.IntN(len(ops))], r.Int64N(1<<6), int16(r.IntN(length-1-i)))
			case n == 4:
				insns[i] = question(testCold, 0)
			default:
				insns[i] = asm.Add.Imm(asm.R0, int32(i))
			}
		}
		insns[0] = asm.Add.Imm(asm.R0, 0).WithSymbol("program")
		plain := append(asm.Instructions{}, insns...)
		decide(plain, testCold, false)
		got := arrange(insns, testCold)
		for range 10 {
			r0 := r.Int64N(1 << 8)
			want, _ := path(t, plain, r0)
			if values, _ := path(t, got, r0); fmt.Sprint(values) != fmt.Sprint(want) {
				t.Fatalf("from %d: r0 = %v, want %v\nbefore:\n%v\nafter:\n%v", r0, values, want, insns, got)
			}
		}
	}
}
