package fib

import (
	"math/rand/v2"
	"testing"

	"weft/test/fulltable"
)

const benchSize = 64 << 20

// fullRoutes is the Internet table with a random group, 1 to 255, for each prefix.
func fullRoutes(tb testing.TB) []Route {
	tb.Helper()
	v4, v6, err := fulltable.Prefixes()
	if err != nil {
		tb.Fatal(err)
	}
	routes := make([]Route, 0, len(v4)+len(v6))
	for i, hop := range fulltable.NextHops(len(v4), 1) {
		routes = append(routes, Route{v4[i], GroupID(hop)})
	}
	for i, hop := range fulltable.NextHops(len(v6), 2) {
		routes = append(routes, Route{v6[i], GroupID(hop)})
	}
	return routes
}

func emptyTable(tb testing.TB, opts Options) (*Image, Table) {
	tb.Helper()
	im := newTestImage(tb, benchSize, 510, opts)
	tab, err := im.Table(0)
	if err != nil {
		tb.Fatal(err)
	}
	return im, tab
}

func fullTable(tb testing.TB, opts Options) (*Image, Table, []Route) {
	tb.Helper()
	im, tab := emptyTable(tb, opts)
	routes := fullRoutes(tb)
	if _, err := tab.Replace(routes); err != nil {
		tb.Fatal(err)
	}
	return im, tab, routes
}

func traces(tb testing.TB) []fulltable.Trace {
	tb.Helper()
	v4, v6, err := fulltable.Prefixes()
	if err != nil {
		tb.Fatal(err)
	}
	return fulltable.Traces(v4, v6, 1)
}

func BenchmarkFIBLookup(b *testing.B) {
	_, tab, _ := fullTable(b, Options{})
	for _, tr := range traces(b) {
		addrs := tr.Addrs()
		b.Run(tr.Family+"/full/"+tr.Name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				tab.Lookup(addrs[i%fulltable.TraceLen])
				i++
			}
		})
	}
}

func BenchmarkFIBLookupBatch(b *testing.B) {
	_, tab, _ := fullTable(b, Options{})
	out := make([]GroupID, 256)
	for _, tr := range traces(b) {
		six := make([]Addr6, len(tr.IPv6))
		for i, a := range tr.Addrs()[:len(six)] {
			k, _ := keyOf(a)
			six[i] = Addr6{k.hi, k.lo}
		}
		run := func(b *testing.B) {
			b.ReportAllocs()
			at := 0
			for b.Loop() {
				if len(six) > 0 {
					tab.LookupBatch6(six[at:at+len(out)], out)
				} else {
					tab.LookupBatch4(tr.IPv4[at:at+len(out)], out)
				}
				at = (at + len(out)) % fulltable.TraceLen
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(out)), "ns/pkt")
		}
		b.Run(tr.Family+"/full/"+tr.Name, run)
		b.Run(tr.Family+"/full/"+tr.Name+"/portable", func(b *testing.B) { withoutAVX512(func() { run(b) }) })
	}
}

func BenchmarkFIBLoad(b *testing.B) {
	routes := fullRoutes(b)
	for _, layout := range []string{"fast", "compact"} {
		b.Run("full/"+layout, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				im, tab := emptyTable(b, Options{Compact: layout == "compact"})
				b.StartTimer()
				if _, err := tab.Replace(routes); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				b.ReportMetric(float64(im.Used()-im.UsedByRecords())/float64(len(routes)), "B/prefix")
				b.ReportMetric(float64(im.UsedByRecords())/float64(len(routes)), "B/record")
				b.StartTimer()
			}
			b.ReportMetric(float64(len(routes))*float64(b.N)/b.Elapsed().Seconds(), "routes/s")
		})
	}
}

func BenchmarkFIBReplace(b *testing.B) {
	_, tab, routes := fullTable(b, Options{})
	r := rand.New(rand.NewPCG(1, 0))
	b.ReportAllocs()
	for b.Loop() {
		if err := tab.Insert(routes[r.IntN(len(routes))].Prefix, GroupID(1+r.IntN(510))); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "routes/s")
}

func BenchmarkFIBDeleteInsert(b *testing.B) {
	_, tab, routes := fullTable(b, Options{})
	r := rand.New(rand.NewPCG(1, 0))
	b.ReportAllocs()
	for b.Loop() {
		rt := routes[r.IntN(len(routes))]
		if err := tab.Delete(rt.Prefix); err != nil {
			b.Fatal(err)
		}
		if err := tab.Insert(rt.Prefix, rt.Group); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFIBOpen is a restart: a writer takes over an image with the full table.
func BenchmarkFIBOpen(b *testing.B) {
	im, _, _ := fullTable(b, Options{})
	for b.Loop() {
		if _, err := Open(im.mem, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFIBCopyTo is what growth costs.
func BenchmarkFIBCopyTo(b *testing.B) {
	im, _, _ := fullTable(b, Options{})
	for b.Loop() {
		if _, err := im.CopyTo(make([]byte, 2*benchSize), Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
