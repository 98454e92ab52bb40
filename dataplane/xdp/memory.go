package xdp

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"weft/bpf"
	"weft/dataplane"
)

// memory is the maps that programs and this process share, mapped.
type memory struct {
	mapped [][]byte
	ports  *bpf.Ports
	rows   []bpf.Row // port * perPort + cpu, or + cpus: see beforeRows
	trace  *bpf.Trace
	cpus   int

	transmits *bpf.Transmits
	vlans     []bpf.VLANs // by trunk; 0 is nobody's
}

// beforeRows is how many rows a port has besides one for each CPU: in it stands
// what was counted before there were these maps.
const beforeRows = 1

func (m *memory) perPort() int { return m.cpus + beforeRows }

func mapMemory(s *bpf.State) (*memory, error) {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("count CPUs: %w", err)
	}
	m := &memory{cpus: cpus}
	for _, one := range []struct {
		m    *ebpf.Map
		name string
		size uint32
		at   func(unsafe.Pointer)
	}{
		{s.Ports, "ports", uint32(unsafe.Sizeof(bpf.Ports{})), func(p unsafe.Pointer) { m.ports = (*bpf.Ports)(p) }},
		{s.Trace, "trace", uint32(unsafe.Sizeof(bpf.Trace{})), func(p unsafe.Pointer) { m.trace = (*bpf.Trace)(p) }},
		{s.Transmits, "transmits", uint32(unsafe.Sizeof(bpf.Transmits{})), func(p unsafe.Pointer) { m.transmits = (*bpf.Transmits)(p) }},
		{s.VLANs, "vlans", s.VLANs.ValueSize(), func(p unsafe.Pointer) {
			m.vlans = unsafe.Slice((*bpf.VLANs)(p), s.VLANs.ValueSize()/uint32(unsafe.Sizeof(bpf.VLANs{})))
		}},
		{s.Counters, "counters", s.Counters.ValueSize(), func(p unsafe.Pointer) {
			m.rows = unsafe.Slice((*bpf.Row)(p), s.Counters.ValueSize()/uint32(unsafe.Sizeof(bpf.Row{})))
		}},
	} {
		if one.m.ValueSize() != one.size || len(m.rows)%m.perPort() != 0 {
			m.close()
			return nil, fmt.Errorf("map %s: %w", one.name, ErrLayout)
		}
		mem, err := unix.Mmap(one.m.FD(), 0, pages(one.size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			m.close()
			return nil, fmt.Errorf("map memory of %s: %w", one.name, err)
		}
		m.mapped = append(m.mapped, mem)
		one.at(unsafe.Pointer(&mem[0]))
	}
	if int(m.limit()) > bpf.MaxPorts {
		m.close()
		return nil, fmt.Errorf("map counters: %w: it is for %d ports", ErrLayout, m.limit())
	}
	return m, nil
}

func (m *memory) close() error {
	var errs []error
	for _, mem := range m.mapped {
		errs = append(errs, unix.Munmap(mem))
	}
	m.mapped = nil
	return errors.Join(errs...)
}

// pages is how much of a map is mapped.
func pages(size uint32) int {
	page := uint32(unix.Getpagesize())
	return int((size + page - 1) &^ (page - 1))
}

// portRows returns the rows of counters of a port.
func (m *memory) portRows(number uint32) []bpf.Row {
	return m.rows[int(number)*m.perPort():][:m.perPort()]
}

// transmit returns what a port does not take.
func (m *memory) transmit(number uint32) *bpf.Transmit { return &m.transmits.Port[number] }

// limit is how many port numbers there are counters for; 0 is the first.
func (m *memory) limit() uint32 { return uint32(len(m.rows) / m.perPort()) }

// counters sums over CPUs, and adds, if asked for, what was counted before. Each
// counter is one load: a program may be counting.
func (m *memory) counters(number uint32, before bool) dataplane.Counters {
	var sum dataplane.Counters
	rows := m.portRows(number)
	if !before {
		rows = rows[:m.cpus]
	}
	for row := range rows {
		for r := range sum {
			c := &rows[row][r]
			sum[r].Packets += atomic.LoadUint64(&c.Packets)
			sum[r].Bytes += atomic.LoadUint64(&c.Bytes)
		}
	}
	runtime.KeepAlive(m)
	return sum
}

// setBefore writes what was counted before.
func (m *memory) setBefore(number uint32, sum dataplane.Counters) {
	row := &m.portRows(number)[m.cpus]
	for r := range sum {
		atomic.StoreUint64(&row[r].Packets, sum[r].Packets)
		atomic.StoreUint64(&row[r].Bytes, sum[r].Bytes)
	}
}

// features are what the ports need that there are.
func (m *memory) features() bpf.Features {
	var f bpf.Features
	for i := range m.ports.Port[:m.limit()] {
		flags := m.ports.Port[i].Flags
		f.VLANs = f.VLANs || flags&bpf.PortVLAN != 0
		f.Partial = f.Partial || flags&bpf.PortPartial != 0
	}
	return f
}

// setPort writes a port's entry in two stores: what the hot path compares (MAC
// and VRF) in one, so that a packet sees either before or after.
func (m *memory) setPort(number uint32, p bpf.Port) {
	to := (*[2]uint64)(unsafe.Pointer(&m.ports.Port[number]))
	from := (*[2]uint64)(unsafe.Pointer(&p))
	// A port that comes is complete before it has flags; one that goes loses them first.
	if p.Flags == 0 {
		atomic.StoreUint64(&to[1], from[1])
		atomic.StoreUint64(&to[0], from[0])
		return
	}
	atomic.StoreUint64(&to[0], from[0])
	atomic.StoreUint64(&to[1], from[1])
}
