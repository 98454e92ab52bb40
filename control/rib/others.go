package rib

import "iter"

// others holds the further candidates of prefixes, best first, in chains without
// pointers: with two sources of the Internet's table there are a million.
type others struct {
	heads byPrefix[uint32] // index of the first node
	nodes []node           // the first is not used
	free  uint32           // chain of unused nodes, 0: none
}

type node struct {
	candidate
	next uint32
}

func newOthers() others { return others{heads: newByPrefix[uint32](), nodes: make([]node, 1)} }

func (o *others) has(k key) bool { return o.heads.len() > 0 && o.heads.has(k) }

// at returns the candidates of a prefix. They may be changed until the next set.
func (o *others) at(k key) iter.Seq[*candidate] {
	return func(yield func(*candidate) bool) {
		if o.heads.len() == 0 {
			return
		}
		head, _ := o.heads.get(k)
		for i := head; i != 0; i = o.nodes[i].next {
			if !yield(&o.nodes[i].candidate) {
				return
			}
		}
	}
}

// set replaces the candidates of a prefix.
func (o *others) set(k key, list []candidate) {
	old, had := o.heads.get(k)
	for i := old; i != 0; {
		next := o.nodes[i].next
		o.nodes[i].next, o.free = o.free, i
		i = next
	}
	head := uint32(0)
	for i := len(list) - 1; i >= 0; i-- {
		at := o.free
		if at == 0 {
			at = uint32(len(o.nodes))
			o.nodes = append(o.nodes, node{})
		} else {
			o.free = o.nodes[at].next
		}
		o.nodes[at] = node{list[i], head}
		head = at
	}
	switch {
	case head != 0:
		o.heads.set(k, head)
	case had:
		o.heads.delete(k)
	}
}
