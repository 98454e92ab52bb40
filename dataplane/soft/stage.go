package soft

import (
	"sync/atomic"
	"time"
)

// Stage is one of the steps that vectors go through.
type Stage uint8

const (
	stageReceive Stage = iota
	stageInput
	stageFeatures
	stageLookup
	stageRewrite
	stageFinish
	stageTransmit
	stageCount
	numStages
)

var stageNames = [numStages]string{"receive", "input", "features", "lookup", "rewrite", "finish", "transmit", "count"}

// String returns the stage's name.
func (s Stage) String() string { return stageNames[s] }

// StageStats is what a stage has had to do.
type StageStats struct {
	Stage   Stage
	Calls   uint64 // one for each vector that had packets for it
	Packets uint64
	Took    time.Duration
}

// stages are the worker's own counts, and what others may read of them: as they were at
// most publishEvery vectors ago, and exact when the queues were found empty.
type stages struct {
	own     [numStages]stageCounts
	since   int // publication, vectors
	shared  [numStages]struct{ calls, packets, ticks atomic.Uint64 }
	began   time.Time
	beganAt uint64
}

type stageCounts struct{ calls, packets, ticks uint64 }

const publishEvery = 64

func (s *stages) begin() { s.began, s.beganAt = time.Now(), ticks() }

func (s *stages) start() uint64 { return ticks() }

// end counts a stage that has begun at t, and returns the time.
func (s *stages) end(stage Stage, packets int, t uint64) uint64 {
	now := ticks()
	c := &s.own[stage]
	c.calls++
	c.packets += uint64(packets)
	c.ticks += now - t
	if stage == stageTransmit {
		if s.since++; s.since >= publishEvery {
			s.publish()
		}
	}
	return now
}

func (s *stages) publish() {
	if s.since == 0 {
		return
	}
	s.since = 0
	for i := range s.own {
		own, shared := &s.own[i], &s.shared[i]
		shared.calls.Store(own.calls)
		shared.packets.Store(own.packets)
		shared.ticks.Store(own.ticks)
	}
}

// Stages reads what each stage has had to do. Any goroutine.
func (w *Worker) Stages() []StageStats {
	s := &w.stages
	ns := float64(time.Since(s.began)) / float64(max(1, ticks()-s.beganAt))
	all := make([]StageStats, numStages)
	for i := range all {
		c := &s.shared[i]
		all[i] = StageStats{Stage(i), c.calls.Load(), c.packets.Load(), time.Duration(float64(c.ticks.Load()) * ns)}
	}
	return all
}
