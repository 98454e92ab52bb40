package trace

import (
	"sync"
	"sync/atomic"

	"weft/bpf"
)

// backlog is how many Records of a Session wait for their reader.
const backlog = 1024

// Session is one Selection at work.
type Session struct {
	selection Selection
	slot      int
	capture   *bpf.Capture

	mu      sync.Mutex // guards what follows
	records chan *Record
	ended   bool
	lost    atomic.Uint64 // what the programs have lost, when it has ended
}

// Records are what it has got, in no order between processors; closed when it has ended.
func (s *Session) Records() <-chan *Record { return s.records }

// Lost is how many packets passed and did not find room. Any goroutine.
func (s *Session) Lost() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return s.lost.Load()
	}
	return s.capture.Lost(s.slot)
}

// deliver gives the Session a Record, or counts it as lost.
func (s *Session) deliver(r *Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	select {
	case s.records <- r.cut(s.selection.Snap):
	default:
		s.capture.Lose(s.slot)
	}
}

func (s *Session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost.Store(s.capture.Lost(s.slot))
	s.ended = true
	close(s.records)
}
