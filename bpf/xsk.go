package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types xsk xsk.c -- -O2 -g -Wall -Werror -mcpu=v3 -Iinclude -idirafter /usr/include/x86_64-linux-gnu
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types xskchunked xsk.c -- -DFIB_CHUNKED -O2 -g -Wall -Werror -mcpu=v3 -Iinclude -idirafter /usr/include/x86_64-linux-gnu

// XSKQueues is how many queues of a port may have a socket of AF_XDP.
const XSKQueues = int(weftWeftLimitsWEFT_XSK_QUEUES)

// NewXSKs makes an empty map of AF_XDP sockets for ports with numbers below the given one. A socket is put at XSKKey. The
// kernel takes it out when it is closed. Needs Linux 5.5 and CAP_BPF.
func NewXSKs(ports int) (*ebpf.Map, error) {
	spec, err := loadXsk()
	if err != nil {
		return nil, err
	}
	ms := spec.Maps[xskMapXsks]
	ms.MaxEntries = uint32(ports * XSKQueues)
	m, err := ebpf.NewMap(ms)
	if err != nil {
		return nil, fmt.Errorf("create map %s: %w", ms.Name, err)
	}
	return m, nil
}

// XSKKey is where the socket of a port's queue stands in a map of sockets.
func XSKKey(port uint32, queue int) uint32 { return port*uint32(XSKQueues) + uint32(queue) }

// LoadXSK is Load for the program that gives packets to sockets, those of at most frameMax bytes. What it counts as
// forwarded is what it has given to one. Ports above those of the map, and queues without a socket, are left to the kernel.
func LoadXSK(im *Image, s *State, xsks *ebpf.Map, frameMax int, f Features) (*ebpf.Program, error) {
	prog, err := loadSteering(im, s, xsks, frameMax, f, true)
	if errors.Is(err, unix.EINVAL) { // as in Load
		if p, err := loadSteering(im, s, xsks, frameMax, f, false); err == nil {
			return p, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("load XDP program for AF_XDP: %w", err)
	}
	return prog, nil
}

func loadSteering(im *Image, s *State, xsks *ebpf.Map, frameMax int, f Features, pieces bool) (*ebpf.Program, error) {
	spec, maps, err := specXSK(im, s, xsks, f, pieces)
	if err != nil {
		return nil, err
	}
	if err := spec.Variables[xskVarFrameMax].Set(uint32(frameMax)); err != nil {
		return nil, err
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: maps})
	if err != nil {
		return nil, err
	}
	defer coll.Close()
	return coll.DetachProgram(xskProgWeftXsk), nil
}

// specXSK returns what is loaded, and the maps that it is loaded on.
func specXSK(im *Image, s *State, xsks *ebpf.Map, f Features, pieces bool) (*ebpf.CollectionSpec, map[string]*ebpf.Map, error) {
	spec, err := im.spec(f.Capture != nil, loadXsk, loadXskchunked, loadXskcapture, loadXskchunkedcapture)
	if err != nil {
		return nil, nil, err
	}
	if !pieces {
		spec.Programs[xskProgWeftXsk].Flags &^= unix.BPF_F_XDP_HAS_FRAGS
	}
	if err := spec.Variables[xskVarPieces].Set(pieces); err != nil {
		return nil, nil, err
	}
	maps, err := fit(spec, xskProgWeftXsk, im, s, f)
	if err != nil {
		return nil, nil, err
	}
	spec.Maps[xskMapXsks].MaxEntries = xsks.MaxEntries()
	maps[xskMapXsks] = xsks
	return spec, maps, nil
}
