package fib

import (
	"fmt"
	"net/netip"
	"strings"
)

// Step is one node on the way of a lookup.
type Step struct {
	Node   string // "wide", "narrow", "line" or "low"
	Depth  int    // bits of the address before the node
	Stride int    // bits that the node looks at
	Offset uint32 // of the node in the image, bytes
	Index  uint32 // of the entry or leaf taken
}

// Explanation is a lookup told in steps.
type Explanation struct {
	Addr   netip.Addr
	Steps  []Step
	Group  GroupID      // 0: no route
	Prefix netip.Prefix // the route it comes from; not valid when there is none
}

// Explain tells how Lookup finds what it finds. For the writer's goroutine.
func (t Table) Explain(a netip.Addr) Explanation {
	x := Explanation{Addr: a}
	k, f, err := addrKey(a)
	if err != nil {
		return x
	}
	im, d, slot := t.im, 0, t.root(f)
	for {
		e := im.load32(slot)
		if isLeaf(e) {
			break
		}
		off := offset(e)
		switch kind(e) {
		case kindWide:
			s := Step{"wide", d, stride(e), off, k.index(d, stride(e))}
			x.Steps = append(x.Steps, s)
			slot, d = off+4*s.Index, d+s.Stride
			continue
		case kindLow:
			x.Steps = append(x.Steps, Step{"low", d, 0, off, 0})
			slot = off
			continue
		case kindNarrow:
			s := Step{"narrow", d, stride(e), off, k.index(d, stride(e))}
			x.Steps = append(x.Steps, s)
			slot = off + 2*s.Index
		case kindLine:
			i := uint32(lineIndex(im.ptr(off), uint32(k.bitsFrom(d)>>32)))
			x.Steps = append(x.Steps, Step{"line", d, 32, off, i})
			slot = off + lineLeafOffset + 2*i
		}
		break
	}
	if x.Group = t.Lookup(a); x.Group != 0 {
		x.Prefix, _ = a.WithZone("").Prefix(int(im.owner[slot/2]))
	}
	return x
}

func (x Explanation) String() string {
	var b strings.Builder
	for i, s := range x.Steps {
		fmt.Fprintf(&b, "%2d %-6s bits %d-%d at %#x: entry %d\n", i+1, s.Node, s.Depth, s.Depth+s.Stride, s.Offset, s.Index)
	}
	if x.Group == 0 {
		fmt.Fprintf(&b, "%s: no route", x.Addr)
	} else {
		fmt.Fprintf(&b, "%s: %s, group %d", x.Addr, x.Prefix, x.Group)
	}
	return b.String()
}
