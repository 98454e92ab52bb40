package scale

import (
	"fmt"
	"testing"
)

// BenchmarkVerify measures how long 'weft verify' takes: kernel, RIB, image and live
// program, prefix by prefix, while packets are forwarded (s/verify).
func BenchmarkVerify(b *testing.B) {
	s := begin(b, "R38", "all prefixes verified")
	stream := s.BeginStable()
	for b.Loop() {
		if o := s.Weft("verify"); o.Code != 0 {
			b.Fatalf("weft verify: exit code %d\n%s%s", o.Code, o.Stdout, o.Stderr)
		}
	}
	took := b.Elapsed().Seconds() / float64(b.N)
	s.proved.Packets, s.proved.Count = stream.Finish(), uint64(b.N*(len(s.table.v4)+len(s.table.v6)))
	s.proved.What += fmt.Sprintf(" in %.1f s", took)
	b.ReportMetric(took, "s/verify")
	b.ReportMetric(0, "ns/op")
}
