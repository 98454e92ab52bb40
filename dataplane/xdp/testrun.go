package xdp

import (
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"weft/dataplane"
)

// context is the part that matters of what a program is called with: struct
// xdp_md and struct __sk_buff of linux/bpf.h.
type context []uint32

// runContext says that a frame comes in by an interface.
func runContext(m dataplane.Mode, bytes, ifindex int) context {
	if m == dataplane.TC {
		c := make(context, 11) // up to ifindex
		c[10] = uint32(ifindex)
		return c
	}
	c := make(context, 6)
	c[1], c[3] = uint32(bytes), uint32(ifindex) // data_end, ingress_ifindex
	return c
}

// ran is what a test run came to.
type ran struct {
	action uint32
	packet []byte        // in out's memory
	took   time.Duration // by the kernel's clock
}

// testRun runs a program, again and again on what it leaves. It is what ebpf.Program's Run does, which keeps the time to itself.
func testRun(prog *ebpf.Program, frame, out []byte, c context, times int) (ran, error) {
	attr := struct { // union bpf_attr of linux/bpf.h, test
		fd, action        uint32
		sizeIn, sizeOut   uint32
		in, out           unsafe.Pointer
		repeat, duration  uint32
		sizeMD, sizeMDOut uint32
		md, mdOut         unsafe.Pointer
		flags, cpu, batch uint32
		_                 uint32
	}{
		fd: uint32(prog.FD()), sizeIn: uint32(len(frame)), sizeOut: uint32(len(out)),
		in: unsafe.Pointer(unsafe.SliceData(frame)), out: unsafe.Pointer(unsafe.SliceData(out)),
		repeat: uint32(times), sizeMD: uint32(4 * len(c)), md: unsafe.Pointer(unsafe.SliceData(c)),
	}
	_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_TEST_RUN, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(prog)
	if errno != 0 {
		return ran{}, fmt.Errorf("test run of the program: %w", errno)
	}
	return ran{attr.action, out[:attr.sizeOut], time.Duration(attr.duration)}, nil
}
