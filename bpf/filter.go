package bpf

import (
	"fmt"

	"github.com/cilium/ebpf/asm"
	netbpf "golang.org/x/net/bpf"
)

// Classic BPF made a function of BPF: capture_filter of capture.h. What is loaded from a frame is compared with
// its end first; beyond it the filter says no, as classic BPF wants it.

// Registers and stack of the function.
const (
	filterFrame = asm.R6
	filterEnd   = asm.R7
	filterA     = asm.R8 // of classic BPF; the upper 32 bits are 0
	filterX     = asm.R9

	filterLength  = -8  // of the frame
	filterPassed  = -16 // selections so far
	filterScratch = -24 // of classic BPF; downwards

	// farMost bounds what is added to the frame's address, so that the verifier can tell where it leads.
	farMost = 0x7fff
)

// filterCode makes the function for selections whose filters are not nil.
func filterCode(filters [Selections][]netbpf.Instruction) (asm.Instructions, error) {
	all := asm.Instructions{
		asm.Mov.Reg(filterFrame, asm.R1),
		asm.Mov.Reg(filterEnd, asm.R2),
		asm.StoreMem(asm.R10, filterLength, asm.R3, asm.DWord),
		asm.Mov.Imm(asm.R1, 0),
		asm.StoreMem(asm.R10, filterPassed, asm.R1, asm.DWord),
	}
	for i, code := range filters {
		if code == nil {
			continue
		}
		one, err := filterOf(i, code)
		if err != nil {
			return nil, fmt.Errorf("filter of selection %d: %w", i, err)
		}
		all = append(all, one...)
	}
	return append(all, asm.LoadMem(asm.R0, asm.R10, filterPassed, asm.DWord), asm.Return()), nil
}

// translation is one filter on its way.
type translation struct {
	selection int
	out       asm.Instructions
	pending   string // label of the next instruction
}

func (t *translation) label(at int) string { return fmt.Sprintf("filter_%d_%d", t.selection, at) }
func (t *translation) passes() string      { return fmt.Sprintf("filter_%d_passes", t.selection) }
func (t *translation) ends() string        { return fmt.Sprintf("filter_%d_ends", t.selection) }
func (t *translation) add(all ...asm.Instruction) {
	for _, ins := range all {
		if t.pending != "" {
			ins = ins.WithSymbol(t.pending)
			t.pending = ""
		}
		t.out = append(t.out, ins)
	}
}

func filterOf(selection int, code []netbpf.Instruction) (asm.Instructions, error) {
	t := &translation{selection: selection}
	t.add(asm.Mov.Imm(filterA, 0), asm.Mov.Imm(filterX, 0))
	targets := targetsOf(code)
	for at, ins := range code {
		if targets[at] {
			t.pending = t.label(at)
		}
		if err := t.instruction(at, ins); err != nil {
			return nil, err
		}
	}
	t.pending = t.passes()
	t.add(
		asm.LoadMem(asm.R1, asm.R10, filterPassed, asm.DWord),
		asm.Or.Imm(asm.R1, 1<<selection),
		asm.StoreMem(asm.R10, filterPassed, asm.R1, asm.DWord),
	)
	t.pending = t.ends()
	t.add(asm.Mov.Imm(asm.R1, 0))
	return t.out, nil
}

// targetsOf tells which instructions are jumped to.
func targetsOf(code []netbpf.Instruction) map[int]bool {
	all := map[int]bool{}
	for at, ins := range code {
		switch j := ins.(type) {
		case netbpf.Jump:
			all[at+1+int(j.Skip)] = true
		case netbpf.JumpIf:
			all[at+1+int(j.SkipTrue)], all[at+1+int(j.SkipFalse)] = true, true
		case netbpf.JumpIfX:
			all[at+1+int(j.SkipTrue)], all[at+1+int(j.SkipFalse)] = true, true
		}
	}
	return all
}

func (t *translation) instruction(at int, ins netbpf.Instruction) error {
	switch ins := ins.(type) {
	case netbpf.LoadConstant:
		t.add(asm.Mov.Imm32(registerOf(ins.Dst), int32(ins.Val)))
	case netbpf.LoadAbsolute:
		t.load(nil, ins.Off, ins.Size)
	case netbpf.LoadIndirect:
		x := filterX
		t.load(&x, ins.Off, ins.Size)
	case netbpf.LoadMemShift:
		t.reach(nil, ins.Off, 1)
		t.add(asm.LoadMem(filterX, asm.R1, int16(ins.Off), asm.Byte), asm.And.Imm32(filterX, 15), asm.LSh.Imm32(filterX, 2))
	case netbpf.LoadExtension:
		if ins.Num != netbpf.ExtLen {
			return fmt.Errorf("%v: there is no such extension here", ins)
		}
		t.add(asm.LoadMem(filterA, asm.R10, filterLength, asm.DWord))
	case netbpf.LoadScratch:
		t.add(asm.LoadMem(registerOf(ins.Dst), asm.R10, scratchAt(ins.N), asm.DWord))
	case netbpf.StoreScratch:
		t.add(asm.StoreMem(asm.R10, scratchAt(ins.N), registerOf(ins.Src), asm.DWord))
	case netbpf.TAX:
		t.add(asm.Mov.Reg32(filterX, filterA))
	case netbpf.TXA:
		t.add(asm.Mov.Reg32(filterA, filterX))
	case netbpf.ALUOpConstant:
		t.add(operations[ins.Op].Imm32(filterA, int32(ins.Val)))
	case netbpf.ALUOpX:
		t.operate(ins.Op)
	case netbpf.Jump:
		t.add(asm.Ja.Label(t.label(at + 1 + int(ins.Skip))))
	case netbpf.JumpIf:
		op, yes, no := t.jump(at, ins.Cond, ins.SkipTrue, ins.SkipFalse)
		t.add(op.Imm32(filterA, int32(ins.Val), yes), asm.Ja.Label(no))
	case netbpf.JumpIfX:
		op, yes, no := t.jump(at, ins.Cond, ins.SkipTrue, ins.SkipFalse)
		t.add(op.Reg32(filterA, filterX, yes), asm.Ja.Label(no))
	case netbpf.RetConstant:
		to := t.ends()
		if ins.Val != 0 {
			to = t.passes()
		}
		t.add(asm.Ja.Label(to))
	default:
		return fmt.Errorf("%v: there is no such instruction here", ins)
	}
	return nil
}

func registerOf(r netbpf.Register) asm.Register {
	if r == netbpf.RegX {
		return filterX
	}
	return filterA
}

func scratchAt(n int) int16 { return int16(filterScratch - 8*n) }

// reach leaves in R1 an address of which so many bytes at off are in the frame.
func (t *translation) reach(x *asm.Register, off uint32, size int) {
	if off > farMost {
		t.add(asm.Ja.Label(t.ends()))
		off = 0 // the verifier does not come here
	}
	t.add(asm.Mov.Reg(asm.R1, filterFrame))
	if x != nil {
		t.add(
			asm.Mov.Reg32(asm.R2, *x),
			asm.JGT.Imm(asm.R2, farMost, t.ends()),
			asm.Add.Reg(asm.R1, asm.R2),
		)
	}
	t.add(
		asm.Mov.Reg(asm.R2, asm.R1),
		asm.Add.Imm(asm.R2, int32(off)+int32(size)),
		asm.JGT.Reg(asm.R2, filterEnd, t.ends()),
	)
}

func (t *translation) load(x *asm.Register, off uint32, size int) {
	sizes := map[int]asm.Size{1: asm.Byte, 2: asm.Half, 4: asm.Word}
	t.reach(x, off, size)
	t.add(asm.LoadMem(filterA, asm.R1, int16(off), sizes[size]))
	if size > 1 {
		t.add(asm.HostTo(asm.BE, filterA, sizes[size]))
	}
}

var operations = map[netbpf.ALUOp]asm.ALUOp{
	netbpf.ALUOpAdd: asm.Add, netbpf.ALUOpSub: asm.Sub, netbpf.ALUOpMul: asm.Mul, netbpf.ALUOpDiv: asm.Div, netbpf.ALUOpMod: asm.Mod,
	netbpf.ALUOpOr: asm.Or, netbpf.ALUOpAnd: asm.And, netbpf.ALUOpXor: asm.Xor,
	netbpf.ALUOpShiftLeft: asm.LSh, netbpf.ALUOpShiftRight: asm.RSh,
}

// operate is for what BPF does otherwise than classic BPF: division by 0 ends a filter, and shifts by more than 31
// bits leave nothing.
func (t *translation) operate(op netbpf.ALUOp) {
	switch op {
	case netbpf.ALUOpDiv, netbpf.ALUOpMod:
		t.add(asm.JEq.Imm32(filterX, 0, t.ends()))
	case netbpf.ALUOpShiftLeft, netbpf.ALUOpShiftRight:
		// As 64 bits: what is shifted out on the left is cut off.
		done := fmt.Sprintf("filter_%d_shift_%d", t.selection, len(t.out))
		t.add(
			asm.JLT.Imm32(filterX, 32, done),
			asm.Mov.Imm32(filterA, 0),
			asm.Mov.Imm32(filterX, 0),
		)
		t.pending = done
	}
	t.add(operations[op].Reg32(filterA, filterX))
}

// jump returns the comparison and both ways.
func (t *translation) jump(at int, c netbpf.JumpTest, skipTrue, skipFalse uint8) (op asm.JumpOp, yes, no string) {
	ops := map[netbpf.JumpTest]asm.JumpOp{
		netbpf.JumpEqual: asm.JEq, netbpf.JumpNotEqual: asm.JNE, netbpf.JumpGreaterThan: asm.JGT, netbpf.JumpLessThan: asm.JLT,
		netbpf.JumpGreaterOrEqual: asm.JGE, netbpf.JumpLessOrEqual: asm.JLE, netbpf.JumpBitsSet: asm.JSet, netbpf.JumpBitsNotSet: asm.JSet,
	}
	yes, no = t.label(at+1+int(skipTrue)), t.label(at+1+int(skipFalse))
	if c == netbpf.JumpBitsNotSet {
		yes, no = no, yes
	}
	return ops[c], yes, no
}
