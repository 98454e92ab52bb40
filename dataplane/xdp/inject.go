package xdp

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"weft/dataplane"
)

// Injector hands frames to the kernel as come in by a port, behind the port's program. A
// frame takes some 12 ms: a grace period of the kernel's. One goroutine at a time.
type Injector struct{ pass *ebpf.Program }

// NewInjector makes one. Needs Linux 5.18.
func NewInjector() (*Injector, error) {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "weft_inject", Type: ebpf.XDP, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()},
	})
	if err != nil {
		return nil, fmt.Errorf("load program that hands frames to the kernel: %w", err)
	}
	return &Injector{p}, nil
}

// errTooLong: the kernel takes no such frame.
var errTooLong = errors.New("too long")

// Inject hands a frame to the kernel as come in by an interface, which has a program of XDP.
func (i *Injector) Inject(frame []byte, ifindex int) error {
	if len(frame) > longest {
		return fmt.Errorf("hand a frame of %d bytes to the kernel: %w: %d at most", len(frame), errTooLong, longest)
	}
	_, err := i.pass.Run(&ebpf.RunOptions{
		Data: frame, Repeat: 1, Flags: liveFrames, Context: []uint32(runContext(dataplane.NativeXDP, len(frame), ifindex)),
	})
	if err != nil {
		return fmt.Errorf("hand a frame to the kernel: %w", err)
	}
	return nil
}

// Close unloads the program.
func (i *Injector) Close() error { return i.pass.Close() }
