package daemon

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/cilium/ebpf"

	"weft/control/api"
	"weft/dataplane/xdp"
)

// instructionSize is what a BPF instruction takes, bytes (RFC 9669 3).
const instructionSize = 8

// program describes the program that forwards now.
func (r *router) program() (*api.Program, error) {
	info, err := r.engine.ProgramInfo()
	if err != nil {
		return nil, err
	}
	p := &api.Program{Tag: info.Tag}
	if id, ok := info.ID(); ok {
		p.Id = uint32(id)
	}
	if n, err := info.TranslatedSize(); err == nil {
		p.Instructions = uint32(n / instructionSize)
	}
	if n, err := info.JitedSize(); err == nil {
		p.JitedBytes = n
	}
	return p, nil
}

// degraded says why the program that forwards is not the one that ports need, or that
// interfaces would need to be ports; "": it is. The engine tries again, and so does
// retry.
func (r *router) degraded() string {
	if err := r.engine.Unfit(); err != nil {
		return err.Error()
	}
	for _, refused := range r.ports.Refused() {
		if errors.Is(refused.Err, xdp.ErrProgram) {
			return refused.Err.Error()
		}
	}
	return ""
}

// verifierTail is for the log: the last that the kernel's verifier said of a program
// that it has refused.
func verifierTail(err error) slog.Attr {
	var refused *ebpf.VerifierError
	if !errors.As(err, &refused) || len(refused.Log) == 0 {
		return slog.Attr{} // which is left out
	}
	return slog.String("verifier", fmt.Sprintf("%-20v", refused))
}
