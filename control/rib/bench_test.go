package rib

import (
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
	"weft/test/fulltable"
)

// BenchmarkSet measures how fast a source fills the RIB and the image with the
// Internet's table, through some 250 gateways that are found by a route of the
// kernel, with and without somebody who programs the kernel (routes/s), what a
// route takes (B/route, without the image), and how long it takes to lead all of
// them past a link that is down (ns/linkdown) and to find their gateways elsewhere
// (ns/reroute).
func BenchmarkSet(b *testing.B) {
	for name, export := range map[string]func(*Export){"alone": nil, "export": func(*Export) {}} {
		b.Run(name, func(b *testing.B) { benchmarkSet(b, export) })
	}
}

func benchmarkSet(b *testing.B, export func(*Export)) {
	v4, v6, err := fulltable.Prefixes()
	if err != nil {
		b.Fatal(err)
	}
	hops := fulltable.NextHops(len(v4), 1)
	routes := 0
	for b.Loop() {
		b.StopTimer()
		r := New(testImage(b, 128<<20), Options{Ports: portsBelow(9), Reasons: testReasons, Export: export})
		r.BeginSync()
		for n := 1; n <= 3; n++ {
			r.SetLink(testLink(n))
		}
		r.EndSync()
		subnet := route(b, "unicast 192.0.2.0/24 nexthop via 198.51.100.1 dev 1 nexthop via 198.51.100.2 dev 2")
		r.SetRoute(subnet, Add)
		before := heap()
		b.StartTimer()
		hop, two := []Hop{{}}, []Hop{{Gateway: netip.MustParseAddr("fe80::1"), Link: 1}, {Gateway: netip.MustParseAddr("fe80::1"), Link: 2}}
		for family, prefixes := range [][]netip.Prefix{v4, v6} {
			for i, p := range prefixes {
				if isReserved(newKey(0, p)) {
					continue
				}
				if family == 0 {
					hop[0].Gateway = netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + hops[i]%250)})
				} else {
					hop = two
				}
				if err := r.Set(&Route{Prefix: p, Source: BGP, Preference: 20, Hops: hop}); err != nil {
					b.Fatal(err)
				}
				if routes++; routes%1024 == 0 {
					r.Publish()
				}
			}
		}
		r.Publish()
		b.StopTimer()
		n := r.Counts().Candidates
		b.ReportMetric(float64(heap()-before)/float64(n), "B/route")
		b.ReportMetric(elapsed(b, func() {
			l := testLink(1)
			l.Flags = 0
			r.SetLink(l)
			r.Publish()
		}), "ns/linkdown")
		b.ReportMetric(elapsed(b, func() {
			subnet.Hops = []kernel.Hop{{Link: 3, Gateway: netip.MustParseAddr("198.51.100.3"), Weight: 1}}
			r.SetRoute(subnet, Replace)
			r.Publish()
		}), "ns/reroute")
		if c := r.Counts(); c.NotInstalled+int(c.Failed) != 0 {
			b.Fatalf("%+v", c)
		}
		runtime.KeepAlive(r)
		b.StartTimer()
	}
	b.ReportMetric(float64(routes)/b.Elapsed().Seconds(), "routes/s")
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func elapsed(b *testing.B, do func()) float64 {
	b.Helper()
	start := time.Now()
	do()
	return float64(time.Since(start).Nanoseconds())
}

// BenchmarkFlush measures how fast the kernel's routes go, in the order in which 'ip
// route flush' deletes them, and come again (routes/s, of both).
func BenchmarkFlush(b *testing.B) {
	v4, v6, err := fulltable.Prefixes()
	if err != nil {
		b.Fatal(err)
	}
	prefixes := slices.SortedFunc(slices.Values(append(slices.Clone(v4), v6...)), netip.Prefix.Compare)
	r := New(testImage(b, 128<<20), Options{Ports: portsBelow(9), Reasons: testReasons})
	r.BeginSync()
	r.SetLink(testLink(1))
	r.EndSync()
	hops := fulltable.NextHops(len(prefixes), 1)
	m := kernel.Route{Table: tableMain, Type: unix.RTN_UNICAST}
	each := func(do func(*kernel.Route)) {
		for i, p := range prefixes {
			gateway := netip.AddrFrom4([4]byte{192, 0, 2, byte(hops[i])})
			m.Prefix, m.Hops = p, append(m.Hops[:0], kernel.Hop{Link: 1, Gateway: gateway, Weight: 1})
			if do(&m); i%1024 == 0 {
				r.Publish()
			}
		}
	}
	for b.Loop() {
		each(func(m *kernel.Route) { r.SetRoute(m, Add) })
		each(r.DeleteRoute)
	}
	if c := r.Counts(); c.NotInstalled+int(c.Failed) != 0 {
		b.Fatalf("%+v", c)
	}
	b.ReportMetric(float64(2*b.N*len(prefixes))/b.Elapsed().Seconds(), "routes/s")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkSetBeside measures how fast a daemon tells, by next-hop objects, the
// Internet's table that it has put into the kernel before (routes/s).
func BenchmarkSetBeside(b *testing.B) {
	v4, v6, err := fulltable.Prefixes()
	if err != nil {
		b.Fatal(err)
	}
	prefixes := append(slices.Clone(v4), v6...)
	hops := fulltable.NextHops(len(prefixes), 1)
	for b.Loop() {
		b.StopTimer()
		r := New(testImage(b, 128<<20), Options{Ports: portsBelow(9), Reasons: testReasons})
		r.BeginSync()
		r.SetLink(testLink(1))
		m := kernel.Route{Table: tableMain, Type: unix.RTN_UNICAST, Metric: 20, Protocol: unix.RTPROT_BGP}
		for i, p := range prefixes {
			m.Prefix, m.NextHop = p, 1+hops[i]
			r.SetRoute(&m, Dumped)
		}
		r.EndSync()
		for id := range uint32(256) {
			hop := kernel.Hop{Link: 1, Gateway: netip.AddrFrom4([4]byte{192, 0, 2, byte(id)}), Weight: 1}
			r.SetNextHopOf(FPM, kernel.NextHop{ID: 1 + id, Hop: hop})
		}
		b.StartTimer()
		for i, p := range prefixes {
			if err := r.Set(&Route{Prefix: p, Source: FPM, Preference: 20, NextHop: 1 + hops[i]}); err != nil {
				b.Fatal(err)
			}
			if i%4096 == 0 {
				r.Publish()
			}
		}
		r.Publish()
		if c := r.Counts(); c.NotInstalled+int(c.Failed) != 0 || c.Candidates < 2*len(prefixes) {
			b.Fatalf("%+v", c)
		}
	}
	b.ReportMetric(float64(b.N*len(prefixes))/b.Elapsed().Seconds(), "routes/s")
	b.ReportMetric(0, "ns/op")
}
