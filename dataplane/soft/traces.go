package soft

import "weft/dataplane/trace"

// StartTrace is that of the XDP engine, and the loop has its part.
func (e *Engine) StartTrace(sel trace.Selection) (*trace.Session, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.Engine.StartTrace(sel)
}

// StopTrace ends a trace.Session, of which the loop knows nothing any more then.
func (e *Engine) StopTrace(one *trace.Session) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.Engine.StopTrace(one)
}

// setTap has the loops look for the sessions of a Tap from their next rounds on, and for no others. The caller has the lock.
func (e *Engine) setTap(t *trace.Tap) {
	if e.crew != nil {
		e.crew.setTap(t)
	}
}
