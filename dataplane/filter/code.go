package filter

import (
	"errors"

	"golang.org/x/net/bpf"
)

// Instructions are made in the order in which they run, and all jumps go forward. Where they
// go to is filled in at the end.

type label int

const (
	accept label = iota
	reject
	firstLabel
)

// assembly is instructions on their way.
type assembly struct {
	lines  []line
	places []int // of labels, in lines
	spill  int   // of scratch memory in use
	spills bool  // more than there is
}

type line struct {
	ins     bpf.Instruction // bpf.JumpIf: its skips are not filled in
	yes, no label
	long    bool // its labels are too far away for it
}

// instructionsMost is what the kernel takes of classic BPF.
const instructionsMost = 4096

var (
	errLong = errors.New("it needs more instructions than there may be")
	errDeep = errors.New("its arithmetic is nested too deep")
)

// compile makes a program of a condition.
func compile(c condition) ([]bpf.Instruction, error) {
	a := &assembly{places: make([]int, firstLabel)}
	c.emit(a, accept, reject)
	a.place(accept)
	a.add(bpf.RetConstant{Val: 1})
	a.place(reject)
	a.add(bpf.RetConstant{Val: 0})
	if a.spills {
		return nil, errDeep
	}
	code := a.assemble()
	if len(code) > instructionsMost {
		return nil, errLong
	}
	return code, nil
}

func (a *assembly) add(all ...bpf.Instruction) {
	for _, ins := range all {
		a.lines = append(a.lines, line{ins: ins})
	}
}

// test ends a condition: it compares what is loaded.
func (a *assembly) test(c bpf.JumpTest, with uint32, yes, no label) {
	a.lines = append(a.lines, line{ins: bpf.JumpIf{Cond: c, Val: with}, yes: yes, no: no})
}

// testX compares it with X.
func (a *assembly) testX(c bpf.JumpTest, yes, no label) {
	a.lines = append(a.lines, line{ins: bpf.JumpIfX{Cond: c}, yes: yes, no: no})
}

func (a *assembly) label() label {
	a.places = append(a.places, 0)
	return label(len(a.places) - 1)
}

// place says that a label is here.
func (a *assembly) place(l label) { a.places[l] = len(a.lines) }

const skipMost = 255 // of a conditional jump

// assemble fills in where jumps go to. A jump that is too far becomes three.
func (a *assembly) assemble() []bpf.Instruction {
	at := make([]int, len(a.lines)+1)
	for changed := true; changed; {
		changed = false
		for i := range a.lines {
			at[i+1] = at[i] + a.lines[i].width()
		}
		for i := range a.lines {
			l := &a.lines[i]
			if l.isJump() && !l.long && (a.skip(at, i, l.yes) > skipMost || a.skip(at, i, l.no) > skipMost) {
				l.long, changed = true, true
			}
		}
	}
	var all []bpf.Instruction
	for i := range a.lines {
		l := &a.lines[i]
		yes, no := 0, 0
		if l.isJump() {
			yes, no = a.skip(at, i, l.yes), a.skip(at, i, l.no)
		}
		if l.long {
			// The first of the three is followed by two, the second by one.
			all = append(all, l.jump(0, 1), bpf.Jump{Skip: uint32(yes) + 1}, bpf.Jump{Skip: uint32(no)})
			continue
		}
		all = append(all, l.jump(yes, no))
	}
	return all
}

// skip is how many instructions are between the end of a line and a label.
func (a *assembly) skip(at []int, i int, l label) int { return at[a.places[l]] - at[i+1] }

func (l *line) width() int {
	if l.long {
		return 3
	}
	return 1
}

func (l *line) isJump() bool {
	switch l.ins.(type) {
	case bpf.JumpIf, bpf.JumpIfX:
		return true
	}
	return false
}

func (l *line) jump(yes, no int) bpf.Instruction {
	switch j := l.ins.(type) {
	case bpf.JumpIf:
		j.SkipTrue, j.SkipFalse = uint8(yes), uint8(no)
		return j
	case bpf.JumpIfX:
		j.SkipTrue, j.SkipFalse = uint8(yes), uint8(no)
		return j
	}
	return l.ins
}
