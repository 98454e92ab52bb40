package bpf

import (
	"slices"

	"github.com/cilium/ebpf/asm"
)

// decide makes each 'if r10 == mark goto' a jump, or nothing. That is how a program asks its loader something without a
// register or an instruction: r10, the frame's address, is at hand and never equal. The kernel refuses code that cannot
// be reached, so prune comes next.
func decide(insns asm.Instructions, mark int64, yes bool) {
	for i := range insns {
		ins := &insns[i]
		if ins.OpCode.Class() != asm.JumpClass || ins.OpCode.JumpOp() != asm.JEq || ins.Dst != asm.R10 || ins.Constant != mark {
			continue
		}
		ins.OpCode, ins.Dst, ins.Constant = asm.OpCode(asm.JumpClass).SetJumpOp(asm.Ja), 0, 0
		if !yes {
			ins.Offset = 0
		}
	}
}

// prune removes the instructions that cannot be reached, and jumps to what follows.
func prune(insns asm.Instructions) asm.Instructions {
	targets := jumpTargets(insns)
	keep := reachable(insns, targets)
	for i := len(insns) - 1; i > 0; i-- {
		if isGoto(&insns[i]) && targets[i] > i && !slices.Contains(keep[i+1:targets[i]], true) {
			keep[i] = false
		}
	}
	// Where each instruction will be, in units of 8 bytes: one that goes is where the next one that stays is.
	place := make([]int, len(insns)+1)
	for i := range insns {
		place[i+1] = place[i]
		if keep[i] {
			place[i+1] += int(insns[i].Size() / asm.InstructionSize)
		}
	}
	var kept asm.Instructions
	for i, ins := range insns {
		if !keep[i] {
			continue
		}
		if targets[i] >= 0 {
			ins.Offset = int16(place[targets[i]] - place[i+1])
		}
		kept = append(kept, ins)
	}
	return kept
}

// isJump leaves out calls and the end, which do not go to an offset.
func isJump(ins *asm.Instruction) bool {
	op := ins.OpCode
	return op.Class().IsJump() && op.JumpOp() != asm.Call && op.JumpOp() != asm.Exit
}

func isGoto(ins *asm.Instruction) bool {
	return ins.OpCode.Class() == asm.JumpClass && ins.OpCode.JumpOp() == asm.Ja
}

// jumpTargets returns, for each instruction, the index of the one it may jump to, or -1.
func jumpTargets(insns asm.Instructions) []int {
	index := map[int]int{} // by place
	place := make([]int, len(insns)+1)
	for i := range insns {
		index[place[i]] = i
		place[i+1] = place[i] + int(insns[i].Size()/asm.InstructionSize)
	}
	targets := make([]int, len(insns))
	for i := range insns {
		if targets[i] = -1; isJump(&insns[i]) {
			targets[i] = index[place[i+1]+int(insns[i].Offset)]
		}
	}
	return targets
}

// reachable follows every way from the start of each function.
func reachable(insns asm.Instructions, targets []int) []bool {
	seen := make([]bool, len(insns))
	var todo []int
	for i := range insns {
		if insns[i].Symbol() != "" {
			todo = append(todo, i)
		}
	}
	for len(todo) > 0 {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for i < len(insns) && !seen[i] {
			seen[i] = true
			if targets[i] >= 0 {
				todo = append(todo, targets[i])
			}
			if isGoto(&insns[i]) || insns[i].OpCode.Class() == asm.JumpClass && insns[i].OpCode.JumpOp() == asm.Exit {
				break
			}
			i++
		}
	}
	return seen
}
