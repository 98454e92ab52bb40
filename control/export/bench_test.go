package export

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"weft/control/rib"
)

// BenchmarkExport compares with `ip -batch`, which is given the same routes through
// the same next-hop object: routes/s of both, and the ratio.
//
//	go test -run - -bench Export -benchtime 3x ./control/export
func BenchmarkExport(b *testing.B) {
	const routes = 100_000
	for _, family := range []string{"ipv4", "ipv6"} {
		b.Run(family+"/100k", func(b *testing.B) {
			enterNetns(b)
			var ours, theirs time.Duration
			for b.Loop() {
				theirs += withIP(b, family, routes)
				ours += withExporter(b, family, routes)
			}
			n := float64(routes * b.N)
			b.ReportMetric(n/ours.Seconds(), "routes/s")
			b.ReportMetric(n/theirs.Seconds(), "ip-routes/s")
			b.ReportMetric(theirs.Seconds()/ours.Seconds(), "rate/ip")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func prefixAt(family string, i int) netip.Prefix {
	if family == "ipv4" {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10 + byte(i>>16), byte(i >> 8), byte(i), 0}), 24)
	}
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, byte(i >> 16), byte(i >> 8), byte(i)}), 56)
}

func withIP(b *testing.B, family string, routes int) time.Duration {
	ip(b, "nexthop add id 5 via fe80::2 dev p1")
	ip(b, "nexthop add id 6 group 5")
	var text strings.Builder
	for i := range routes {
		fmt.Fprintf(&text, "route add %s nhid 6 metric 20\n", prefixAt(family, i))
	}
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(text.String())
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("ip -batch: %v\n%s", err, out)
	}
	took := time.Since(began)
	ip(b, "nexthop del id 6") // and the routes
	ip(b, "nexthop del id 5")
	return took
}

func withExporter(b *testing.B, family string, routes int) time.Duration {
	e := run(b)
	x := &rib.Export{Groups: []rib.ExportGroup{groupOf(1, "11 fe80::2 1")}}
	for i := range routes {
		x.Routes = append(x.Routes, rib.ExportRoute{Key: rib.KeyOf(0, prefixAt(family, i)), Group: 1, Metric: 20})
	}
	began := time.Now()
	e.take(x)
	took := time.Since(began)
	if s := e.Status(); s.Routes != routes || s.Refused+s.Conflicts != 0 {
		b.Fatalf("%+v", s)
	}
	e.end()
	if err := Remove(); err != nil {
		b.Fatal(err)
	}
	return took
}
