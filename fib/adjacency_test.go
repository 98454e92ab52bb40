package fib

import (
	"math"
	"testing"
)

// TestPlainFrame checks what a reader may take for granted of a frame by its length.
func TestPlainFrame(t *testing.T) {
	im := newTestImage(t, 1<<20, 0, Options{})
	id, err := im.AddAdjacency(Adjacency{Port: 1, MTU: 1500})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		a    Adjacency
		want uint32
	}{
		{"Ethernet", Adjacency{Complete: true, RewriteLen: 14, MTU: 1500}, 1514},
		{"least MTU", Adjacency{Complete: true, RewriteLen: 14, MTU: 68}, 82},
		{"no limit", Adjacency{Complete: true, RewriteLen: 14, MTU: math.MaxUint32 - 3}, math.MaxUint32},
		{"not complete", Adjacency{RewriteLen: 14, MTU: 1500}, 0},
		{"a tag", Adjacency{Complete: true, RewriteLen: 18, MTU: 1500}, 0},
		{"no header", Adjacency{Complete: true, MTU: 1500}, 0},
	} {
		c.a.Port = 1
		if err := im.SetAdjacency(id, c.a); err != nil {
			t.Fatal(err)
		}
		l := (*layoutFibAdjacency)(im.ptr(im.load32(im.adjacencies.at(uint32(id)))))
		if l.PlainFrame != c.want {
			t.Errorf("%s: longest plain frame %d bytes, want %d", c.name, l.PlainFrame, c.want)
		}
	}
}
