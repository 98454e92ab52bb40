package bpf

import (
	"fmt"

	"github.com/cilium/ebpf"
)

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types tc tc.c -- -O2 -g -Wall -Werror -mcpu=v3 -Iinclude -idirafter /usr/include/x86_64-linux-gnu
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types tcchunked tc.c -- -DFIB_CHUNKED -O2 -g -Wall -Werror -mcpu=v3 -Iinclude -idirafter /usr/include/x86_64-linux-gnu

// LoadTC is Load for the program of tc. It sends by Ports.Egress.
func LoadTC(im *Image, s *State, f Features) (*ebpf.Program, error) {
	spec, err := specTC(im, f.Capture != nil)
	if err != nil {
		return nil, err
	}
	f.Partial = false
	prog, err := load(spec, tcProgWeftTc, im, s, f)
	if err != nil {
		return nil, fmt.Errorf("load tc program: %w", err)
	}
	return prog, nil
}

func specTC(im *Image, capture bool) (*ebpf.CollectionSpec, error) {
	return im.spec(capture, loadTc, loadTcchunked, loadTccapture, loadTcchunkedcapture)
}
