package xdp

import (
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"weft/dataplane"
)

// ledger is what a set of maps has counted that is not the engine's: one of another
// format, or of an engine before it.
type ledger struct {
	about                      about
	counters, transmits, ports []byte // mapped
}

// openLedger maps a set's counters.
//
// Errors: fs.ErrNotExist; ErrForeignPin where maps are not what the set's format has.
func (p pins) openLedger(s set) (_ *ledger, err error) {
	l := &ledger{about: s.about}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("read counters of format %d: %w", s.format, err), l.close())
		}
	}()
	a := &s.about
	if a.Rows == 0 || a.Counters == 0 || a.CPURows > a.Rows {
		return nil, errors.New("their layout is not told")
	}
	for _, one := range []struct {
		name string
		to   *[]byte
		unit uint32 // the size is a multiple of it
		more uint32 // and at least this
	}{
		{"counters", &l.counters, a.Rows * a.Counters * counterSize, 0},
		{"transmits", &l.transmits, 1, a.Lost + a.LostStride},
		{"ports", &l.ports, 1, a.Numbers + 2*a.Ifindexes},
	} {
		m, err := ebpf.LoadPinnedMap(p.path(s.dir, one.name), nil)
		if err != nil {
			return nil, err
		}
		size := m.ValueSize()
		if size%one.unit != 0 || size < one.more {
			return nil, errors.Join(fmt.Errorf("%w: map %s has %d bytes", ErrForeignPin, one.name, size), m.Close())
		}
		mem, err := unix.Mmap(m.FD(), 0, pages(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err = errors.Join(err, m.Close()); err != nil {
			return nil, fmt.Errorf("map memory of %s: %w", one.name, err)
		}
		*one.to = mem
	}
	return l, nil
}

func (l *ledger) close() error {
	var errs []error
	for _, mem := range [][]byte{l.counters, l.transmits, l.ports} {
		if mem != nil {
			errs = append(errs, unix.Munmap(mem))
		}
	}
	return errors.Join(errs...)
}

// add adds what CPUs have counted for a port, and, if asked for, what was counted
// before.
func (l *ledger) add(sum *dataplane.Counters, number uint32, before bool) {
	rows := l.about.CPURows
	if before {
		rows = l.about.Rows
	}
	for row := range rows {
		at := (uint64(number)*uint64(l.about.Rows) + uint64(row)) * uint64(l.about.Counters) * counterSize
		for r := range min(len(sum), int(l.about.Counters)) {
			if off := at + uint64(r)*counterSize; off+counterSize <= uint64(len(l.counters)) {
				sum[r].Packets += atomic.LoadUint64((*uint64)(unsafe.Pointer(&l.counters[off])))
				sum[r].Bytes += atomic.LoadUint64((*uint64)(unsafe.Pointer(&l.counters[off+8])))
			}
		}
	}
}

// lost returns where it is counted what a port did not take; nil: nowhere.
func (l *ledger) lost(number uint32) *uint64 {
	off := uint64(l.about.Lost) + uint64(number)*uint64(l.about.LostStride)
	if off+8 > uint64(len(l.transmits)) {
		return nil
	}
	return (*uint64)(unsafe.Pointer(&l.transmits[off]))
}

// numbers calls f for each interface that had a number.
func (l *ledger) numbers(f func(ifindex int, number uint32)) {
	all := unsafe.Slice((*uint16)(unsafe.Pointer(&l.ports[l.about.Numbers])), l.about.Ifindexes)
	for ifindex, n := range all {
		if n != 0 {
			f(ifindex, uint32(n))
		}
	}
}

// earlier is what was counted by maps that are not removed yet, oldest first, for
// ports that are the same as then.
type earlier struct {
	ledgers []*ledger
	ports   map[uint32]bool
}

// open opens what there is to read before an engine that is made now. The error
// says why it is not all that was counted.
func (e *earlier) open(p pins, f found) error {
	err := e.openAll(p, f.earlier)
	if f.current.format == 0 {
		return err
	}
	l, one := p.openLedger(f.current)
	if one != nil {
		return errors.Join(err, one)
	}
	e.ledgers = append(e.ledgers, l)
	return err
}

// openAll opens sets that are not forwarded by any more. One that is half removed
// has been read before.
func (e *earlier) openAll(p pins, sets []set) (err error) {
	e.ports = map[uint32]bool{0: true}
	for _, s := range sets {
		l, one := p.openLedger(s)
		if one == nil {
			e.ledgers = append(e.ledgers, l)
		} else if !errors.Is(one, fs.ErrNotExist) {
			err = errors.Join(err, one)
		}
	}
	return err
}

// counts tells whether there is something to add to what the engine has counted
// for a port.
func (e *earlier) counts(number uint32) bool { return len(e.ledgers) > 0 && e.ports[number] }

func (e *earlier) counters(number uint32) (sum dataplane.Counters) {
	if e.counts(number) {
		for i, l := range e.ledgers {
			l.add(&sum, number, i == 0)
		}
	}
	return sum
}

func (e *earlier) lost(number uint32) (sum uint64) {
	if e.counts(number) {
		for _, l := range e.ledgers {
			if at := l.lost(number); at != nil {
				sum += atomic.LoadUint64(at)
			}
		}
	}
	return sum
}

// moveTo makes what was counted the engine's. No program counts in the old maps any
// more. To do it twice changes nothing.
func (e *earlier) moveTo(m *memory) {
	for number := range e.ports {
		if number >= m.limit() || !e.counts(number) {
			continue
		}
		m.setBefore(number, e.counters(number))
		for _, l := range e.ledgers {
			if at := l.lost(number); at != nil {
				atomic.AddUint64(&m.transmit(number).Dropped, atomic.SwapUint64(at, 0))
			}
		}
	}
}

func (e *earlier) close() error {
	var errs []error
	for _, l := range e.ledgers {
		errs = append(errs, l.close())
	}
	*e = earlier{}
	return errors.Join(errs...)
}
