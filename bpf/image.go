package bpf

import (
	"errors"
	"fmt"
	"math/bits"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// chunkSize is the largest value of an array map that every kernel allows.
const chunkSize = 4 << 20

// Names of fib.h.
const (
	imageMap  = ".data.fib_image"
	chunksMap = "fib_chunks"

	// What stands in the instructions until Use: see fib_check.
	limitMark = 0x77654649

	// tailSize is FIB_TAIL_SIZE.
	tailSize = 64
)

// Image is memory for a FIB image: an array map, mapped into this process.
// Newer kernels (from 6.10 or so) take it as one value, older ones as elements
// of 4 MiB that lie one behind the other; array maps that can be mapped need
// Linux 5.5.
type Image struct {
	m   *ebpf.Map
	mem []byte
}

// NewImage makes an image of size bytes, all zero: a multiple of 4096, and of
// 4 MiB when it is larger than that. Needs CAP_BPF.
func NewImage(size int) (*Image, error) {
	im, err := newImage(size, 1)
	if errors.Is(err, unix.E2BIG) && size > chunkSize {
		im, err = newImage(chunkSize, size/chunkSize)
	}
	return im, err
}

// ImageSize returns the least size of an image that is a power of two and holds
// size bytes.
func ImageSize(size int) int { return max(4096, 1<<bits.Len(uint(size-1))) }

// NewChunkedImage makes an image of elements, as on older kernels.
func NewChunkedImage(chunks int) (*Image, error) { return newImage(chunkSize, chunks) }

func newImage(valueSize, elements int) (*Image, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Name:       "fib_image",
		Type:       ebpf.Array,
		KeySize:    4,
		ValueSize:  uint32(valueSize),
		MaxEntries: uint32(elements),
		Flags:      unix.BPF_F_MMAPABLE,
	})
	if err != nil {
		return nil, fmt.Errorf("create map for an image of %d bytes: %w", valueSize*elements, err)
	}
	// gofail: var imageMapMade struct{}
	im, err := OpenImage(m)
	if err != nil {
		m.Close()
	}
	return im, err
}

// OpenImage maps an image that is there: one that was pinned. It owns m from
// then on.
func OpenImage(m *ebpf.Map) (*Image, error) {
	size := int(m.ValueSize()) * int(m.MaxEntries())
	mem, err := unix.Mmap(m.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("map image of %d bytes: %w", size, err)
	}
	return &Image{m, mem}, nil
}

// Mem returns the image's memory, valid until Close.
func (im *Image) Mem() []byte { return im.mem }

// Map returns the map, for pinning.
func (im *Image) Map() *ebpf.Map { return im.m }

// Close unmaps the image. The map goes when no program and no pin holds it.
func (im *Image) Close() error {
	return errors.Join(unix.Munmap(im.mem), im.m.Close())
}

// Chunked tells whether the image is in elements: programs that read it are made with FIB_CHUNKED, others without.
func (im *Image) Chunked() bool { return im.m.MaxEntries() > 1 }

// Use makes programs of spec, which include fib.h, read this image. The caller
// gives the returned maps to the collection as MapReplacements. A spec can be
// used once: copy it before for another image.
func (im *Image) Use(spec *ebpf.CollectionSpec) (map[string]*ebpf.Map, error) {
	name := imageMap
	if im.Chunked() {
		name = chunksMap
	}
	m := spec.Maps[name]
	if m == nil {
		return nil, fmt.Errorf("use image: the object has no map %s: it does not include fib.h, or is made with FIB_CHUNKED for an "+
			"image in one piece, or without for another", name)
	}
	m.ValueSize, m.MaxEntries, m.Contents = im.m.ValueSize(), im.m.MaxEntries(), nil
	m.Key, m.Value = nil, nil
	for _, prog := range spec.Programs {
		for i := range prog.Instructions {
			ins := &prog.Instructions[i]
			if ins.OpCode.Class().IsJump() && ins.OpCode.JumpOp() == asm.JGT && ins.Constant == limitMark {
				ins.Constant = int64(len(im.mem) - tailSize)
			}
		}
	}
	return map[string]*ebpf.Map{name: im.m}, nil
}
