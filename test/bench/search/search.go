// Package search finds the highest load at which a system loses no more than a share of its packets, on a machine that
// is not quiet.
//
// It follows MLRsearch (draft-ietf-bmwg-mlrsearch): one search for several goals, from coarse to fine, with trials that are short at
// first. A Goal is reached at a load if the loss ratio was exceeded in no more than a share of the trials there (Exceed): a
// neighbor that takes the CPU for a moment spoils a trial, not the result. Trials at a load end as soon as what is left of
// them cannot change the verdict. The result is the greatest load that holds, with the least one above it that does not: the
// width between them is what the search knows.
package search

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Goal is a share of packets that may be lost.
type Goal struct {
	Name   string
	Loss   float64 // of a trial, at most
	Exceed float64 // share of the trials at a load that may lose more
	Trials int     // at a load that is to hold
	Width  float64 // of the result, as a share of it
}

// Trial sends at a load, packets a second, and returns the share that was lost.
type Trial func(ctx context.Context, load float64) (loss float64, err error)

// Result is a load, packets a second, that holds, and the least above it that was found not to; 0: none did not.
type Result struct {
	Load, Above float64
	Trials      int // of the whole search so far
}

// ErrNone is a system that does not even hold the least load.
var ErrNone = errors.New("no load holds")

// Range is the loads to search in.
type Range struct{ Min, Max float64 }

// searcher keeps the losses of all trials: those for one goal count for the others.
type searcher struct {
	trial  Trial
	losses map[float64][]float64
	n      int
}

// Find returns a Result for each goal, in their order. Max is held for the most that can be sent: it is not exceeded.
//
// Errors: ErrNone.
func Find(ctx context.Context, r Range, goals []Goal, trial Trial) (results []Result, err error) {
	s := &searcher{trial: trial, losses: map[float64][]float64{}}
	for _, g := range goals {
		found, err := s.find(ctx, r, g)
		if err != nil {
			return results, fmt.Errorf("%s: %w", g.Name, err)
		}
		results = append(results, found)
	}
	return results, nil
}

// holds tries a load until the verdict is sure.
func (s *searcher) holds(ctx context.Context, g Goal, load float64) (bool, error) {
	allowed := int(g.Exceed * float64(g.Trials))
	for {
		bad := 0
		for _, loss := range s.losses[load] {
			if loss > g.Loss {
				bad++
			}
		}
		done := len(s.losses[load])
		switch {
		case bad > allowed && bad*g.Trials > allowed*done:
			return false, nil
		case done-bad >= g.Trials-allowed:
			return true, nil
		}
		loss, err := s.trial(ctx, load)
		if err != nil {
			return false, err
		}
		s.n++
		s.losses[load] = append(s.losses[load], loss)
	}
}

// doubts is how often a bound above is tried again, with trials of its own, before it is believed: what has spoiled the
// trials there may have lasted longer than they did.
const doubts = 4

// find brackets by what was tried before, halves, and doubts.
func (s *searcher) find(ctx context.Context, r Range, g Goal) (Result, error) {
	low, high := 0.0, 0.0
	for _, load := range s.tried(r) {
		ok, err := s.holds(ctx, g, load)
		if err != nil {
			return Result{}, err
		}
		if !ok {
			high = load
			break
		}
		low = load
	}
	for doubted := 0; ; doubted++ {
		var err error
		if low, high, err = s.halve(ctx, r, g, low, high); err != nil {
			return Result{}, err
		}
		if high == 0 || doubted == doubts {
			break
		}
		delete(s.losses, high)
		ok, err := s.holds(ctx, g, high)
		if err != nil {
			return Result{}, err
		}
		if !ok {
			break
		}
		low, high = high, s.above(high)
	}
	return Result{low, high, s.n}, nil
}

// above returns the least load that was tried above another; 0: none.
func (s *searcher) above(load float64) (least float64) {
	for l := range s.losses {
		if l > load && (least == 0 || l < least) {
			least = l
		}
	}
	return least
}

// halve narrows a bracket, by the loads' ratio, until it is as wanted. Low 0: no load is known to hold; high 0: none not to.
func (s *searcher) halve(ctx context.Context, r Range, g Goal, low, high float64) (float64, float64, error) {
	for low == 0 || high > 0 && high-low > g.Width*high {
		next := math.Sqrt(low * high)
		if low == 0 {
			if high <= r.Min {
				return 0, 0, ErrNone
			}
			next = max(r.Min, high/4)
		}
		ok, err := s.holds(ctx, g, next)
		if err != nil {
			return 0, 0, err
		}
		if ok {
			low = next
		} else {
			high = next
		}
	}
	return low, high, nil
}

// tried returns loads to begin with: those of goals before, and the greatest.
func (s *searcher) tried(r Range) []float64 {
	loads := []float64{r.Max}
	for load := range s.losses {
		if load < r.Max {
			loads = append(loads, load)
		}
	}
	slices.Sort(loads)
	return loads
}
