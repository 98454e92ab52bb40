package rib

import (
	"cmp"
	"errors"
	"maps"
	"slices"

	"weft/fib"
)

// missing is what an image that is full does not hold as it should. Packets to a
// prefix that it lacks must not follow a shorter one: where there is one in the
// image, that leads to the kernel (a shield) until there is room again. All else
// is as it was. While prefixes wait for room, no new one overtakes them: it could
// cover one of them.
type missing struct {
	prefixes map[key]struct{}
	shields  map[key]struct{} // prefixes in the image

	retrying  bool
	available int // bytes of the image when it was last tried to store what is missing

	stuck     map[key]struct{}        // of prefixes: the image has an older answer, or no shield fits
	unwritten map[*group]struct{}     // groups that the image has not, or with older members
	behind    map[*adjacency]struct{} // adjacencies that the image has as they were

	reported       int // how many prefixes the owner knows of
	reportedAstray bool
}

func newMissing() missing {
	return missing{
		prefixes: map[key]struct{}{}, shields: map[key]struct{}{}, stuck: map[key]struct{}{}, unwritten: map[*group]struct{}{},
		behind: map[*adjacency]struct{}{},
	}
}

// astray tells whether packets take a way that the kernel would not send them.
func (m *missing) astray() bool {
	for g := range m.unwritten {
		if g.created {
			return true
		}
	}
	for a := range m.behind {
		if a.now.Complete { // else its packets go to the kernel
			return true
		}
	}
	return len(m.stuck) > 0
}

// wanted returns the group that the image is to hold for a prefix now.
func (r *RIB) wanted(k key) (group uint32, ok bool) {
	_, missing := r.missing.prefixes[k]
	_, stuck := r.missing.stuck[k]
	if missing && !stuck {
		return 0, false
	}
	if group, ok = r.answer(k); ok {
		if _, shield := r.missing.shields[k]; shield {
			group = r.policy
		}
	}
	return group, ok
}

// isHeld tells whether the image has a prefix, whatever its answer.
func (r *RIB) isHeld(k key) bool {
	t, err := r.image.Table(int(k.vrf))
	if err == nil {
		_, err = t.Get(k.prefix())
	}
	return err == nil
}

func (r *RIB) installOne(k key) {
	m := &r.missing
	err := r.tryInstall(k)
	r.changed = true
	if err == nil {
		delete(m.prefixes, k)
		delete(m.stuck, k)
		return
	}
	full := errors.Is(err, fib.ErrFull)
	if !full {
		r.note("install", k.prefix(), err)
	}
	m.prefixes[k] = struct{}{}
	if !full || r.isHeld(k) || !r.shield(k) {
		m.stuck[k] = struct{}{}
	}
	if m.reported == 0 || m.astray() != m.reportedAstray {
		r.report() // at once
	}
}

// tryInstall makes the image hold for a prefix what it is to hold.
func (r *RIB) tryInstall(k key) error {
	m := &r.missing
	at, ok := r.answer(k)
	_, shield := m.shields[k]
	switch {
	case ok && shield:
		at = r.policy
	case shield: // it goes: what it stands before is not to follow a shorter one
		if !r.shield(k) {
			return fib.ErrFull
		}
		delete(m.shields, k)
	case ok && len(m.prefixes) > 0 && !m.retrying && !r.isHeld(k):
		return fib.ErrFull // it waits with the others
	}
	return r.store(k, at, ok)
}

// store writes a prefix into the image, or deletes it there.
func (r *RIB) store(k key, group uint32, there bool) error {
	return r.try(func() error {
		t, err := r.image.Table(int(k.vrf))
		switch {
		case err != nil:
			return err
		case !there:
			if err = t.Delete(k.prefix()); errors.Is(err, fib.ErrNoRoute) {
				err = nil
			}
			return err
		case !r.groups[group].created:
			return fib.ErrFull // the group did not fit
		}
		return t.Insert(k.prefix(), r.groups[group].id)
	})
}

// shield makes the longest prefix around k that the image has lead to the kernel.
// Where there is none, packets go there anyway.
func (r *RIB) shield(k key) bool {
	for bits := int(k.bits) - 1; bits >= 0; bits-- {
		if !r.lengths.has(k, uint8(bits)) {
			continue
		}
		cover := k.shortened(uint8(bits))
		if _, is := r.missing.shields[cover]; is {
			return true
		}
		if _, there := r.routes.get(cover); !there || !r.isHeld(cover) {
			continue
		}
		if r.store(cover, r.policy, true) != nil {
			return false
		}
		r.missing.shields[cover] = struct{}{}
		return true
	}
	return true
}

// report tells how much is not in the image, if that has changed.
func (r *RIB) report() {
	m := &r.missing
	n, astray := len(m.prefixes), m.astray()
	if n == m.reported && astray == m.reportedAstray {
		return
	}
	m.reported, m.reportedAstray = n, astray
	if r.options.NotInstalled != nil {
		r.options.NotInstalled(n, astray)
	}
}

// Retry tries again what did not fit, though no memory of the image has come free:
// it may be able to grow now. It is to be called now and then.
func (r *RIB) Retry() {
	r.missing.available = -1
	r.retry()
}

// retryShare is what part of the image must come free for a retry, which waits
// for readers.
const retryShare = 64

// retry tries again what did not fit, if memory has come free since.
func (r *RIB) retry() {
	m := &r.missing
	lacking := len(m.prefixes) + len(m.unwritten) + len(m.behind)
	if lacking > 0 && (m.available < 0 || r.image.Available() > m.available+r.image.Size()/retryShare) {
		for g := range m.unwritten {
			r.update(g)
		}
		for a := range m.behind {
			r.refresh(a)
		}
		m.retrying = true
		r.retryPrefixes()
		m.retrying = false
		m.available = r.image.Available()
	}
	if len(m.prefixes) == 0 && len(m.shields) > 0 {
		shields := m.shields
		m.shields = map[key]struct{}{}
		for k := range shields {
			r.installOne(k)
		}
	}
	r.report()
}

// retryPrefixes tries the longest ones first, so that no prefix comes before one
// that it covers.
func (r *RIB) retryPrefixes() {
	m := &r.missing
	fits := func(k key) bool {
		r.installOne(k)
		_, missed := m.prefixes[k]
		return !missed
	}
	if len(m.prefixes) == 0 {
		return
	}
	var longest key
	for k := range m.prefixes {
		if k.bits >= longest.bits {
			longest = k
		}
	}
	if !fits(longest) {
		return // there is no more room yet
	}
	for _, k := range slices.SortedFunc(maps.Keys(m.prefixes), func(a, b key) int { return cmp.Compare(b.bits, a.bits) }) {
		if !fits(k) {
			return
		}
	}
}
