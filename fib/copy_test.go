package fib

import (
	"reflect"
	"testing"
)

// A copy into larger memory keeps all where it is. What waited for readers of the
// image is free in the copy, as it would be for the next writer; and a trie that there was
// no memory to shape is shaped there.
func TestCopyExtends(t *testing.T) {
	for _, size := range []int{1 << 20, 2 << 20, 3 << 20, 4 << 20} {
		r := seed(t)
		var readers Readers
		reader := readers.Join()
		im := newTestImage(t, 1<<20, 20, Options{Grace: &readers})
		tab := mustTable(t, im, 0)
		var m model
		randomChanges(t, r, tab, &m, []GroupID{1, 2, 4, 5}, 600)
		if err := im.DeleteGroup(19); err != nil {
			t.Fatal(err)
		}
		if len(im.limbo.open)+len(im.limbo.closed) == 0 {
			t.Fatal("nothing waits for readers")
		}
		tab.trie(ipv4).cramped = true
		waits := im.limbo.bytes
		to, err := im.CopyTo(make([]byte, size), Options{Grace: &readers})
		if err != nil {
			t.Fatal(err)
		}
		if im.limbo.bytes != waits {
			t.Errorf("the source has %d bytes waiting, had %d", im.limbo.bytes, waits)
		}
		if tr := mustTable(t, to, 0).trie(ipv4); tr.cramped || tr.shaped != tr.routes {
			t.Errorf("shaped for %d of %d routes", tr.shaped, tr.routes)
		}
		check(t, mustTable(t, to, 0), &m)
		reader.Offline()
		checkOwners(t, to) // when what shaping has replaced is free
		next, err := Open(append([]byte(nil), to.mem...), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if next.alloc.used != to.alloc.used || !reflect.DeepEqual(next.alloc.free, to.alloc.free) {
			t.Errorf("in %d bytes: %d units are taken, a survey says %d, or others", size, to.alloc.used, next.alloc.used)
		}
		if len(next.groupFree) != len(to.groupFree) || len(next.adjacencyFree) != len(to.adjacencyFree) || !reflect.DeepEqual(next.groupUse, to.groupUse) ||
			!reflect.DeepEqual(next.adjacencyUse, to.adjacencyUse) {
			t.Errorf("in %d bytes: groups or adjacencies are not in use as a survey says", size)
		}
		randomChanges(t, r, mustTable(t, to, 0), &m, []GroupID{1, 2, 4, 5}, 600)
		check(t, mustTable(t, to, 0), &m)
	}
}
