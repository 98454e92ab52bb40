package fib

import (
	"testing"
	"time"
)

func TestReaders(t *testing.T) {
	var rs Readers
	if p := rs.Begin(); !rs.Over(p) {
		t.Error("without readers a period is not over")
	}
	a, b := rs.Join(), rs.Join()
	p := rs.Begin()
	if rs.Over(p) {
		t.Error("over, though two readers were at work")
	}
	a.Quiesce()
	if rs.Over(p) {
		t.Error("over, though one reader was at work")
	}
	late := rs.Join() // it came after the period had begun: it cannot hold anything older
	b.Quiesce()
	if !rs.Over(p) {
		t.Error("not over, though both have quiesced and the third came later")
	}
	q := rs.Begin()
	if rs.Over(q) || !rs.Over(p) {
		t.Error("a new period changed the old one")
	}
	a.Quiesce()
	b.Quiesce()
	late.Leave()
	if !rs.Over(q) {
		t.Error("not over, though the third has left")
	}

	q = rs.Begin()
	a.Offline()
	b.Quiesce()
	if !rs.Over(q) {
		t.Error("not over, though one reader is offline")
	}
	q = rs.Begin()
	b.Quiesce()
	if !rs.Over(q) {
		t.Error("a reader that is offline holds up the next period")
	}
	a.Quiesce() // it reads again
	q = rs.Begin()
	b.Quiesce()
	if rs.Over(q) {
		t.Error("over, though the reader that was offline is back")
	}
	a.Leave()
	a.Leave() // twice is harmless
	b.Leave()
	if !rs.Over(q) {
		t.Error("not over, though all have left")
	}
	if p, q := rs.Begin(), rs.Begin(); q <= p {
		t.Errorf("period %d after %d", q, p)
	}
}

// manual is a Grace whose periods end when a test says so.
type manual struct{ begun, over uint64 }

func (m *manual) Begin() uint64      { m.begun++; return m.begun }
func (m *manual) Over(p uint64) bool { return p <= m.over }

func TestGraces(t *testing.T) {
	a, b := &manual{begun: 100}, &manual{begun: 7} // their numbers have nothing to do with each other
	g := NewGraces(a, b)
	var ps []uint64
	for range 4 {
		ps = append(ps, g.Begin())
	}
	if a.begun != 104 || b.begun != 11 {
		t.Fatalf("began %d and %d", a.begun, b.begun)
	}
	want := func(over ...bool) {
		t.Helper()
		for i, p := range ps {
			if got := g.Over(p); got != over[i] {
				t.Fatalf("period %d: over is %v", i, got)
			}
		}
	}
	want(false, false, false, false)
	a.over = 104
	want(false, false, false, false)
	b.over = 8
	want(true, false, false, false)
	want(true, false, false, false) // also when asked again
	a.over, b.over = 102, 10
	if g.Over(ps[3]) || !g.Over(ps[1]) { // the later one first
		t.Fatal("periods 0 and 1 are over, 3 is not")
	}
	ps = append(ps, g.Begin())
	want(true, true, false, false, false)
	a.over, b.over = 200, 200
	if !g.Over(ps[4]) {
		t.Fatal("the last is not over")
	}
	want(true, true, true, true, true)
	if p := g.Begin(); p <= ps[4] {
		t.Errorf("period %d after %d", p, ps[4])
	}
	if none := NewGraces(); !none.Over(none.Begin()) {
		t.Error("no kinds of readers: a period is over at once")
	}
}

// Memory that was unlinked is not given out again before its period is over,
// and is then.
func TestFreedMemoryWaits(t *testing.T) {
	g := &manual{}
	im := newTestImage(t, 1<<20, 2, Options{Grace: g})
	tab := mustTable(t, im, 0)
	mustInsert(t, tab, 1, "10.0.0.0/8", "10.1.2.3/32", "10.9.0.0/16")
	limbo := func() (n int) {
		for _, p := range im.limbo.closed {
			n += len(p.retired)
		}
		return n + len(im.limbo.open)
	}
	held := map[uint32]bool{}
	for i := range 3 * limboBatch {
		root := im.load32(tab.root(ipv4))
		if held[root] {
			t.Fatalf("round %d: node %#x is in use again while a reader may be in it", i, root)
		}
		held[root] = true
		if i%2 == 0 {
			mustInsert(t, tab, 2, "10.77.0.0/16")
		} else {
			mustDelete(t, tab, "10.77.0.0/16")
		}
	}
	if limbo() < 3*limboBatch-limboBatch/2 {
		t.Fatalf("%d blocks wait", limbo())
	}
	if g.begun == 0 || g.begun > 10 {
		t.Errorf("%d periods for %d blocks: want one for each %d", g.begun, limbo(), limboBatch)
	}
	g.over = 1
	im.reclaim(false)
	if n := limbo(); n > 2*limboBatch+16 {
		t.Errorf("%d blocks wait after the first period", n)
	}
	g.over = 1 << 60
	im.reclaim(true)
	if n := limbo(); n != 0 {
		t.Errorf("%d blocks wait after all periods", n)
	}
	checkOwners(t, im)
}

// A writer that needs memory waits for a reader, and goes on when it has
// quiesced.
func TestWriterWaitsForReader(t *testing.T) {
	var rs Readers
	im := newTestImage(t, MinSize, 2, Options{Grace: &rs, VRFs: 1})
	tab := mustTable(t, im, 0)
	reader := rs.Join()
	mustInsert(t, tab, 1, "10.0.0.0/8", "10.1.2.3/32", "10.9.0.0/16")
	done, quiesced := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for range 2000 { // 64 bytes each: more than there is
			if err := tab.Insert(testPrefix(t, "10.77.0.0", 16), 2); err != nil {
				t.Error(err)
				return
			}
			if err := tab.Delete(testPrefix(t, "10.77.0.0", 16)); err != nil {
				t.Error(err)
				return
			}
		}
		select {
		case <-quiesced:
		default:
			t.Error("the writer did not wait")
		}
	}()
	select {
	case <-done:
		t.Error("the writer did not wait")
	case <-time.After(50 * time.Millisecond): // not a bound: only gives it time to go wrong
	}
	close(quiesced)
	reader.Offline()
	<-done
	checkOwners(t, im)
}

// The number of a deleted group is not given to another while a reader may
// hold it.
func TestNumbersWait(t *testing.T) {
	g := &manual{}
	im := newTestImage(t, 1<<20, 0, Options{Grace: g})
	adj := addAdjacencies(t, im, 1)
	seen := map[GroupID]bool{}
	for range 600 {
		id, err := im.AddGroup(Group{Kind: Local})
		if err != nil {
			t.Fatal(err)
		}
		if seen[id] {
			t.Fatalf("group %d was given out again", id)
		}
		seen[id] = true
		if err := im.DeleteGroup(id); err != nil {
			t.Fatal(err)
		}
	}
	seenAdj := map[AdjacencyID]bool{adj[0]: true}
	for range 600 {
		id, err := im.AddAdjacency(testAdjacency(1))
		if err != nil {
			t.Fatal(err)
		}
		if seenAdj[id] {
			t.Fatalf("adjacency %d was given out again", id)
		}
		seenAdj[id] = true
		if err := im.DeleteAdjacency(id); err != nil {
			t.Fatal(err)
		}
	}
	g.over = 1 << 60
	im.reclaim(true)
	if id, err := im.AddGroup(Group{Kind: Local}); err != nil || !seen[id] {
		t.Errorf("after the period: %d, %v", id, err)
	}
}

// A number that comes free while another is being given out is not lost, and
// none is given out twice.
func TestNumbersAreGivenOnce(t *testing.T) {
	g := &manual{}
	im := newTestImage(t, 1<<20, 3, Options{Grace: g})
	adj := addAdjacencies(t, im, 4)
	if err := im.DeleteGroup(2); err != nil {
		t.Fatal(err)
	}
	if err := im.DeleteAdjacency(adj[3]); err != nil {
		t.Fatal(err)
	}
	im.closeLimbo()
	g.over = g.begun // the next allocation takes both numbers back
	groups := map[GroupID]bool{1: true, 3: true}
	for range 5 {
		id, err := im.AddGroup(equalMembers(HashThreshold, adj[:3]...))
		if err != nil || groups[id] {
			t.Fatalf("group %d is in use; %v", id, err)
		}
		groups[id] = true
	}
	if !groups[2] {
		t.Error("group 2 was not given out again")
	}
	if err := im.DeleteAdjacency(adj[0]); err == nil {
		t.Fatal("an adjacency in use was deleted")
	}
	adjacencies := map[AdjacencyID]bool{adj[0]: true, adj[1]: true, adj[2]: true}
	add := func() {
		id, err := im.AddAdjacency(testAdjacency(7))
		if err != nil || adjacencies[id] {
			t.Fatalf("adjacency %d is in use; %v", id, err)
		}
		adjacencies[id] = true
	}
	add()
	last := AdjacencyID(0)
	for id := range adjacencies {
		last = max(last, id)
	}
	delete(adjacencies, last)
	if err := im.DeleteAdjacency(last); err != nil {
		t.Fatal(err)
	}
	im.closeLimbo()
	g.over = g.begun
	for range 5 {
		add()
	}
	if !adjacencies[last] {
		t.Errorf("adjacency %d was not given out again", last)
	}
	checkOwners(t, im)
}
