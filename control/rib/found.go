package rib

import (
	"fmt"
	"net/netip"

	"weft/fib"
)

// found is what an image held when the RIB was made, by content, so that what
// the RIB wants can be found in it: forwarding goes on undisturbed, and only
// what differs is written. A nil one is empty.
type found struct {
	adjacencies map[foundAdjacency]fib.AdjacencyID
	groups      map[string][]fib.GroupID // several may be alike; the lowest number first
}

// foundAdjacency is what does not change of an adjacency; a route's own MTU is
// rare enough to be written again.
type foundAdjacency struct {
	port      uint32
	neighbor  netip.Addr
	etherType [2]byte
}

func identify(a *fib.Adjacency) foundAdjacency {
	return foundAdjacency{a.Port, a.Neighbor, [2]byte(a.Rewrite[etherTypeOff:])}
}

func identifyGroup(g *fib.Group) string { return fmt.Sprint(*g) }

func newFound(im *fib.Image) *found {
	f := &found{map[foundAdjacency]fib.AdjacencyID{}, map[string][]fib.GroupID{}}
	for id, a := range im.Adjacencies() {
		f.adjacencies[identify(&a)] = id
	}
	for id, g := range im.Groups() {
		content := identifyGroup(&g)
		f.groups[content] = append(f.groups[content], id)
	}
	return f
}

// adjacency returns an adjacency of the image with this content.
func (f *found) adjacency(im *fib.Image, a fib.Adjacency) (fib.AdjacencyID, error) {
	if f != nil {
		if id, ok := f.adjacencies[identify(&a)]; ok {
			if err := im.SetAdjacency(id, a); err != nil {
				return 0, err
			}
			delete(f.adjacencies, identify(&a))
			return id, nil
		}
	}
	return im.AddAdjacency(a)
}

// group returns a group of the image with this content.
func (f *found) group(im *fib.Image, g fib.Group) (fib.GroupID, error) {
	if f != nil {
		content := identifyGroup(&g)
		if ids := f.groups[content]; len(ids) > 0 {
			f.groups[content] = ids[1:]
			return ids[0], nil
		}
	}
	return im.AddGroup(g)
}

// clean deletes the groups and adjacencies of the image that the RIB does not
// know: nothing leads there after the first synchronization.
func (r *RIB) clean() {
	known := map[fib.GroupID]bool{}
	for _, g := range r.groups {
		if g != nil {
			known[g.id] = true
		}
	}
	r.unusedGroups = r.unusedGroups[:0]
	for id := range r.image.Groups() {
		if !known[id] {
			r.unusedGroups = append(r.unusedGroups, id)
		}
	}
	adjacent := map[fib.AdjacencyID]bool{}
	for _, a := range r.adjacencies {
		adjacent[a.id] = true
	}
	r.unusedAdjacencies = r.unusedAdjacencies[:0]
	for id := range r.image.Adjacencies() {
		if !adjacent[id] {
			r.unusedAdjacencies = append(r.unusedAdjacencies, id)
		}
	}
}
