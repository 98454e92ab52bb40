package fib

import (
	"math/rand/v2"
	"net/netip"
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

func BenchmarkLookup(b *testing.B) {
	v4, v6, _ := fulltable.Prefixes()
	routes4, routes6 := fullRoutes(b)
	im := newTestImage(b, 96<<20, 255, Options{})
	tab, _ := im.Table(0)
	if _, err := tab.Replace(append(routes4, routes6...)); err != nil {
		b.Fatal(err)
	}
	for _, tr := range fulltable.Traces(v4, v6, 1) {
		var six []Addr6
		for _, a := range tr.IPv6 {
			k, _ := keyOf(netip.AddrFrom16(a))
			six = append(six, Addr6{k.hi, k.lo})
		}
		out := make([]GroupID, fulltable.TraceLen)
		b.Run(tr.Family+"/"+tr.Name+"/single", func(b *testing.B) {
			for b.Loop() {
				for i, a := range tr.IPv4 {
					out[i] = tab.Lookup4(a)
				}
				for i, a := range six {
					out[i] = tab.Lookup6(a)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/fulltable.TraceLen, "ns/lookup")
		})
		b.Run(tr.Family+"/"+tr.Name+"/batch", func(b *testing.B) {
			for b.Loop() {
				tab.LookupBatch4(tr.IPv4, out[:len(tr.IPv4)])
				tab.LookupBatch6(six, out[:len(six)])
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/fulltable.TraceLen, "ns/lookup")
		})
	}
}
