package fib

import (
	"math/rand/v2"
	"testing"

	"weft/test/fulltable"
)

func fullRoutes(tb testing.TB) (v4, v6 []Route) {
	p4, p6, err := fulltable.Prefixes()
	if err != nil {
		tb.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, p := range p4 {
		v4 = append(v4, Route{p, GroupID(1 + r.IntN(255))})
	}
	for _, p := range p6 {
		v6 = append(v6, Route{p, GroupID(1 + r.IntN(255))})
	}
	return
}

func BenchmarkLoad(b *testing.B) {
	v4, v6 := fullRoutes(b)
	all := append(v4, v6...)
	for b.Loop() {
		b.StopTimer()
		im := newTestImage(b, 96<<20, 255, Options{})
		tab, _ := im.Table(0)
		b.StartTimer()
		if _, err := tab.Replace(all); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		b.ReportMetric(float64(im.Used()), "used")
		b.ReportMetric(float64(im.Used()-int(im.routes.pages)*4096), "read")
		b.StartTimer()
	}
}
func BenchmarkReplaceOne(b *testing.B) {
	v4, v6 := fullRoutes(b)
	all := append(v4, v6...)
	im := newTestImage(b, 96<<20, 255, Options{})
	tab, _ := im.Table(0)
	if _, err := tab.Replace(all); err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	b.ReportAllocs()
	for b.Loop() {
		i := r.IntN(len(all))
		if err := tab.Insert(all[i].Prefix, GroupID(1+r.IntN(255))); err != nil {
			b.Fatal(err)
		}
	}
}
func BenchmarkDeleteInsertOne(b *testing.B) {
	v4, v6 := fullRoutes(b)
	all := append(v4, v6...)
	im := newTestImage(b, 96<<20, 255, Options{})
	tab, _ := im.Table(0)
	if _, err := tab.Replace(all); err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	b.ReportAllocs()
	for b.Loop() {
		i := r.IntN(len(all))
		if err := tab.Delete(all[i].Prefix); err != nil {
			b.Fatal(err)
		}
		if err := tab.Insert(all[i].Prefix, GroupID(1+r.IntN(255))); err != nil {
			b.Fatal(err)
		}
	}
}
