package bpf

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types -type weft_asked -type weft_asked_limits resolve resolve.c -- -O2 -g -Wall -Werror -mcpu=v3 -Iinclude -idirafter /usr/include/x86_64-linux-gnu

const (
	// MaxAsked is how many destinations one run asks about.
	MaxAsked = int(resolveWeftAskedLimitsWEFT_ASKED)
	// AskedFrame is how long the frame is that is made for each, bytes.
	AskedFrame = int(resolveWeftAskedLimitsWEFT_ASKED_FRAME)

	askedMap = ".data.asked"
)

// Asked is the memory of a Resolver: what it asks, and the answers.
type Asked = resolveWeftAsked

// Resolver asks a traced XDP program about many destinations.
type Resolver struct {
	Program *ebpf.Program // to be run as often as there are destinations
	Asked   *ebpf.Map     // one value, an Asked
	router  *ebpf.Map     // the program that is asked
}

// LoadResolver makes a Resolver for a program that Load has made with Features.Trace
// on a State.
func LoadResolver(router *ebpf.Program, s *State) (*Resolver, error) {
	r, err := loadResolver(router, s, true)
	if err != nil { // as in Load: what the router takes, this must take
		if r, err := loadResolver(router, s, false); err == nil {
			return r, nil
		}
		return nil, fmt.Errorf("load program that asks the router: %w", err)
	}
	return r, nil
}

func loadResolver(router *ebpf.Program, s *State, pieces bool) (*Resolver, error) {
	spec, err := specResolve(s, pieces)
	if err != nil {
		return nil, err
	}
	asked, err := ebpf.NewMap(spec.Maps[askedMap])
	if err != nil {
		return nil, fmt.Errorf("create map %s: %w", spec.Maps[askedMap].Name, err)
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
		MapReplacements: map[string]*ebpf.Map{traceMap: s.Trace, askedMap: asked},
	})
	if err != nil {
		return nil, errors.Join(err, asked.Close())
	}
	defer coll.Close()
	r := &Resolver{coll.DetachProgram(resolveProgWeftResolve), asked, coll.DetachMap(resolveMapRouter)}
	if err := r.router.Put(uint32(0), router); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// specResolve returns what is loaded, on maps of these sizes.
func specResolve(s *State, pieces bool) (*ebpf.CollectionSpec, error) {
	spec, err := loadResolve()
	if err != nil {
		return nil, err
	}
	if !pieces {
		spec.Programs[resolveProgWeftResolve].Flags &^= unix.BPF_F_XDP_HAS_FRAGS
	}
	for name, size := range map[string]uint32{traceMap: s.Trace.ValueSize(), askedMap: uint32(unsafe.Sizeof(Asked{}))} {
		ms := spec.Maps[name]
		ms.Name, ms.ValueSize, ms.Flags = strings.TrimPrefix(name, ".data."), size, unix.BPF_F_MMAPABLE
		ms.Contents, ms.Key, ms.Value = nil, nil, nil
	}
	return spec, nil
}

// Close closes program and maps.
func (r *Resolver) Close() error {
	return errors.Join(r.Program.Close(), r.Asked.Close(), r.router.Close())
}
