package model

import (
	"math/rand/v2"
	"testing"

	"weft/fib"
)

// TestChoose compares with package fib's groups on random hops.
func TestChoose(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 2026))
	im, err := fib.Create(make([]byte, 1<<25), fib.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 300 {
		g := fib.Group{Kind: fib.Forward}
		hops, ports := []Hop(nil), map[fib.AdjacencyID]string{}
		for i := range 1 + rng.IntN(16) {
			id, err := im.AddAdjacency(fib.Adjacency{Port: uint32(i + 1), MTU: 1500, RewriteLen: 14, Complete: true})
			if err != nil {
				t.Fatal(err)
			}
			h := Hop{Port: string(rune('a' + i)), Weight: 1 + rng.IntN(pick(rng, 1, 4, 256))}
			hops, ports[id] = append(hops, h), h.Port
			g.Members = append(g.Members, fib.Member{Adjacency: id, Weight: h.Weight})
		}
		id, err := im.AddGroup(g)
		if err != nil {
			t.Fatal(err)
		}
		for range 200 {
			flow := rng.Uint32()
			if got, want := choose(hops, flow).Port, ports[im.Next(id, flow).Adjacency]; got != want {
				t.Fatalf("hops %v, flow %#x: %s, want %s", hops, flow, got, want)
			}
		}
		if err := im.DeleteGroup(id); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSame finds each changed bit of what Linux was seen to send, but for what cannot
// be predicted.
func TestSame(t *testing.T) {
	checked, loose := 0, 0
	for name, all := range readSeen(t) {
		for _, s := range all {
			for i := range s.Frame {
				f := append([]byte{}, s.Frame...)
				f[i] ^= 0x10
				checked++
				if Same(f, s.Frame) {
					loose++
					if i < ethLen {
						t.Errorf("%s: byte %d does not count", name, i)
					}
				}
			}
		}
	}
	if checked < 10000 || loose*20 > checked {
		t.Errorf("%d of %d bytes do not count", loose, checked)
	}
}
