package fpm

import "sync"

// queue holds what was said last of each key, in the order in which the keys were
// first named.
type queue[K comparable, V any] struct {
	at    map[K]int
	items []item[K, V]
}

type item[K comparable, V any] struct {
	key   K
	value V
}

func (q *queue[K, V]) put(k K, v V) {
	if i, ok := q.at[k]; ok {
		q.items[i].value = v
		return
	}
	if q.at == nil {
		q.at = map[K]int{}
	}
	q.at[k] = len(q.items)
	q.items = append(q.items, item[K, V]{k, v})
}

// take returns all, and leaves nothing.
func (q *queue[K, V]) take() []item[K, V] {
	items := q.items
	*q = queue[K, V]{}
	return items
}

// told is what the peer says of a prefix.
type told struct {
	key
	number uint32 // of the prefix
	route
}

// page is as many of them as are handed to the Sink at once.
type page []told

// mostSpare is how many pages are kept for what comes.
const mostSpare = 16

// inbox is what the peer has said and nobody has worked off.
type inbox struct {
	mu       sync.Mutex
	filled   chan struct{} // of one: there is something
	nextHops queue[objectKey, nextHop]
	pages    []page   // of each prefix what was said last, in the order in which they were first named
	index    index    // of prefixes that are in the inbox or that have a route
	places   []uint32 // by number: where a prefix is in pages, if it is
	spare    []page
	taken    int // what was taken last, and is being worked off
	counts   Counts
}

// add calls fn, which may put something into the inbox: it is taken together.
func (b *inbox) add(fn func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fn()
	if len(b.nextHops.items)+len(b.pages) > 0 {
		signal(b.filled)
	}
}

// put takes what is said of a prefix, instead of what was said before.
func (b *inbox) put(k key, r route) {
	n := b.index.enter(&k)
	if one := b.waiting(n); one != nil {
		one.route = r
		return
	}
	last := len(b.pages) - 1
	if last < 0 || len(b.pages[last]) == chunk {
		b.pages = append(b.pages, b.newPage())
		last++
	}
	if int(n) >= len(b.places) {
		b.places = append(b.places, 0) // numbers are given out one after the other
	}
	b.places[n] = uint32(last*chunk + len(b.pages[last]))
	b.pages[last] = append(b.pages[last], told{k, n, r})
}

func (b *inbox) newPage() page {
	last := len(b.spare) - 1
	if last < 0 {
		return make(page, 0, chunk)
	}
	p := b.spare[last]
	b.spare = b.spare[:last]
	return p
}

// waiting returns what waits of a prefix, nil if nothing does.
func (b *inbox) waiting(number uint32) *told {
	if int(number) >= len(b.places) {
		return nil
	}
	at := int(b.places[number]) // or where it was earlier
	if at/chunk >= len(b.pages) || at%chunk >= len(b.pages[at/chunk]) {
		return nil
	}
	if one := &b.pages[at/chunk][at%chunk]; one.number == number {
		return one
	}
	return nil
}

// take returns all.
func (b *inbox) take() ([]item[objectKey, nextHop], []page) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken = b.lenLocked()
	pages := b.pages
	b.pages = nil
	return b.nextHops.take(), pages
}

// done says that what was taken is worked off. Prefixes that have no route any more
// are forgotten, unless something waits of them.
func (b *inbox) done(pages []page) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken = 0
	for _, p := range pages {
		b.forgetLocked(p)
		if len(b.spare) < mostSpare {
			clear(p)
			b.spare = append(b.spare, p[:0])
		}
	}
}

// forget forgets prefixes of routes that have gone, unless something waits of them.
func (b *inbox) forget(routes []told) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forgetLocked(routes)
}

func (b *inbox) forgetLocked(p []told) {
	for i := range p {
		if p[i].gone && b.waiting(p[i].number) == nil {
			b.index.forget(p[i].number)
		}
	}
}

// name sets the keys of prefixes whose numbers are known.
func (b *inbox) name(routes []told) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range routes {
		routes[i].key = b.index.keys[routes[i].number]
	}
}

// status returns how much is to be worked off, and what was counted of messages.
func (b *inbox) status() (queued int, c Counts) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.taken + b.lenLocked(), b.counts
}

func (b *inbox) lenLocked() int {
	n := len(b.nextHops.items)
	for _, p := range b.pages {
		n += len(p)
	}
	return n
}

// signal wakes the one who waits, now or when it next looks.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
