package xdp

import (
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// xdpMD is struct xdp_md as BPF_PROG_TEST_RUN takes it.
type xdpMD struct {
	Data, DataEnd, DataMeta, IngressIfindex, RxQueueIndex, EgressIfindex uint32
}

// ran is what a test run came to.
type ran struct {
	action uint32
	packet []byte        // in out's memory
	took   time.Duration // by the kernel's clock
}

// testRun runs a program once, with a frame that is said to come in by an
// interface. It is what ebpf.Program's Run does, which keeps the time to itself.
func testRun(prog *ebpf.Program, frame, out []byte, ifindex uint32) (ran, error) {
	md := xdpMD{DataEnd: uint32(len(frame)), IngressIfindex: ifindex}
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
		repeat: 1, sizeMD: uint32(unsafe.Sizeof(md)), md: unsafe.Pointer(&md),
	}
	_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_TEST_RUN, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(prog)
	if errno != 0 {
		return ran{}, fmt.Errorf("test run of the program: %w", errno)
	}
	return ran{attr.action, out[:attr.sizeOut], time.Duration(attr.duration)}, nil
}
