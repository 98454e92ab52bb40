package rib

import "slices"

// Retake puts the kernel's routes to a prefix together again, at the end of a
// synchronization during which they have changed, and the changes were taken at
// once: dumped gives what a dump shows of them, which may be older than some of
// the changes, and changes gives these once more. With shown the dump had shown some of them
// before the first change: these are in the RIB, changed since. Packets find what there was until
// all of it is known.
func (r *RIB) Retake(k Key, shown bool, dumped, changes func()) {
	held, lost := r.holdCandidates(k.key), len(r.exports.lost)
	r.retaken, r.retaking = k.key, true
	if !shown {
		delete(r.doubtful, k.key)
		r.age(k.key)
	}
	dumped()
	if !shown {
		r.sweepPrefix(k.key)
	}
	changes()
	r.retaking = false
	if t, ok := r.exports.told.get(k.key); ok && slices.ContainsFunc(r.copies.at(k.key), func(c copied) bool { return c.metric == t.metric }) {
		r.exports.lost = r.exports.lost[:lost] // it is there
	}
	r.install(k.key)
	for _, g := range held {
		r.drop(g)
	}
}

// holdCandidates holds the groups that a prefix may lead to in the image.
func (r *RIB) holdCandidates(k key) (groups []uint32) {
	for c := range r.inOrder(k) {
		r.groups[c.group].refs++
		groups = append(groups, c.group)
	}
	return groups
}

// age makes the kernel's routes to a prefix ones that were not seen in this
// synchronization.
func (r *RIB) age(k key) {
	list := r.candidates(k)
	for i := range list {
		if list[i].isKernels() {
			list[i].generation = r.generation - 1
		}
	}
	if len(list) > 0 {
		r.put(k, list)
	}
	copies := r.copies.at(k)
	for i := range copies {
		copies[i].generation = r.generation - 1
	}
	r.copies.put(k, copies)
}

// sweepPrefix removes the kernel's routes to a prefix that were not seen.
func (r *RIB) sweepPrefix(k key) {
	for _, c := range r.copies.at(k) {
		if c.generation != r.generation {
			r.dropCopy(k, c.metric)
		}
	}
	var stay, gone []candidate
	for _, c := range r.candidates(k) {
		if r.isUnseen(&c) {
			gone = append(gone, c)
		} else {
			stay = append(stay, c)
		}
	}
	if len(gone) > 0 {
		r.put(k, stay)
	}
	for _, c := range gone {
		r.drop(c.group)
	}
}

// isUnseen reports whether a candidate is one of the kernel's that was not seen in this
// synchronization.
func (r *RIB) isUnseen(c *candidate) bool {
	return c.isKernels() && c.rank != rankReserved && c.generation != r.generation
}

// IsSeen reports whether a route of the kernel to a prefix has been seen in this
// synchronization.
func (r *RIB) IsSeen(k Key) bool {
	_, seen := r.best(k.key, func(c *candidate) bool {
		return c.isKernels() && c.rank != rankReserved && c.generation == r.generation
	})
	return seen || slices.ContainsFunc(r.copies.at(k.key), func(c copied) bool { return c.generation == r.generation })
}

// spared is in how many synchronizations whose dumps may have left it out a route stays.
const spared = 2

// isLongUnseen is isUnseen where the dumps may have left out what is there.
func (r *RIB) isLongUnseen(c *candidate) bool {
	return r.isUnseen(c) && r.generation-c.generation > spared
}

// ExpectGaps takes note that what the kernel was asked for in this synchronization may lack
// IPv6 routes that are there: what was seen lately stays.
func (r *RIB) ExpectGaps() { r.gaps = true }
