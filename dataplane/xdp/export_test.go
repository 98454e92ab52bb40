package xdp

import (
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
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
