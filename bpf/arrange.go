package bpf

import "github.com/cilium/ebpf/asm"

// decide makes each 'if r10 == mark goto' a jump, or nothing. That is how a program asks its loader something without a
// register or an instruction: r10, the frame's address, is at hand and never equal. The kernel refuses code that cannot
// be reached, so arrange comes next.
func decide(insns asm.Instructions, mark int64, yes bool) {
	for i := range insns {
		ins := &insns[i]
		if !isQuestion(ins, mark) {
			continue
		}
		ins.OpCode, ins.Dst, ins.Constant = asm.OpCode(asm.JumpClass).SetJumpOp(asm.Ja), 0, 0
		if !yes {
			ins.Offset = 0
		}
	}
}

func isQuestion(ins *asm.Instruction, mark int64) bool {
	return ins.OpCode.Class() == asm.JumpClass && ins.OpCode.JumpOp() == asm.JEq && ins.Dst == asm.R10 && ins.Constant == mark
}

// block is instructions that are executed one after the other, and where it goes on: by its last one, if that is a
// jump, or to what follows. -1: nowhere.
type block struct {
	insns       asm.Instructions
	jump, falls int
	cold        bool // most packets do not get there
	place       int  // in units of 8 bytes; -1 until it has one
}

// arrange puts the instructions of a function into another order, in which the way of most packets is one after the other,
// with few jumps that are taken: BPF's compiler leaves them as the source has them. Blocks with the mark, and those that
// lead to no others or from no others, come last. What cannot be reached goes, and so does the mark.
func arrange(insns asm.Instructions, mark int64) asm.Instructions {
	blocks := split(insns, mark)
	spread(blocks)
	order := trace(blocks)
	for i, b := range order {
		next := -1
		if i+1 < len(order) {
			next = order[i+1]
		}
		end(&blocks[b], next)
	}
	place := 0
	for _, b := range order {
		blocks[b].place = place
		for i := range blocks[b].insns {
			place += width(&blocks[b].insns[i])
		}
	}
	var all asm.Instructions
	place = 0
	for _, b := range order {
		for _, ins := range blocks[b].insns {
			place += width(&ins)
			if isJump(&ins) {
				ins.Offset = int16(blocks[ins.Offset].place - place)
			}
			all = append(all, ins)
		}
	}
	return all
}

// arrangeMain arranges the first function of a program. The others, which it calls, stay as they are: of them nothing is asked.
func arrangeMain(insns asm.Instructions, mark int64) asm.Instructions {
	for i := 1; i < len(insns); i++ {
		if insns[i].Symbol() != "" {
			return append(arrange(insns[:i], mark), insns[i:]...)
		}
	}
	return arrange(insns, mark)
}

// split returns the blocks of a function, in their order.
func split(insns asm.Instructions, mark int64) []block {
	targets := jumpTargets(insns)
	starts := make([]bool, len(insns)+1)
	starts[0] = true
	for i, t := range targets {
		if t >= 0 {
			starts[t] = true
		}
		starts[i+1] = starts[i+1] || t >= 0 || isExit(&insns[i])
	}
	var blocks []block
	number := make([]int, len(insns)) // of the block that an instruction is in
	for i := range insns {
		if starts[i] {
			blocks = append(blocks, block{jump: -1, falls: len(blocks) + 1, place: -1})
		}
		number[i] = len(blocks) - 1
	}
	for i, ins := range insns {
		b := &blocks[number[i]]
		switch {
		case isQuestion(&ins, mark):
			b.cold = true
			continue
		case isExit(&ins):
			b.falls = -1
		case isGoto(&ins):
			b.falls = number[targets[i]]
			continue
		case targets[i] >= 0:
			b.jump = number[targets[i]]
		}
		b.insns = append(b.insns, ins)
	}
	return blocks
}

// spread makes those cold that lead only to cold ones, and those that only cold ones lead to.
func spread(blocks []block) {
	for again := true; again; {
		again = false
		warm := make([]bool, len(blocks)) // a block that is not cold leads there
		warm[0] = true
		for i := range blocks {
			b := &blocks[i]
			for _, next := range []int{b.jump, b.falls} {
				if next >= 0 && !b.cold {
					warm[next] = true
				}
			}
		}
		for i := range blocks {
			b := &blocks[i]
			if b.cold {
				continue
			}
			ends := b.jump < 0 && b.falls < 0
			if !warm[i] || !ends && (b.jump < 0 || blocks[b.jump].cold) && (b.falls < 0 || blocks[b.falls].cold) {
				b.cold, again = true, true
			}
		}
	}
}

// trace returns the numbers of the blocks that can be reached in their new order: from the first on as most packets go,
// and then from each of those that were not taken.
func trace(blocks []block) (order []int) {
	seen := make([]bool, len(blocks))
	var later, last []int
	add := func(b int) {
		if b >= 0 && blocks[b].cold {
			last = append(last, b)
		} else if b >= 0 {
			later = append(later, b)
		}
	}
	for b := 0; b >= 0; {
		for b >= 0 && !seen[b] {
			seen[b] = true
			order = append(order, b)
			next, other := blocks[b].falls, blocks[b].jump
			if other >= 0 && !blocks[other].cold && (blocks[next].cold || seen[next]) && inverse(&blocks[b]) != 0 {
				next, other = other, next
			}
			add(other)
			b = next
		}
		switch {
		case len(later) > 0:
			b, later = later[0], later[1:]
		case len(last) > 0:
			b, last = last[0], last[1:]
		default:
			b = -1
		}
	}
	return order
}

// end gives a block the jumps that it needs in front of next. Their Offset is the number of the block they go to.
func end(b *block, next int) {
	if b.jump >= 0 {
		jump := &b.insns[len(b.insns)-1]
		if op := inverse(b); b.jump == next && op != 0 {
			jump.OpCode = jump.OpCode.SetJumpOp(op)
			b.jump, b.falls = b.falls, b.jump
		}
		jump.Offset = int16(b.jump)
	}
	if b.falls >= 0 && b.falls != next {
		b.insns = append(b.insns, asm.Instruction{OpCode: asm.OpCode(asm.JumpClass).SetJumpOp(asm.Ja), Offset: int16(b.falls)})
	}
}

var inverses = map[asm.JumpOp]asm.JumpOp{
	asm.JEq: asm.JNE, asm.JGT: asm.JLE, asm.JGE: asm.JLT, asm.JSGT: asm.JSLE, asm.JSGE: asm.JSLT,
	asm.JNE: asm.JEq, asm.JLE: asm.JGT, asm.JLT: asm.JGE, asm.JSLE: asm.JSGT, asm.JSLT: asm.JSGE,
}

// inverse returns the comparison that holds when that of the block's last instruction does not; 0: there is none.
func inverse(b *block) asm.JumpOp {
	return inverses[b.insns[len(b.insns)-1].OpCode.JumpOp()]
}

// isJump leaves out calls and the end, which do not go to an offset.
func isJump(ins *asm.Instruction) bool {
	op := ins.OpCode
	return op.Class().IsJump() && op.JumpOp() != asm.Call && op.JumpOp() != asm.Exit
}

func isGoto(ins *asm.Instruction) bool {
	return ins.OpCode.Class() == asm.JumpClass && ins.OpCode.JumpOp() == asm.Ja
}

func isExit(ins *asm.Instruction) bool {
	return ins.OpCode.Class() == asm.JumpClass && ins.OpCode.JumpOp() == asm.Exit
}

// width is in units of 8 bytes.
func width(ins *asm.Instruction) int { return int(ins.Size() / asm.InstructionSize) }

// jumpTargets returns, for each instruction, the index of the one it may jump to, or -1.
func jumpTargets(insns asm.Instructions) []int {
	index := map[int]int{} // by place
	place := make([]int, len(insns)+1)
	for i := range insns {
		index[place[i]] = i
		place[i+1] = place[i] + width(&insns[i])
	}
	targets := make([]int, len(insns))
	for i := range insns {
		if targets[i] = -1; isJump(&insns[i]) {
			targets[i] = index[place[i+1]+int(insns[i].Offset)]
		}
	}
	return targets
}
