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

func (q *queue[K, V]) has(k K) bool {
	_, ok := q.at[k]
	return ok
}

// mostExpected bounds what is made room for.
const mostExpected = 1 << 16

// take returns all, and leaves nothing, but room for as many.
func (q *queue[K, V]) take() []item[K, V] {
	items := q.items
	*q = queue[K, V]{}
	if n := min(len(items), mostExpected); n > 0 {
		q.at, q.items = make(map[K]int, n), make([]item[K, V], 0, n)
	}
	return items
}

// inbox is what the peer has said and nobody has worked off.
type inbox struct {
	mu       sync.Mutex
	filled   chan struct{} // of one: there is something
	nextHops queue[objectKey, nextHop]
	routes   queue[key, route]
	taken    int // what was taken last, and is being worked off
}

// add calls fn, which may put something into the queues: it is taken together.
func (b *inbox) add(fn func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fn()
	if len(b.nextHops.items)+len(b.routes.items) > 0 {
		signal(b.filled)
	}
}

// take returns all.
func (b *inbox) take() ([]item[objectKey, nextHop], []item[key, route]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken = len(b.nextHops.items) + len(b.routes.items)
	return b.nextHops.take(), b.routes.take()
}

// done says that what was taken is worked off.
func (b *inbox) done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken = 0
}

func (b *inbox) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.taken + len(b.nextHops.items) + len(b.routes.items)
}

// signal wakes the one who waits, now or when it next looks.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
