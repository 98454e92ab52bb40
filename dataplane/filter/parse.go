package filter

import (
	"fmt"
	"strconv"
)

// parser goes through the words of a filter once, but for '(', which may begin a condition or a
// value: it tries both.
type parser struct {
	text   string
	tokens []token
	pos    int
	depth  int
	link   link
	last   *qualifiers // of the primitive before, for those that have none
}

// depthMost bounds how deep parentheses are nested.
const depthMost = 32

func (p *parser) enter(t token) error {
	if p.depth++; p.depth > depthMost {
		return p.errorAt(t, fmt.Sprintf("nested more than %d deep", depthMost), "")
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

// peek is the next word; behind the end there is another end.
func (p *parser) peek() token { return p.after(0) }

// after looks n words ahead.
func (p *parser) after(n int) token { return p.tokens[min(p.pos+n, len(p.tokens)-1)] }

func (p *parser) isSign(text string) bool { t := p.peek(); return t.kind == sign && t.text == text }
func (p *parser) isWord(text string) bool { t := p.peek(); return t.kind == word && t.text == text }

// takes goes on behind one of some words or signs, if it is there.
func (p *parser) takes(words ...string) bool {
	for _, w := range words {
		if p.isWord(w) || p.isSign(w) {
			p.pos++
			return true
		}
	}
	return false
}

func (p *parser) want(s string) error {
	if !p.isSign(s) {
		return p.errorAt(p.peek(), "unexpected "+p.peek().shown(), fmt.Sprintf("want %q", s))
	}
	p.pos++
	return nil
}

func (t token) shown() string {
	if t.kind == end {
		return "end"
	}
	return strconv.Quote(t.text)
}

func (p *parser) errorAt(t token, cause, remedy string) error {
	return &Error{p.text, t.at, cause, remedy}
}

func (p *parser) number(t token) (uint32, error) {
	n, err := strconv.ParseUint(t.text, 0, 32) // 0x and 0 before digits mean what they do in C
	if err != nil {
		return 0, p.errorAt(t, t.text+": not a number of 32 bits", "")
	}
	return uint32(n), nil
}

// whole parses a filter.
func (p *parser) whole() (condition, error) {
	if p.peek().kind == end {
		return both(true), nil
	}
	c, err := p.expression()
	if err == nil && p.peek().kind != end {
		err = p.errorAt(p.peek(), "unexpected "+p.peek().shown(), "want 'and', 'or' or the end")
	}
	return c, err
}

func (p *parser) expression() (condition, error) { return p.joined(p.term) }

// joined joins parts by 'and' and 'or', from left to right.
func (p *parser) joined(part func() (condition, error)) (condition, error) {
	c, err := part()
	for err == nil {
		isAnd := p.takes("and", "&&")
		if !isAnd && !p.takes("or", "||") {
			return c, nil
		}
		var next condition
		if next, err = part(); err != nil {
			break
		}
		if isAnd {
			c = and{c, next}
		} else {
			c = or{c, next}
		}
	}
	return nil, err
}

func (p *parser) term() (condition, error) {
	t := p.peek()
	if p.takes("not", "!") {
		if err := p.enter(t); err != nil {
			return nil, err
		}
		defer p.leave()
		c, err := p.term()
		return not{c}, err
	}
	if p.mayBeValue() {
		before := *p
		c, err := p.relation()
		if err == nil || !p.isGroup(&before) {
			return c, err
		}
		*p = before
	}
	if p.isSign("(") {
		return p.group(p.expression)
	}
	return p.primitive()
}

// isGroup tells whether what could not be parsed as a value may be a condition.
func (p *parser) isGroup(before *parser) bool {
	t := before.peek()
	return t.kind == sign && t.text == "("
}

// group parses what is between parentheses.
func (p *parser) group(inside func() (condition, error)) (condition, error) {
	t := p.peek()
	p.pos++
	if err := p.enter(t); err != nil {
		return nil, err
	}
	defer p.leave()
	c, err := inside()
	if err == nil {
		err = p.want(")")
	}
	return c, err
}

// mayBeValue tells whether what comes is to be compared.
func (p *parser) mayBeValue() bool {
	t, next := p.peek(), p.after(1)
	switch {
	case t.kind == sign:
		return t.text == "(" || t.text == "-"
	case t.kind == number:
		return next.kind == sign && next.text != ")" && next.text != "&&" && next.text != "||"
	case t.kind == word && t.text == "len":
		return true
	case t.kind == word && next.kind == sign && next.text == "[":
		return true
	}
	_, known := constants[t.text]
	return known && t.kind == word
}

func (p *parser) relation() (condition, error) {
	x, err := p.value(0)
	if err != nil {
		return nil, err
	}
	t := p.peek()
	test, known := relations[t.text]
	if !known || t.kind != sign {
		return nil, p.errorAt(t, "unexpected "+t.shown(), "want one of = != < > <= >=")
	}
	p.pos++
	y, err := p.value(0)
	if err != nil {
		return nil, err
	}
	return relate(x, y, test), nil
}
