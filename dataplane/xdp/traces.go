package xdp

import (
	"errors"
	"fmt"

	"weft/dataplane/trace"
)

// StartTrace lets a trace.Session begin: by programs that write down what becomes of packets, in the place of
// the usual ones, by one update of each link. No packet is lost.
//
// Errors: trace.ErrFull, ErrProgram. What ran goes on running then.
func (e *Engine) StartTrace(sel trace.Selection) (*trace.Session, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, fmt.Errorf("start a trace: %w", ErrClosed)
	}
	one, err := e.traces.Add(sel)
	if err == nil {
		if err = e.fit(); err != nil {
			err = errors.Join(err, e.endTrace(one))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("start a trace: %w", err)
	}
	e.tap()
	e.traces.Arm(one)
	return one, nil
}

// StopTrace ends a Session, when it has got what was on its way to it. The usual programs come back with the last one. A
// Session that has ended is none: nothing happens.
func (e *Engine) StopTrace(one *trace.Session) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.endTrace(one); err != nil {
		return fmt.Errorf("end a trace: %w", err)
	}
	return nil
}

func (e *Engine) endTrace(one *trace.Session) error {
	if !e.traces.Remove(one) {
		return nil
	}
	err := e.fit() // Check tries again: until then the programs write down nothing
	e.tap()
	return errors.Join(err, e.traces.Settle(one))
}

// OnTap has a loop told what it has of the Sessions, at each change of them, before the one before is closed.
// The function is called by StartTrace, StopTrace, Close and Stop.
func (e *Engine) OnTap(f func(*trace.Tap)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.onTap = f
}

// Tap is what a loop that has just begun has of the Sessions.
func (e *Engine) Tap() *trace.Tap {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.traces.Tap()
}

func (e *Engine) tap() {
	if e.onTap != nil {
		e.onTap(e.traces.Tap())
	}
}

// endTraces ends all Sessions.
func (e *Engine) endTraces() error {
	if e.onTap != nil {
		e.onTap(nil)
	}
	return e.traces.Close()
}
