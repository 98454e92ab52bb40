package filter

import "golang.org/x/net/bpf"

// value is an arithmetic expression: 32 bits, unsigned. What it makes ends with it in A.
type value interface {
	emit(a *assembly)
	// needs is the conditions under which it can be loaded, in their order.
	needs() []condition
}

type (
	constant   uint32
	frameBytes struct{} // len
	// operation joins two values.
	operation struct {
		op   bpf.ALUOp
		a, b value
	}
	// field is bytes of a header.
	field struct {
		at     uint32 // where the header is
		behind bool   // it begins at the end of the IPv4 header that is at at
		index  value
		size   int
		need   condition // the header is there; nil: always
	}
)

func (constant) needs() []condition   { return nil }
func (frameBytes) needs() []condition { return nil }
func (o operation) needs() []condition {
	return append(o.a.needs(), o.b.needs()...)
}

func (f field) needs() []condition {
	all := f.index.needs()
	if f.need != nil {
		all = append(all, f.need)
	}
	return all
}

func (c constant) emit(a *assembly) { a.add(bpf.LoadConstant{Dst: bpf.RegA, Val: uint32(c)}) }
func (frameBytes) emit(a *assembly) { a.add(bpf.LoadExtension{Num: bpf.ExtLen}) }

func (o operation) emit(a *assembly) {
	if c, ok := o.b.(constant); ok {
		o.a.emit(a)
		a.add(bpf.ALUOpConstant{Op: o.op, Val: uint32(c)})
		return
	}
	a.emitBoth(o.a, o.b)
	a.add(bpf.ALUOpX{Op: o.op})
}

const scratch = 16 // words

// emitBoth leaves x in A, and y in X.
func (a *assembly) emitBoth(x, y value) {
	n := a.spill
	if n >= scratch {
		a.spills = true
		n = 0
	}
	y.emit(a)
	a.add(bpf.StoreScratch{Src: bpf.RegA, N: n})
	a.spill++
	x.emit(a)
	a.spill--
	a.add(bpf.LoadScratch{Dst: bpf.RegX, N: n})
}

// offsetMost is of a load from a header on: both engines' programs can tell that no sum of such overflows.
const offsetMost = 0x3fff

func (f field) emit(a *assembly) {
	index, known := f.index.(constant)
	switch {
	case known && !f.behind:
		a.add(bpf.LoadAbsolute{Off: f.at + uint32(index), Size: f.size})
	case known:
		a.add(bpf.LoadMemShift{Off: f.at}, bpf.LoadIndirect{Off: f.at + uint32(index), Size: f.size})
	case !f.behind:
		f.index.emit(a)
		a.add(bpf.TAX{}, bpf.LoadIndirect{Off: f.at, Size: f.size})
	default:
		f.index.emit(a)
		a.add(bpf.LoadMemShift{Off: f.at}, bpf.ALUOpX{Op: bpf.ALUOpAdd}, bpf.TAX{}, bpf.LoadIndirect{Off: f.at, Size: f.size})
	}
}

// relation compares two values.
type relation struct {
	a, b value
	test bpf.JumpTest
}

func (r relation) emit(a *assembly, yes, no label) {
	if c, ok := r.b.(constant); ok {
		r.a.emit(a)
		a.test(r.test, uint32(c), yes, no)
		return
	}
	a.emitBoth(r.a, r.b)
	a.testX(r.test, yes, no)
}

// relate is a relation of values that can be loaded.
func relate(x, y value, test bpf.JumpTest) condition {
	return all(append(append(x.needs(), y.needs()...), relation{x, y, test})...)
}

// levels are the operators, those that bind closest last.
var levels = []map[string]bpf.ALUOp{
	{"|": bpf.ALUOpOr, "^": bpf.ALUOpXor},
	{"&": bpf.ALUOpAnd},
	{"<<": bpf.ALUOpShiftLeft, ">>": bpf.ALUOpShiftRight},
	{"+": bpf.ALUOpAdd, "-": bpf.ALUOpSub},
	{"*": bpf.ALUOpMul, "/": bpf.ALUOpDiv, "%": bpf.ALUOpMod},
}

var relations = map[string]bpf.JumpTest{
	"=": bpf.JumpEqual, "==": bpf.JumpEqual, "!=": bpf.JumpNotEqual, ">": bpf.JumpGreaterThan, "<": bpf.JumpLessThan,
	">=": bpf.JumpGreaterOrEqual, "<=": bpf.JumpLessOrEqual,
}

// value parses an arithmetic expression, of operators from a level on.
func (p *parser) value(level int) (value, error) {
	if level == len(levels) {
		return p.operand()
	}
	left, err := p.value(level + 1)
	for err == nil {
		at := p.peek()
		op, is := levels[level][at.text]
		if at.kind != sign || !is {
			return left, nil
		}
		p.pos++
		var right value
		if right, err = p.value(level + 1); err == nil {
			left, err = p.operate(at, op, left, right)
		}
	}
	return nil, err
}

func (p *parser) operate(at token, op bpf.ALUOp, left, right value) (value, error) {
	if c, ok := right.(constant); ok {
		switch {
		case c == 0 && (op == bpf.ALUOpDiv || op == bpf.ALUOpMod):
			return nil, p.errorAt(at, "division by zero", "")
		case c > 31 && (op == bpf.ALUOpShiftLeft || op == bpf.ALUOpShiftRight):
			return nil, p.errorAt(at, "shift by more than 31 bits", "values have 32")
		}
	}
	return operation{op, left, right}, nil
}

func (p *parser) operand() (value, error) {
	t := p.peek()
	switch {
	case p.isSign("("):
		p.pos++
		if err := p.enter(t); err != nil {
			return nil, err
		}
		defer p.leave()
		v, err := p.value(0)
		if err == nil {
			err = p.want(")")
		}
		return v, err
	case p.isSign("-"):
		p.pos++
		if err := p.enter(t); err != nil {
			return nil, err
		}
		defer p.leave()
		v, err := p.operand()
		return operation{bpf.ALUOpSub, constant(0), v}, err
	case t.kind == number:
		p.pos++
		n, err := p.number(t)
		return constant(n), err
	case t.kind == word && t.text == "len":
		p.pos++
		return frameBytes{}, nil
	}
	if n, known := constants[t.text]; known && t.kind == word {
		p.pos++
		return constant(n), nil
	}
	return p.field()
}

// field parses PROTOCOL[INDEX] and PROTOCOL[INDEX:SIZE].
func (p *parser) field() (value, error) {
	t := p.peek()
	f, known := p.header(t)
	if !known {
		return nil, p.errorAt(t, "unexpected "+t.shown(), "want a number, len, or a field like tcp[13] or ip[2:2]")
	}
	p.pos++
	if err := p.want("["); err != nil {
		return nil, err
	}
	if err := p.enter(t); err != nil {
		return nil, err
	}
	defer p.leave()
	at := p.peek()
	var err error
	if f.index, err = p.value(0); err != nil {
		return nil, err
	}
	if c, ok := f.index.(constant); ok && c > offsetMost {
		return nil, p.errorAt(at, "too far into the frame", "want an offset below 16384")
	}
	f.size = 1
	if p.isSign(":") {
		p.pos++
		size := p.peek()
		if size.kind != number || size.text != "1" && size.text != "2" && size.text != "4" {
			return nil, p.errorAt(size, "unexpected "+size.shown(), "want a size of 1, 2 or 4 bytes")
		}
		p.pos++
		f.size = int(size.text[0] - '0')
	}
	return f, p.want("]")
}

// header finds the one that a field is in.
func (p *parser) header(t token) (f field, known bool) {
	if t.kind != word {
		return f, false
	}
	f.at = p.link.network
	switch t.text {
	case "ether", "link":
		f.at = 0
	case "ip", "arp", "rarp", "ip6":
		f.need = p.link.isType(etherTypes[t.text])
	case "icmp6":
		f.at += fixed6
		f.need = and{p.link.isIP6(), equal(p.link.network+ip6Next, 1, protocols["icmp6"].number)}
	default:
		proto, is := protocols[t.text]
		if !is {
			return f, false
		}
		f.behind = true
		f.need = and{p.link.protocol4(proto.number), p.link.first()}
	}
	return f, true
}
