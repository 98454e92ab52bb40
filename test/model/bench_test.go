package model

import (
	"math/rand/v2"
	"testing"
)

func BenchmarkForward(b *testing.B) {
	s, rng := table(), rand.New(rand.NewPCG(1, 2026))
	for range 400 { // as many as a state of the agreement tests may have
		s.Routes = append(s.Routes, s.Routes[rng.IntN(len(s.Routes))])
	}
	frames, ports := make([][]byte, 1000), make([]string, 1000)
	for i := range frames {
		frames[i], ports[i] = randomFrame(rng, s)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Forward(frames[i%1000], ports[i%1000])
	}
}
