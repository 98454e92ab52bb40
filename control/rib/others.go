package rib

import "iter"

// others holds the further candidates of prefixes, best first, in chains without
// pointers: with two sources of the Internet's table there are a million.
type others struct {
	heads map[key]uint32 // index of the first node
	nodes []node         // the first is not used
	free  uint32         // chain of unused nodes, 0: none
}

type node struct {
	candidate
	next uint32
}

func newOthers() others { return others{heads: map[key]uint32{}, nodes: make([]node, 1)} }

// at returns the candidates of a prefix. They may be changed until the next set.
func (o *others) at(k key) iter.Seq[*candidate] {
	return func(yield func(*candidate) bool) {
		if len(o.heads) == 0 {
			return
		}
		for i := o.heads[k]; i != 0; i = o.nodes[i].next {
			if !yield(&o.nodes[i].candidate) {
				return
			}
		}
	}
}

// set replaces the candidates of a prefix.
func (o *others) set(k key, list []candidate) {
	for i := o.heads[k]; i != 0; {
		next := o.nodes[i].next
		o.nodes[i].next, o.free = o.free, i
		i = next
	}
	delete(o.heads, k)
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
	if head != 0 {
		o.heads[k] = head
	}
}
