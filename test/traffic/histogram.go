package traffic

import (
	"math/bits"
	"time"
)

const buckets = int(generateTrafficLimitsTRAFFIC_BUCKETS)

// Histogram is how often which times were seen: to 1 ns below 64 ns, then to 1 part in 32, up to 17 s. The zero value
// has none. It is the kind of HdrHistogram.
type Histogram struct{ counts [buckets]uint64 }

// bucket is the twin of note_latency in sink.c.
func bucket(ns uint64) int {
	if ns < 64 {
		return int(ns)
	}
	shift := bits.Len64(ns) - 6
	return min(shift*32+int(ns>>shift), buckets-1)
}

// upper returns the longest time of a bucket.
func upper(bucket int) time.Duration {
	if bucket < 64 {
		return time.Duration(bucket)
	}
	shift := bucket/32 - 1
	return time.Duration((bucket%32+33)<<shift - 1)
}

// Add notes a time.
func (h *Histogram) Add(d time.Duration) { h.counts[bucket(uint64(max(0, d)))]++ }

// Merge adds what another has.
func (h *Histogram) Merge(o *Histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
}

// Count returns how many times there are.
func (h *Histogram) Count() (n uint64) {
	for _, c := range h.counts {
		n += c
	}
	return n
}

// Quantile returns a time that a share of all, 0 to 1, does not exceed. It is not less than the true one, and at most 1
// part in 32 more. 0: there are none.
func (h *Histogram) Quantile(share float64) time.Duration {
	want := uint64(share * float64(h.Count()))
	var seen uint64
	last := 0
	for i, n := range h.counts {
		if n > 0 {
			last = i
		}
		if seen += n; seen > want {
			return upper(i)
		}
	}
	return upper(last)
}

// Point is a time, and how many packets it was that took as long, or up to 1 part in 32 less.
type Point struct {
	Time  time.Duration
	Count uint64
}

// Points returns the times that there are, the shortest first.
func (h *Histogram) Points() (all []Point) {
	for i, n := range h.counts {
		if n > 0 {
			all = append(all, Point{upper(i), n})
		}
	}
	return all
}
