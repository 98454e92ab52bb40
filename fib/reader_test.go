package fib

import (
	"testing"
)

// A View answers as Next and Adjacency do.
func TestView(t *testing.T) {
	im := newTestImage(t, 1<<20, 0, Options{})
	adj := addAdjacencies(t, im, 5)
	var ids []GroupID
	for _, g := range []Group{
		{Kind: Forward, Members: []Member{{adj[0], 1}}},
		equalMembers(HashThreshold, adj...),
		equalMembers(Resilient, adj[0], adj[1], adj[2]),
		{Kind: Local}, {Kind: Glean, Port: 7, MTU: 1400}, {Kind: Blackhole}, {Kind: Reject, Code: 13}, {Kind: Punt, Reason: 9},
	} {
		id, err := im.AddGroup(g)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	r, v := seed(t), im.View()
	for _, id := range append(ids, 0, 200, 1<<31) {
		for range 100 {
			hash := r.Uint32()
			w := v.Word(id)
			got := w.Next()
			switch {
			case w.Single():
				got.Adjacency = w.Adjacency()
			case w.Spread():
				got.Adjacency = v.Member(w, hash)
			}
			if want := im.Next(id, hash); got != want {
				t.Fatalf("group %d: %+v, want %+v", id, got, want)
			}
		}
	}
	for _, id := range append(adj, 0, 200, 1<<31) {
		b := v.Block(id)
		want, ok := im.Adjacency(id)
		if (b != nil) != ok {
			t.Fatalf("adjacency %d: %v, want it to be there: %t", id, b, ok)
		}
		if ok && (b.Port != want.Port || b.Mtu != want.MTU || b.Rewrite != want.Rewrite || FormOf(b).IsComplete() != want.Complete) {
			t.Fatalf("adjacency %d: %+v, want %+v", id, b, want)
		}
	}
	a := testAdjacency(9)
	for form, n := range map[Form]uint8{FormPlain: 14, FormTagged: 18, FormDouble: 22} {
		a.Complete, a.RewriteLen = true, n
		if err := im.SetAdjacency(adj[0], a); err != nil {
			t.Fatal(err)
		}
		if got := FormOf(v.Block(adj[0])); got != form {
			t.Errorf("rewrite of %d bytes: form %#x, want %#x", n, got, form)
		}
	}
}
