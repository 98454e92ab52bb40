package device

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// Headroom is how many bytes a packet has before it in its frame when it comes in:
	// room for tags and tunnels. AF_XDP leaves as many (XDP_PACKET_HEADROOM).
	Headroom = 256

	// MinFrameSize and MaxFrameSize bound a frame. AF_XDP takes those of 2048 and of 4096
	// bytes; for longer packets than those have room for there must be another way in.
	MinFrameSize = 2048
	MaxFrameSize = 16384

	hugePage = 2 << 20
)

// ErrSize: frames of this size, or so many, cannot be.
var ErrSize = errors.New("not a possible size")

// Memory is the frames that packets lie in: one mapping, aligned to 2 MiB, that does not
// move. A frame is named by the offset of any byte in it.
type Memory struct {
	mem       []byte
	mapped    []byte // with what alignment needs
	frameSize int
	taken     int // frames that pools have
	mu        sync.Mutex
}

// NewMemory maps so many frames of a power of two of bytes each. It asks for huge
// pages, and does with others. All of it is touched, so that the loop does not fault.
//
// Errors: ErrSize.
func NewMemory(frames, frameSize int) (*Memory, error) {
	if frameSize < MinFrameSize || frameSize > MaxFrameSize || frameSize&(frameSize-1) != 0 {
		return nil, fmt.Errorf("make packet memory: frames of %d bytes: %w: want a power of two, %d to %d", frameSize, ErrSize, MinFrameSize, MaxFrameSize)
	}
	if frames < 1 || frames > 1<<31/frameSize {
		return nil, fmt.Errorf("make packet memory: %d frames: %w: want 1 to %d", frames, ErrSize, 1<<31/frameSize)
	}
	size := (frames*frameSize + hugePage - 1) &^ (hugePage - 1)
	mapped, err := unix.Mmap(-1, 0, size+hugePage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("map %d MiB of packet memory: %w", (size+hugePage)>>20, err)
	}
	skip := int(-uintptr(unsafe.Pointer(&mapped[0])) & (hugePage - 1))
	m := &Memory{mem: mapped[skip : skip+size : skip+size], mapped: mapped, frameSize: frameSize}
	// A kernel without huge pages gives small ones.
	_ = unix.Madvise(m.mem, unix.MADV_HUGEPAGE)
	for at := 0; at < len(m.mem); at += os.Getpagesize() {
		m.mem[at] = 0
	}
	return m, nil
}

// Bytes is all of it, for a Queue to register with the kernel.
func (m *Memory) Bytes() []byte { return m.mem }

// Base is the address of its first byte.
func (m *Memory) Base() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(m.mem)) }

// FrameSize is the length of a frame, bytes: a power of two.
func (m *Memory) FrameSize() int { return m.frameSize }

// Frames is how many there are.
func (m *Memory) Frames() int { return len(m.mem) / m.frameSize }

// Packet is the bytes that a descriptor stands for. They are valid while its frame is
// the caller's.
func (m *Memory) Packet(d Descriptor) []byte {
	return m.mem[d.Address : d.Address+uint64(d.Length)]
}

// Room is how many bytes there are in a frame from an address on.
func (m *Memory) Room(address uint64) int {
	return m.frameSize - int(address)&(m.frameSize-1)
}

// Close unmaps it. No Queue may have it any more.
func (m *Memory) Close() error {
	if err := unix.Munmap(m.mapped); err != nil {
		return fmt.Errorf("unmap packet memory: %w", err)
	}
	m.mem, m.mapped = nil, nil
	return nil
}
