package traffic

import (
	"math"
	"testing"
	"time"
)

// Each time is in the bucket whose bounds it has: the buckets lie side by side.
func TestBuckets(t *testing.T) {
	for b := range buckets - 1 {
		if got := bucket(uint64(upper(b))); got != b {
			t.Fatalf("%v is in bucket %d, want %d", upper(b), got, b)
		}
		if got := bucket(uint64(upper(b)) + 1); got != b+1 {
			t.Fatalf("%v is in bucket %d, want %d", upper(b)+1, got, b+1)
		}
		if b > 64 && float64(upper(b)-upper(b-1)) > float64(upper(b))/32 {
			t.Fatalf("bucket %d is from %v to %v", b, upper(b-1), upper(b))
		}
	}
	if got := upper(buckets - 1); got != 1<<34-1 {
		t.Errorf("longest is %d", got)
	}
	if got := bucket(math.MaxUint64); got != buckets-1 {
		t.Errorf("what is too long is in bucket %d", got)
	}
}

func TestQuantile(t *testing.T) {
	var h, more Histogram
	if h.Quantile(0.5) != 0 || h.Count() != 0 || h.Points() != nil {
		t.Error("an empty histogram has times")
	}
	for i := range 1000 {
		h.Add(time.Duration(i) * time.Microsecond)
	}
	for share, want := range map[float64]time.Duration{0: 0, 0.5: 500 * time.Microsecond, 0.99: 990 * time.Microsecond, 1: 999 * time.Microsecond} {
		if got := h.Quantile(share); got < want || float64(got) > 1.04*float64(want) {
			t.Errorf("quantile %g is %v, want %v", share, got, want)
		}
	}
	more.Add(time.Second)
	h.Merge(&more)
	if h.Count() != 1001 || h.Quantile(1) < time.Second {
		t.Errorf("merged: %d times, longest %v", h.Count(), h.Quantile(1))
	}
	if p := h.Points(); p[0] != (Point{0, 1}) || p[len(p)-1].Count != 1 {
		t.Errorf("points %v ... %v", p[0], p[len(p)-1])
	}
}
