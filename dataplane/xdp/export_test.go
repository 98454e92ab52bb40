package xdp

import (
	"maps"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"weft/bpf"
)

// WithoutTracepoints makes engines as on a kernel that has none, until the
// returned function is called.
func WithoutTracepoints() func() {
	before := attachTracepoint
	attachTracepoint = func(link.RawTracepointOptions) (link.Link, error) { return nil, unix.ENOENT }
	return func() { attachTracepoint = before }
}

// Check asks peers each time: tests do not wait.
func init() { peerShare = 0 }

// About is what one format tells the others.
type About = about

// PinNames returns the names of a format's maps.
func PinNames() []string {
	names := slices.Collect(maps.Keys(statePins(new(bpf.State))))
	return slices.Sorted(slices.Values(append(names, imagePin, aboutPin)))
}

// BeforeRows is how many rows of a port no CPU counts in.
const BeforeRows = beforeRows

// Steps are where InterruptAt ends TakeOver, and Open.
var Steps = []string{
	"before the maps are current", "before the links are updated", "before the counters are moved", "before the old maps are removed",
}

// InterruptAt makes TakeOver and Open answer err at a step, until the returned
// function is called.
func InterruptAt(step string, err error) func() {
	reached = func(at string) error {
		if at == step {
			return err
		}
		return nil
	}
	return func() { reached = func(string) error { return nil } }
}

// Kill closes what the engine has open, as the end of its process does.
func (e *Engine) Kill() error {
	e.beside = nil // what is pinned stays
	return e.Close()
}

// RemoveEntries removes a port's entries in the maps, but not its link.
func (e *Engine) RemoveEntries(number uint32) error { return e.forget(&e.ports[number].Port) }

// LookAtAccounts looks now. What has come in before the last look but one must be
// counted by Linux and by weft when it is called.
func (e *Engine) LookAtAccounts() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lookAtAccounts()
}

// LookEvery makes Check look that often, until the returned function is called.
func LookEvery(d time.Duration) func() {
	before := lookEvery
	lookEvery = d
	return func() { lookEvery = before }
}

// ProgramTC is Program for ports in mode tc.
func (e *Engine) ProgramTC() *ebpf.Program { return e.progs.tc }
