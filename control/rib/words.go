package rib

import "iter"

// words is a map whose keys are packed prefixes, none of them 0. Eight neighbors of a
// length stand together, for tables are told in order: so most look-ups find what
// the one before has brought into the cache. It has no pointers if V has none.
type words[V any] struct {
	slots []slot[V] // a power of two; probed linearly
	count int
}

type slot[V any] struct {
	word  uint64 // 0: unused
	value V
}

// home is where a word is looked for first.
func (m *words[V]) home(w uint64) int {
	shift := 64 - w&lengthMask
	last := w >> shift & 7
	h := (w ^ last<<shift) * 0x9e3779b97f4a7c15
	h = (h ^ h>>32) * 0xd6e8feb86659fd93
	return int((h^h>>32)&^7|last) & (len(m.slots) - 1)
}

// find returns the place of a word, or the free one where it belongs.
func (m *words[V]) find(w uint64) (at int, ok bool) {
	for at = m.home(w); ; at = (at + 1) & (len(m.slots) - 1) {
		switch m.slots[at].word {
		case w:
			return at, true
		case 0:
			return at, false
		}
	}
}

func (m *words[V]) get(w uint64) (v V, ok bool) {
	if m.count == 0 {
		return v, false
	}
	at, ok := m.find(w)
	if ok {
		v = m.slots[at].value
	}
	return v, ok
}

func (m *words[V]) set(w uint64, v V) {
	if m.count >= len(m.slots)/8*5 {
		m.grow()
	}
	at, ok := m.find(w)
	if !ok {
		m.count++
	}
	m.slots[at] = slot[V]{w, v}
}

func (m *words[V]) grow() {
	old := m.slots
	m.slots = make([]slot[V], max(2*len(old), 16))
	for i := range old {
		if w := old[i].word; w != 0 {
			at, _ := m.find(w)
			m.slots[at] = old[i]
		}
	}
}

func (m *words[V]) delete(w uint64) {
	if m.count == 0 {
		return
	}
	gap, ok := m.find(w)
	if !ok {
		return
	}
	m.count--
	// Close the gap: a word moves back unless it is between its home and the gap.
	mask := len(m.slots) - 1
	for at := (gap + 1) & mask; m.slots[at].word != 0; at = (at + 1) & mask {
		if (at-m.home(m.slots[at].word))&mask >= (at-gap)&mask {
			m.slots[gap], gap = m.slots[at], at
		}
	}
	m.slots[gap] = slot[V]{}
}

// all yields what there is, in no order. The map must not change meanwhile.
func (m *words[V]) all() iter.Seq2[uint64, V] {
	return func(yield func(uint64, V) bool) {
		for i := range m.slots {
			if s := &m.slots[i]; s.word != 0 && !yield(s.word, s.value) {
				return
			}
		}
	}
}
