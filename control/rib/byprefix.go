package rib

import "iter"

// byPrefix is a map by prefix. The keys of IPv4, which are most of a million, are
// packed into a word: they take 16 bytes less and are found several times as fast.
type byPrefix[V any] struct {
	v4 words[V]
	v6 map[key]V
}

func newByPrefix[V any]() byPrefix[V] { return byPrefix[V]{v6: map[key]V{}} }

const (
	lengthMask = 1<<8 - 1
	vrfShift   = 8
	packedMark = 1 << 24 // no word is 0
)

// packed returns an IPv4 prefix as a word: address, VRF, length.
func (k key) packed() uint64 { return k.hi | packedMark | uint64(k.vrf)<<vrfShift | uint64(k.bits) }

func unpacked(w uint64) key {
	return key{hi: w &^ (1<<32 - 1), vrf: uint16(w >> vrfShift), bits: uint8(w), family: 4}
}

func (m *byPrefix[V]) get(k key) (v V, ok bool) {
	if k.family == 4 {
		return m.v4.get(k.packed())
	}
	v, ok = m.v6[k]
	return v, ok
}

func (m *byPrefix[V]) has(k key) bool {
	_, ok := m.get(k)
	return ok
}

func (m *byPrefix[V]) set(k key, v V) {
	if k.family == 4 {
		m.v4.set(k.packed(), v)
		return
	}
	m.v6[k] = v
}

func (m *byPrefix[V]) delete(k key) {
	if k.family == 4 {
		m.v4.delete(k.packed())
		return
	}
	delete(m.v6, k)
}

func (m *byPrefix[V]) len() int { return m.v4.count + len(m.v6) }

// all yields what there is, in no order. The map must not change meanwhile.
func (m *byPrefix[V]) all() iter.Seq2[key, V] {
	return func(yield func(key, V) bool) {
		for w, v := range m.v4.all() {
			if !yield(unpacked(w), v) {
				return
			}
		}
		for k, v := range m.v6 {
			if !yield(k, v) {
				return
			}
		}
	}
}
