package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"weft/test/star"
)

// sample is what a daemon takes.
type sample struct {
	at     time.Duration
	memory float64 // bytes
	files  int
}

// Routes change without a pause while packets are forwarded: nothing is lost, and
// the daemon takes no more after an hour than at first.
func TestSoak(t *testing.T) {
	f := begin(t, "R36", "routes change at random all the time")
	f.Run()
	f.Resolve()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s := f.BeginStable()
	var ended atomic.Bool
	var changes atomic.Uint64
	churned := make(chan error, 1)
	go func() {
		churned <- f.Lab.In("r1", func() (err error) {
			for random := rand.New(rand.NewPCG(seed, 0)); !ended.Load() && err == nil; changes.Add(1) {
				err = star.ChangeRoute(random)
				time.Sleep(time.Millisecond)
			}
			return err
		})
	}()
	start, samples := time.Now(), []sample{}
	for end := pick(15*time.Second, time.Hour); time.Since(start) < end; {
		s.Pass(pick(time.Second, 30*time.Second))
		samples = append(samples, f.sample(start))
		if s.Gen.Sent() > 8<<20 { // a sink tells so many packets apart
			f.proved.Packets += s.Finish()
			s.Close()
			s = f.AgainStable()
		}
	}
	ended.Store(true)
	if err := <-churned; err != nil {
		t.Fatal(err)
	}
	f.CatchUp()
	f.proved.Packets += s.Finish()
	f.proved.Count = changes.Load()
	wantKernelsRoutes(f.Network)
	settled := samples[len(samples)/4:] // what it takes to warm up is no leak
	memory := slope(settled, func(s sample) float64 { return s.memory })
	files := slope(settled, func(s sample) float64 { return float64(s.files) })
	last := samples[len(samples)-1]
	hour := 100 * memory * time.Hour.Seconds() / last.memory
	f.proved.What += fmt.Sprintf(" for %.0f s: %.1f MiB, %+.2f MiB a minute, %d files open, %+.2f a minute",
		time.Since(start).Seconds(), last.memory/(1<<20), 60*memory/(1<<20), last.files, 60*files)
	if soak && hour > 1 {
		t.Errorf("memory grows by %.1f %% an hour, want less than 1", hour)
	}
	if grown := last.files - settled[0].files; grown > 2 { // a client may be asking
		t.Errorf("%d more files are open", grown)
	}
}

func (f *fault) sample(start time.Time) sample {
	f.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", f.Daemon.Pid))
	if err != nil {
		f.Fatal(errors.Join(errors.New("the daemon has gone"), err))
	}
	return sample{time.Since(start), float64(f.Status().Memory), len(files)}
}

// slope fits a line: units a second.
func slope(samples []sample, of func(sample) float64) float64 {
	var n, x, y, xx, xy float64
	for _, s := range samples {
		at, v := s.at.Seconds(), of(s)
		n, x, y, xx, xy = n+1, x+at, y+v, xx+at*at, xy+at*v
	}
	if d := n*xx - x*x; d != 0 {
		return (n*xy - x*y) / d
	}
	return 0
}
