package xdp

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"

	"weft/bpf"
)

// Format is the number of the format of pinned maps that this code makes and
// takes over. It is another one when the layout of a map or the meaning of what
// is in it has changed: testdata/format.txt is what it stands for.
const Format = 2

// Names of pins.
const (
	currentPin = "current" // leads to the directory of the maps that are forwarded by
	formatDirs = "format_" // and a format's number begin the name of a directory of maps
	aboutPin   = "about"
)

// about is what each format from 2 on tells the others, older and newer ones, so
// that counters go on: it never changes.
type about struct {
	Format     uint32
	Generation uint32 // of the maps: newer ones have a higher number

	// Of the map counters: the rows of a port lie one behind the other, and begin
	// at its number times their size. The first are counted in, one by each CPU;
	// the others are what was counted before there were these maps.
	Rows     uint32
	CPURows  uint32
	Counters uint32 // of a row, by reason: packets and bytes, 64 bits each

	// Of the map transmits: where 64 bits are that count what port 0 did not take,
	// and how far on those of the next port are; bytes.
	Lost       uint32
	LostStride uint32

	// Of the map ports: where an array is of port numbers, 16 bits each, by ifindex.
	Numbers   uint32
	Ifindexes uint32
}

func ourAbout(generation uint32, cpus int) about {
	return about{
		Format: Format, Generation: generation, Rows: uint32(cpus) + beforeRows, CPURows: uint32(cpus), Counters: uint32(bpf.Reasons),
		Lost:       uint32(unsafe.Offsetof(bpf.Transmits{}.Port) + unsafe.Offsetof(bpf.Transmit{}.Dropped)),
		LostStride: uint32(unsafe.Sizeof(bpf.Transmit{})),
		Numbers:    uint32(unsafe.Offsetof(bpf.Ports{}.ByIfindex)), Ifindexes: uint32(bpf.MaxIfindex),
	}
}

// format1 is about the first format, which did not tell of itself: its maps lie in
// the directory of pins itself.
func format1(cpus int) about {
	return about{
		Format: 1, Rows: uint32(cpus), CPURows: uint32(cpus), Counters: 96, Lost: 16, LostStride: 24, Numbers: 65536, Ifindexes: 65536,
	}
}

var format1Pins = []string{"image", "image_next", "ports", "counters", "trace", "tx_ports", "transmits", "vlans"}

func newAbout(a about) (*ebpf.Map, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: aboutPin, Type: ebpf.Array, KeySize: 4, ValueSize: uint32(unsafe.Sizeof(a)), MaxEntries: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("create map %s: %w", aboutPin, err)
	}
	if err := m.Put(uint32(0), a); err != nil {
		return nil, errors.Join(fmt.Errorf("write map %s: %w", aboutPin, err), m.Close())
	}
	return m, nil
}

// set is a directory of maps; "" is the directory of pins itself, with format 1.
type set struct {
	dir    string
	format int
	about  about // all 0: it cannot be read
}

// found is what is pinned besides links.
type found struct {
	current set   // what is forwarded by; format 0: there is none
	earlier []set // what was before it, oldest first: it has counted
	later   []set // not finished: what was to be after it
}

// look finds out what is pinned.
//
// Errors: ErrNotFound.
func (p pins) look() (found, error) {
	var f found
	entries, err := os.ReadDir(p.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return f, fmt.Errorf("%s: %w", p.dir, ErrNotFound)
	}
	if err != nil {
		return f, fmt.Errorf("list pins: %w", err)
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return f, fmt.Errorf("count CPUs: %w", err)
	}
	leads, _ := os.Readlink(p.path(currentPin))
	var all []set
	for _, e := range entries {
		if format := formatOf(e.Name()); e.IsDir() && format > 1 {
			all = append(all, set{e.Name(), format, p.readAbout(e.Name())})
		} else if slices.Contains(format1Pins, e.Name()) && (len(all) == 0 || all[0].dir != "") {
			all = slices.Insert(all, 0, set{"", 1, format1(cpus)})
		}
	}
	for _, s := range all {
		if s.dir == leads {
			f.current = s
		}
	}
	for _, s := range all {
		switch {
		case s.dir == f.current.dir && f.current.format != 0:
		case s.about.Rows != 0 && s.about.Generation < f.current.about.Generation:
			f.earlier = append(f.earlier, s)
		default:
			f.later = append(f.later, s)
		}
	}
	slices.SortFunc(f.earlier, func(a, b set) int { return int(a.about.Generation) - int(b.about.Generation) })
	return f, nil
}

// formatOf returns 0 for the name of what is no directory of maps.
func formatOf(dir string) int {
	digits, ok := strings.CutPrefix(dir, formatDirs)
	digits, _, _ = strings.Cut(digits, "_")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil {
		return 0
	}
	return n
}

// readAbout returns the zero value where nothing can be read.
func (p pins) readAbout(dir string) (a about) {
	m, err := ebpf.LoadPinnedMap(p.path(dir, aboutPin), nil)
	if err != nil {
		return a
	}
	defer m.Close()
	if err := m.Lookup(uint32(0), &a); err != nil {
		return about{}
	}
	return a
}

// free returns the name of a directory for new maps.
func (f found) free() string {
	first := formatDirs + strconv.Itoa(Format)
	taken := []string{f.current.dir}
	for _, s := range f.earlier {
		taken = append(taken, s.dir)
	}
	for n, name := 1, first; ; n++ {
		if !slices.Contains(taken, name) {
			return name
		}
		name = first + "_" + strconv.Itoa(n)
	}
}
