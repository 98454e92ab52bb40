package search

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
)

var goals = []Goal{
	{Name: "pdr", Loss: 0.005, Exceed: 0.5, Trials: 3, Width: 0.02}, {Name: "ndr", Exceed: 0.5, Trials: 5, Width: 0.02},
}

// router loses what is above its capacity, and now and then, by a neighbor's fault, something at any load.
func router(capacity, noise float64) Trial {
	r := rand.New(rand.NewPCG(1, 2))
	return func(_ context.Context, load float64) (float64, error) {
		if r.Float64() < noise {
			return 0.2, nil
		}
		return max(0, 1-capacity/load), nil
	}
}

func TestFind(t *testing.T) {
	for _, noise := range []float64{0, 0.1, 0.2} {
		for _, capacity := range []float64{1234, 1e5, 2.7e6} {
			found, err := Find(t.Context(), Range{1000, 1e7}, goals, router(capacity, noise))
			if err != nil {
				t.Fatalf("capacity %g, noise %g: %v", capacity, noise, err)
			}
			for i, g := range goals {
				true1 := capacity / (1 - g.Loss)
				if low := 0.95 * true1; found[i].Load < low && noise == 0 || found[i].Load > true1 {
					t.Errorf("capacity %g, noise %g: %s is %g, want %g to %g", capacity, noise, g.Name, found[i].Load, low, true1)
				}
			}
			if found[1].Trials > 200 {
				t.Errorf("capacity %g, noise %g: %d trials", capacity, noise, found[1].Trials)
			}
		}
	}
}

// A neighbor that works for as long as a load is tried does not hide what is above it.
func TestDoubts(t *testing.T) {
	n := 0
	trial := func(_ context.Context, load float64) (float64, error) {
		if n++; n >= 3 && n < 12 {
			return 0.5, nil
		}
		return max(0, 1-1e6/load), nil
	}
	found, err := Find(t.Context(), Range{1000, 1e7}, goals[:1], trial)
	if err != nil || found[0].Load < 0.9e6 || found[0].Load > 1.01e6 {
		t.Errorf("found %+v, %v, want 1e6", found, err)
	}
}

func TestEnds(t *testing.T) {
	all, err := Find(t.Context(), Range{1000, 1e6}, goals, router(1e9, 0))
	if err != nil || all[0] != (Result{1e6, 0, 2}) || all[1].Load != 1e6 {
		t.Errorf("a system that loses nothing: %+v, %v", all, err)
	}
	if _, err := Find(t.Context(), Range{1000, 1e6}, goals, router(10, 0)); !errors.Is(err, ErrNone) {
		t.Errorf("a system that loses all: %v", err)
	}
	broken := errors.New("broken")
	if _, err := Find(t.Context(), Range{1000, 1e6}, goals, func(context.Context, float64) (float64, error) { return 0, broken }); !errors.Is(err, broken) {
		t.Errorf("a trial that fails: %v", err)
	}
}
