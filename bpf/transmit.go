package bpf

import (
	"fmt"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types -type weft_transmit -type weft_transmits xmit xmit.c -- -O2 -g -Wall -Werror -mcpu=v3 -Iinclude -idirafter /usr/include/x86_64-linux-gnu

type (
	// Transmit is what a port did not take of what was redirected to it.
	Transmit = xmitWeftTransmit
	// Transmits is the memory of the map of transmits.
	Transmits = xmitWeftTransmits
)

var (
	_ [24]byte               = [unsafe.Sizeof(Transmit{})]byte{}
	_ [16 + 24*MaxPorts]byte = [unsafe.Sizeof(Transmits{})]byte{}
)

const transmitsMap = ".data.transmits"

// newTransmits makes the map for LoadTransmit.
func newTransmits() (*ebpf.Map, error) {
	spec, err := loadXmit()
	if err != nil {
		return nil, err
	}
	ms := spec.Maps[transmitsMap]
	ms.Flags, ms.Contents, ms.Key, ms.Value = unix.BPF_F_MMAPABLE, nil, nil, nil
	ms.Name = strings.TrimPrefix(transmitsMap, ".data.")
	m, err := ebpf.NewMap(ms)
	if err != nil {
		return nil, fmt.Errorf("create map %s: %w", ms.Name, err)
	}
	return m, nil
}

// LoadTransmit loads the programs that count what ports do not take, by the raw
// tracepoints that they are for. They work on State.Ports and State.Transmits.
// The kernel must have BTF and allow programs at tracepoints
// (CONFIG_DEBUG_INFO_BTF, CONFIG_BPF_EVENTS).
func LoadTransmit(s *State) (map[string]*ebpf.Program, error) {
	spec, maps, err := specTransmit(s)
	if err != nil {
		return nil, err
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: maps})
	if err != nil {
		return nil, fmt.Errorf("load programs for tracepoints: %w", err)
	}
	defer coll.Close()
	return map[string]*ebpf.Program{
		"xdp_devmap_xmit":  coll.DetachProgram(xmitProgWeftXmit),
		"xdp_redirect_err": coll.DetachProgram(xmitProgWeftRedirect),
	}, nil
}

// specTransmit returns what is loaded, and the maps that it is loaded on.
func specTransmit(s *State) (*ebpf.CollectionSpec, map[string]*ebpf.Map, error) {
	spec, err := loadXmit()
	if err != nil {
		return nil, nil, err
	}
	maps := map[string]*ebpf.Map{portsMap: s.Ports, transmitsMap: s.Transmits}
	for name, m := range maps {
		ms := spec.Maps[name]
		ms.ValueSize, ms.MaxEntries, ms.Flags = m.ValueSize(), m.MaxEntries(), m.Flags()
		ms.Contents, ms.Key, ms.Value = nil, nil, nil
	}
	return spec, maps, nil
}
