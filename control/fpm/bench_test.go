package fpm

import (
	"context"
	"fmt"
	"testing"
)

// counter is a Sink that does nothing: what is left is the server's own cost.
type counter struct{}

func (counter) Apply(context.Context, *Batch) error { return nil }

// One route in a frame, as zebra sends them, over a socket until the Sink has it.
func BenchmarkServerTake(b *testing.B) {
	const n = 200_000
	stream := frame(object1(1, "198.51.100.1"))
	for i := range n {
		stream = append(stream, frame(by(fmt.Sprintf("%d.%d.%d.0/24", 1+i>>16, i>>8&0xff, i&0xff), 1))...)
	}
	w := newWorld(b, Config{Sink: counter{}})
	c := w.dial()
	for b.Loop() {
		if _, err := c.Write(stream); err != nil {
			b.Fatal(err)
		}
		c.sent += n + 1
		w.applied(c.sent)
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "routes/s")
}
