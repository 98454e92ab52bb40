package trace

import (
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"time"
	"unsafe"

	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	weftbpf "weft/bpf"
	"weft/dataplane"
	"weft/dataplane/filter"
)

// ErrFull: there are as many Sessions as there may be.
var ErrFull = fmt.Errorf("there are %d traces and captures already, the most", weftbpf.Selections)

// room is for Records on their way, bytes.
const room = 4 << 20

// Sessions are those of an engine. The zero value has none, and no maps. An engine takes Steps:
// Add, a program with Capture, Arm; and Remove, a program with Capture, Settle. One goroutine at a time, but for
// Tap and what belongs to it.
type Sessions struct {
	capture *weftbpf.Capture // nil: there is no Session
	slots   [weftbpf.Selections]*Session
	reader  *ringbuf.Reader
	flushed chan struct{} // all that was in the ring has been read
	ended   sync.WaitGroup
	boot    time.Time // when the kernel's clock was 0

	mu   sync.Mutex // guards what the reader looks at
	live [weftbpf.Selections]*Session
}

// Capture is what programs are to be made with; nil: usual ones.
func (s *Sessions) Capture() *weftbpf.Capture { return s.capture }

// Add makes a Session, that gets nothing before it is armed.
//
// Errors: ErrFull, and what the kernel refuses.
func (s *Sessions) Add(sel Selection) (*Session, error) {
	slot := -1
	for i := range s.slots {
		if s.slots[i] == nil && slot < 0 {
			slot = i
		}
	}
	if slot < 0 {
		return nil, ErrFull
	}
	if sel.Snap <= 0 || sel.Snap > SnapMost {
		sel.Snap = SnapMost
	}
	if sel.Filter == nil {
		all, err := filter.Parse("")
		if err != nil {
			return nil, err
		}
		sel.Filter = all
	}
	if s.capture == nil {
		if err := s.open(); err != nil {
			return nil, err
		}
	}
	one := &Session{selection: sel, slot: slot, capture: s.capture, records: make(chan *Record, backlog)}
	s.slots[slot] = one
	s.setLive(slot, one)
	s.refilter()
	return one, nil
}

func (s *Sessions) open() (err error) {
	if s.capture, err = weftbpf.NewCapture(room); err != nil {
		return err
	}
	if s.reader, err = ringbuf.NewReader(s.capture.Records); err != nil {
		err = errors.Join(fmt.Errorf("read what was captured: %w", err), s.capture.Close())
		s.capture = nil
		return err
	}
	if s.boot, err = bootTime(); err != nil {
		err = errors.Join(err, s.close())
		s.capture = nil
		return err
	}
	s.flushed = make(chan struct{}, 1)
	s.ended.Go(func() { s.read(s.reader, s.boot) })
	return nil
}

// bootTime is when CLOCK_MONOTONIC, which programs have, was 0.
func bootTime() (time.Time, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return time.Time{}, fmt.Errorf("read the clock: %w", err)
	}
	return time.Now().Round(0).Add(-time.Duration(ts.Nano())), nil
}

func (s *Sessions) setLive(slot int, one *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[slot] = one
}

// refilter makes Capture another one, with the filters of all Sessions that programs have a part in.
func (s *Sessions) refilter() {
	var filters [weftbpf.Selections][]bpf.Instruction
	for i, one := range s.slots {
		if one != nil && one.selection.wants(dataplane.XDP) {
			filters[i] = one.selection.Filter.Code()
		}
	}
	s.capture = s.capture.With(filters)
}

func (sel *Selection) wants(engine dataplane.Name) bool {
	return sel.Engine == nil || *sel.Engine == engine
}

// Arm lets a Session begin: the programs with its filter are there.
func (s *Sessions) Arm(one *Session) {
	sel := &one.selection
	out := weftbpf.Selection{Port: sel.Port, Snap: uint32(sel.Snap), Left: math.MaxInt64 / 2}
	if sel.Count > 0 && sel.Count < math.MaxInt64/2 {
		out.Left = int64(sel.Count)
	}
	for _, r := range sel.Reasons {
		out.Reasons[r/64] |= 1 << (r % 64)
	}
	if len(sel.Reasons) == 0 {
		out.Reasons = [2]uint64{math.MaxUint64, math.MaxUint64}
	}
	s.capture.Arm(one.slot, out)
}

// Remove ends a Session for packets to come. It reports whether it was one.
func (s *Sessions) Remove(one *Session) bool {
	if s.capture == nil || s.slots[one.slot] != one {
		return false
	}
	s.capture.Disarm(one.slot)
	s.slots[one.slot] = nil
	for _, other := range s.slots {
		if other != nil {
			s.refilter()
			return true
		}
	}
	s.capture = nil
	return true
}

// Settle brings a Session what was on its way when it was removed, and ends it.
func (s *Sessions) Settle(one *Session) error {
	s.flush()
	s.setLive(one.slot, nil)
	one.end()
	one.capture.Disarm(one.slot) // what was lost on its way has given back
	if s.capture != nil {
		return nil
	}
	s.capture = one.capture
	err := s.close()
	s.capture = nil
	return err
}

// flush waits until all that is in the ring has been read.
func (s *Sessions) flush() {
	if s.reader != nil && s.reader.Flush() == nil {
		<-s.flushed
	}
}

// Close ends all Sessions.
func (s *Sessions) Close() error {
	if s.capture == nil {
		return nil
	}
	for i, one := range s.slots {
		if one != nil {
			s.capture.Disarm(i)
		}
	}
	s.flush()
	for i, one := range s.slots {
		if one != nil {
			s.setLive(i, nil)
			one.end()
			s.slots[i] = nil
		}
	}
	err := s.close()
	s.capture = nil
	return err
}

func (s *Sessions) close() error {
	err := s.reader.Close()
	s.ended.Wait()
	s.reader = nil
	return errors.Join(err, s.capture.Close())
}

// read brings Records to their Sessions until the reader is closed.
func (s *Sessions) read(reader *ringbuf.Reader, boot time.Time) {
	var raw ringbuf.Record
	for {
		switch err := reader.ReadInto(&raw); {
		case errors.Is(err, ringbuf.ErrFlushed):
			s.flushed <- struct{}{}
			continue
		case errors.Is(err, os.ErrClosed):
			return
		case err != nil || len(raw.RawSample) < weftbpf.RecordFixed:
			continue
		}
		var fixed weftbpf.Record
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&fixed)), weftbpf.RecordFixed), raw.RawSample)
		frame := raw.RawSample[weftbpf.RecordFixed:]
		s.deliver(uint64(fixed.Selections), newRecord(&fixed, frame[:min(int(fixed.Kept), len(frame))], boot))
	}
}

func (s *Sessions) deliver(wanted uint64, r *Record) {
	s.mu.Lock()
	live := s.live
	s.mu.Unlock()
	for i, one := range live {
		if one != nil && wanted&(1<<i) != 0 {
			one.deliver(r)
		}
	}
}
