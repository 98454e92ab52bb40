package bpf

import (
	"fmt"

	"github.com/cilium/ebpf"
)

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types tap tap.c -- -O2 -g -Wall -Werror -mcpu=v3 -Iinclude -idirafter /usr/include/x86_64-linux-gnu
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types tapchunked tap.c -- -DFIB_CHUNKED -O2 -g -Wall -Werror -mcpu=v3 -Iinclude -idirafter /usr/include/x86_64-linux-gnu

// LoadTap is LoadTC for the program that takes from the kernel what a loop has by AF_PACKET: frames of at most frameMax
// bytes, not counting a tag that stands beside. What it counts as forwarded is what the loop has. It must not outlive the
// loop's sockets: attach it by a link that ends with the process.
func LoadTap(im *Image, s *State, frameMax int, f Features) (*ebpf.Program, error) {
	spec, err := specTap(im, f.Capture != nil)
	if err != nil {
		return nil, err
	}
	if err := spec.Variables[tapVarFrameMax].Set(uint32(frameMax)); err != nil {
		return nil, err
	}
	f.Partial = false // the loop fills checksums in
	prog, err := load(spec, tapProgWeftTap, im, s, f)
	if err != nil {
		return nil, fmt.Errorf("load tc program for AF_PACKET: %w", err)
	}
	return prog, nil
}

func specTap(im *Image, capture bool) (*ebpf.CollectionSpec, error) {
	return im.spec(capture, loadTap, loadTapchunked, loadTapcapture, loadTapchunkedcapture)
}
