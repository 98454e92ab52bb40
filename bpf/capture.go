package bpf

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	netbpf "golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types -type weft_selection -type weft_selections -type weft_record -type weft_capture_limits weftcapture weft.c -- -DCAPTURE -O2 -g -Wall -Werror -mcpu=v3 -Iinclude -idirafter /usr/include/x86_64-linux-gnu
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types weftchunkedcapture weft.c -- -DCAPTURE -DFIB_CHUNKED -O2 -g -Wall -Werror -mcpu=v3 -Iinclude -idirafter /usr/include/x86_64-linux-gnu
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types tccapture tc.c -- -DCAPTURE -O2 -g -Wall -Werror -mcpu=v3 -Iinclude -idirafter /usr/include/x86_64-linux-gnu
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types tcchunkedcapture tc.c -- -DCAPTURE -DFIB_CHUNKED -O2 -g -Wall -Werror -mcpu=v3 -Iinclude -idirafter /usr/include/x86_64-linux-gnu
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types xskcapture xsk.c -- -DCAPTURE -O2 -g -Wall -Werror -mcpu=v3 -Iinclude -idirafter /usr/include/x86_64-linux-gnu
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types xskchunkedcapture xsk.c -- -DCAPTURE -DFIB_CHUNKED -O2 -g -Wall -Werror -mcpu=v3 -Iinclude -idirafter /usr/include/x86_64-linux-gnu
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types tapcapture tap.c -- -DCAPTURE -O2 -g -Wall -Werror -mcpu=v3 -Iinclude -idirafter /usr/include/x86_64-linux-gnu
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types tapchunkedcapture tap.c -- -DCAPTURE -DFIB_CHUNKED -O2 -g -Wall -Werror -mcpu=v3 -Iinclude -idirafter /usr/include/x86_64-linux-gnu

const (
	// Selections is how many there may be at once.
	Selections = int(weftcaptureWeftCaptureLimitsWEFT_SELECTIONS)
	// SnapMost is how many bytes of a frame may be kept.
	SnapMost = int(weftcaptureWeftCaptureLimitsWEFT_SNAP)
	// SentMost is how many of them may not be as they came in, when the packet leaves.
	SentMost = int(weftcaptureWeftCaptureLimitsWEFT_SENT)
)

type (
	// Selection says which packets are captured, besides their filter.
	Selection = weftcaptureWeftSelection
	// Record is a packet that was captured.
	Record = weftcaptureWeftRecord
)

// RecordFixed is the bytes of a Record in front of the frame.
const RecordFixed = int(unsafe.Offsetof(Record{}.Frame))

var (
	_ [40]byte                       = [unsafe.Sizeof(Selection{})]byte{}
	_ [64 + SentMost + SnapMost]byte = [unsafe.Sizeof(Record{})]byte{}
)

const (
	selectionsMap = ".data.selects"
	recordsMap    = "records"
	draftsMap     = "drafts"

	filterFunction = "capture_filter"
)

// Capture is the maps that programs have that write down what becomes of packets, and the
// filters that those have to pass. The zero Filters pass none.
type Capture struct {
	Filters [Selections][]netbpf.Instruction // by selection; nil: none
	*captured
}

type captured struct {
	Records *ebpf.Map // a ring of Records
	drafts  *ebpf.Map
	selects *ebpf.Map
	mem     []byte
	all     *weftcaptureWeftSelections
}

// NewCapture makes the maps, with room for so many bytes of Records: a power of two, of pages.
// Needs Linux 5.12.
func NewCapture(room int) (_ *Capture, err error) {
	spec, err := loadWeftcapture()
	if err != nil {
		return nil, err
	}
	c := &Capture{captured: &captured{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	spec.Maps[recordsMap].MaxEntries = uint32(room)
	selects := spec.Maps[selectionsMap]
	selects.Flags, selects.Contents, selects.Key, selects.Value, selects.Name = unix.BPF_F_MMAPABLE, nil, nil, nil, "selects"
	for name, m := range c.maps() {
		if *m, err = ebpf.NewMap(spec.Maps[name]); err != nil {
			return nil, fmt.Errorf("create map %s: %w", spec.Maps[name].Name, err)
		}
	}
	c.mem, err = unix.Mmap(c.selects.FD(), 0, int(unsafe.Sizeof(*c.all)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map memory of selections: %w", err)
	}
	c.all = (*weftcaptureWeftSelections)(unsafe.Pointer(&c.mem[0]))
	return c, nil
}

func (c *captured) maps() map[string]**ebpf.Map {
	return map[string]**ebpf.Map{recordsMap: &c.Records, draftsMap: &c.drafts, selectionsMap: &c.selects}
}

// With is a Capture with other filters, and the same maps.
func (c *Capture) With(filters [Selections][]netbpf.Instruction) *Capture {
	return &Capture{filters, c.captured}
}

// Close closes the maps. They go when no program has them.
func (c *Capture) Close() error {
	var errs []error
	if c.mem != nil {
		errs = append(errs, unix.Munmap(c.mem))
		c.mem, c.all = nil, nil
	}
	for _, m := range c.maps() {
		errs = append(errs, (*m).Close())
	}
	return errors.Join(errs...)
}

// Arm lets selection i begin, which has no packets left.
func (c *Capture) Arm(i int, s Selection) {
	to := &c.all.Selection[i]
	left := s.Left
	s.Left = 0
	*to = s
	atomic.StoreInt64(&to.Left, left)
	atomic.OrUint64(&c.all.Armed, 1<<i)
}

// Disarm ends selection i: of packets that are on their way a Record may come yet.
func (c *Capture) Disarm(i int) {
	atomic.AndUint64(&c.all.Armed, ^uint64(1<<i))
	atomic.StoreInt64(&c.all.Selection[i].Left, 0)
}

// Armed returns which selections have packets left, a bit for each.
func (c *Capture) Armed() uint64 { return atomic.LoadUint64(&c.all.Armed) }

// Take takes a packet off what selection i has left, for another engine's, and reports whether there was one.
func (c *Capture) Take(i int) bool {
	if atomic.AddInt64(&c.all.Selection[i].Left, -1) < 0 {
		atomic.AndUint64(&c.all.Armed, ^uint64(1<<i))
		c.giveBack(i)
		return false
	}
	return true
}

// giveBack is the twin of capture_return.
func (c *Capture) giveBack(i int) {
	if atomic.AddInt64(&c.all.Selection[i].Left, 1) > 0 {
		atomic.OrUint64(&c.all.Armed, 1<<i)
	}
}

// Lose gives back what was taken, and counts it as lost: another packet may come in its place.
func (c *Capture) Lose(i int) {
	atomic.AddUint64(&c.all.Selection[i].Lost, 1)
	c.giveBack(i)
}

// Miss counts a packet as lost that was not taken.
func (c *Capture) Miss(i int) { atomic.AddUint64(&c.all.Selection[i].Lost, 1) }

// Lost returns how many packets selection i has not got, for there was no room.
func (c *Capture) Lost(i int) uint64 { return atomic.LoadUint64(&c.all.Selection[i].Lost) }

// use puts a Capture's maps into those of a program, and its filters into the program.
func (c *Capture) use(spec *ebpf.CollectionSpec, prog *ebpf.ProgramSpec, maps map[string]*ebpf.Map) error {
	for name, m := range c.maps() {
		ms := spec.Maps[name]
		ms.MaxEntries, ms.Flags, ms.Contents = (*m).MaxEntries(), (*m).Flags(), nil
		maps[name] = *m
	}
	for i := range prog.Instructions {
		if prog.Instructions[i].Symbol() != filterFunction {
			continue
		}
		last := i
		for last+1 < len(prog.Instructions) && prog.Instructions[last+1].Symbol() == "" {
			last++
		}
		body, err := filterCode(c.Filters)
		if err != nil {
			return err
		}
		body[0].Metadata = prog.Instructions[i].Metadata // its name, and its type
		rest := append(asm.Instructions{}, prog.Instructions[last+1:]...)
		prog.Instructions = append(append(prog.Instructions[:i:i], body...), rest...)
		return nil
	}
	return fmt.Errorf("program %s has no function %s", prog.Name, filterFunction)
}
