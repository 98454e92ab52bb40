package filter

import "golang.org/x/net/bpf"

// condition is something that a frame is or is not.
type condition interface {
	// emit makes the instructions that jump to one of two labels.
	emit(a *assembly, yes, no label)
}

type (
	and  struct{ a, b condition }
	or   struct{ a, b condition }
	not  struct{ c condition }
	both bool // all frames, or none

	// compare compares what is in a frame with a constant.
	compare struct {
		at     uint32
		size   int
		behind bool   // at is counted from the end of the IPv4 header that begins at ip
		ip     uint32 // see behind
		mask   uint32 // 0: all of it
		test   bpf.JumpTest
		with   uint32
	}
	// frameLength compares the frame's.
	frameLength struct {
		test bpf.JumpTest
		with uint32
	}
)

func (c and) emit(a *assembly, yes, no label) {
	between := a.label()
	c.a.emit(a, between, no)
	a.place(between)
	c.b.emit(a, yes, no)
}

func (c or) emit(a *assembly, yes, no label) {
	between := a.label()
	c.a.emit(a, yes, between)
	a.place(between)
	c.b.emit(a, yes, no)
}

func (c not) emit(a *assembly, yes, no label) { c.c.emit(a, no, yes) }

func (c both) emit(a *assembly, yes, no label) {
	to := no
	if c {
		to = yes
	}
	a.add(bpf.LoadConstant{Dst: bpf.RegA})
	a.test(bpf.JumpEqual, 0, to, no)
}

func (c compare) emit(a *assembly, yes, no label) {
	if c.behind {
		a.add(bpf.LoadMemShift{Off: c.ip}, bpf.LoadIndirect{Off: c.at, Size: c.size})
	} else {
		a.add(bpf.LoadAbsolute{Off: c.at, Size: c.size})
	}
	if c.mask != 0 {
		a.add(bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: c.mask})
	}
	a.test(c.test, c.with, yes, no)
}

func (c frameLength) emit(a *assembly, yes, no label) {
	a.add(bpf.LoadExtension{Num: bpf.ExtLen})
	a.test(c.test, c.with, yes, no)
}

// all is the condition that all of some hold, in their order.
func all(cs ...condition) condition {
	c := cs[0]
	for _, next := range cs[1:] {
		c = and{c, next}
	}
	return c
}

// anyOf is the condition that one of some holds.
func anyOf(cs ...condition) condition {
	c := cs[0]
	for _, next := range cs[1:] {
		c = or{c, next}
	}
	return c
}
