package daemon

import "weft/control/api"

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
