package scale

import (
	"errors"
	"net/netip"
	"path/filepath"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"weft/fib"
)

// view is the image that the daemon writes, to look addresses up in as programs do.
type view struct {
	fib.Table
	image *fib.Image
}

// look maps the pinned image. It is another one when it has grown.
func (s *scaled) look() *view {
	s.Helper()
	v, err := (*view)(nil), error(nil)
	s.Pins(func(dir string) { v, err = s.open(filepath.Join(dir, "current", "image")) })
	if err != nil {
		s.Fatal(err)
	}
	return v
}

// open makes an empty image, and puts the other one's memory in its place: fib.Open
// would take that over from the daemon.
func (s *scaled) open(pin string) (*view, error) {
	m, err := ebpf.LoadPinnedMap(pin, nil)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	size := int(m.ValueSize()) * int(m.MaxEntries())
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, err
	}
	s.Cleanup(func() { unix.Munmap(mem) })
	v := new(view)
	if v.image, err = fib.Create(mem, fib.Options{}); err != nil {
		return nil, err
	}
	_, mapErr := unix.MmapPtr(m.FD(), 0, unsafe.Pointer(&mem[0]), uintptr(size), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_FIXED)
	v.Table, err = v.image.Table(0)
	return v, errors.Join(mapErr, err)
}

// at returns the group that packets to the first address of a prefix go to.
func (v *view) at(p netip.Prefix) fib.GroupID { return v.Lookup(p.Addr()) }
