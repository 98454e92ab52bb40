package upgrade

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"weft/test/star"
)

// format1 is what code of format 1 had in the kernel, made from a fixture: its
// programs forward by its maps. Layouts are written out here: those of today's code
// are others.
type format1 struct {
	*star.Network
	fixture *fixture
	dir     string // of its object files
	maps    map[string]*ebpf.Map
	names   map[uint16]string // of interfaces, by port number
}

// Of format 1.
const (
	rowSize      = 96 * 16
	portsByIndex = 16 * 4096
	portsEgress  = portsByIndex + 2*65536
	portCounters = 12 // in a port of 16 bytes
	transmitsNet = 0
	transmitsMap = 4
	vlanElement  = 2
	imageTail    = 64
	countersMark = 0x77654643
	vlanMark     = 0x7765564c
	imageMark    = 0x77654649
)

// restore pins what a fixture has, with programs attached in a mode.
func restore(n *star.Network, dir, mode string) *format1 {
	n.Helper()
	r := &format1{Network: n, fixture: load(n, dir), dir: dir, maps: map[string]*ebpf.Map{}, names: map[uint16]string{}}
	n.Cleanup(func() {
		for _, m := range r.maps {
			mustClose(n, m)
		}
	})
	n.Pins(func(pins string) {
		if err := os.MkdirAll(pins, 0o700); err != nil {
			n.Fatal(err)
		}
		// Device maps and netns are those of the thread.
		if err := n.Lab.In("r1", func() error { return r.make(pins, mode) }); err != nil {
			n.Fatal(err)
		}
	})
	return r
}

func (r *format1) make(pins, mode string) error {
	for i := range r.fixture.Maps {
		m := &r.fixture.Maps[i]
		if err := r.adapt(m); err != nil {
			return err
		}
		made, err := r.makeMap(m)
		if err != nil {
			return fmt.Errorf("map %s: %w", m.Pin, err)
		}
		r.maps[m.Pin] = made
		if err := made.Pin(filepath.Join(pins, m.Pin)); err != nil {
			return err
		}
	}
	if err := r.tellMapID(); err != nil {
		return err
	}
	if err := r.attachTracepoints(pins); err != nil {
		return err
	}
	return r.attachPorts(pins, mode)
}

// adapt makes a map's content that of this machine and of this network.
func (r *format1) adapt(m *pinnedMap) error {
	b := m.entries[min(len(m.entries), int(m.Key)):] // the value of the first entry
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return err
	}
	switch m.Pin {
	case "ports":
		for name, ifindex := range r.fixture.Ifaces {
			r.names[binary.NativeEndian.Uint16(b[portsByIndex+2*ifindex:])] = name
		}
		clear(b[portsByIndex:])
		for number, name := range r.names {
			ifindex := r.Link("r1", name).Attrs().Index
			binary.NativeEndian.PutUint16(b[portsByIndex+2*ifindex:], number)
			binary.NativeEndian.PutUint32(b[portsEgress+4*int(number):], uint32(ifindex))
			binary.NativeEndian.PutUint32(b[16*int(number)+portCounters:], uint32(number)*uint32(cpus)*rowSize)
		}
	case "counters":
		ports := int(m.Value) / r.fixture.CPUs / rowSize
		all := make([]byte, int(m.Key)+ports*cpus*rowSize)
		for p := range ports { // rows of more CPUs than there are would be lost: none is asserted
			n := min(cpus, r.fixture.CPUs) * rowSize
			copy(all[int(m.Key)+p*cpus*rowSize:][:n], b[p*r.fixture.CPUs*rowSize:])
		}
		m.entries, m.Value = all, uint32(ports*cpus*rowSize)
	case "transmits":
		var st unix.Stat_t
		if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
			return err
		}
		binary.NativeEndian.PutUint32(b[transmitsNet:], uint32(st.Ino))
	case "tx_ports":
		m.entries = nil
		for number, name := range r.names {
			m.entries = binary.NativeEndian.AppendUint32(m.entries, uint32(number))
			m.entries = binary.NativeEndian.AppendUint32(m.entries, uint32(r.Link("r1", name).Attrs().Index))
		}
	}
	return nil
}

func (r *format1) makeMap(m *pinnedMap) (*ebpf.Map, error) {
	flags := m.Flags
	if m.Type == ebpf.DevMap {
		flags = 0 // the kernel adds what programs may do
	}
	made, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: m.Name, Type: m.Type, KeySize: m.Key, ValueSize: m.Value, MaxEntries: m.Entries, Flags: flags,
	})
	if err != nil {
		return nil, err
	}
	for size := int(m.Key + m.Value); len(m.entries) >= size; m.entries = m.entries[size:] {
		if err := made.Put(m.entries[:m.Key], m.entries[m.Key:size]); err != nil {
			return nil, fmt.Errorf("entry %x: %w", m.entries[:m.Key], err)
		}
	}
	return made, nil
}

// tellMapID tells the programs at tracepoints which device map is theirs.
func (r *format1) tellMapID() error {
	info, err := r.maps["tx_ports"].Info()
	if err != nil {
		return err
	}
	id, _ := info.ID()
	value := make([]byte, r.maps["transmits"].ValueSize())
	if err := r.maps["transmits"].Lookup(uint32(0), &value); err != nil {
		return err
	}
	binary.NativeEndian.PutUint32(value[transmitsMap:], uint32(id))
	return r.maps["transmits"].Put(uint32(0), value)
}

func (r *format1) attachTracepoints(pins string) error {
	coll, err := r.loadObject("xmit", map[string]string{".data.ports": "ports", ".data.transmits": "transmits"})
	if err != nil {
		return err
	}
	defer coll.Close()
	for name, prog := range map[string]string{"xdp_devmap_xmit": "weft_xmit", "xdp_redirect_err": "weft_redirect"} {
		l, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: name, Program: coll.Programs[prog]})
		if err != nil {
			return err
		}
		if err := pinAndClose(l, filepath.Join(pins, "tracepoint_"+name)); err != nil {
			return err
		}
	}
	return nil
}

func (r *format1) attachPorts(pins, mode string) error {
	objectName, program := "weft", "weft"
	if mode == "tc" {
		objectName, program = "tc", "weft_tc"
	}
	coll, err := r.loadObject(objectName, map[string]string{
		".data.fib_image": "image", ".data.ports": "ports", ".data.counters": "counters", ".data.trace": "trace", ".data.vlans": "vlans",
		"tx_ports": "tx_ports",
	})
	if err != nil {
		return err
	}
	defer coll.Close()
	for _, number := range slices.Sorted(maps.Keys(r.names)) {
		var l link.Link
		var err error
		ifindex := r.Link("r1", r.names[number]).Attrs().Index
		switch mode {
		case "tc":
			l, err = link.AttachTCX(link.TCXOptions{Program: coll.Programs[program], Interface: ifindex, Attach: ebpf.AttachTCXIngress})
		case "generic":
			l, err = link.AttachXDP(link.XDPOptions{Program: coll.Programs[program], Interface: ifindex, Flags: link.XDPGenericMode})
		default:
			l, err = link.AttachXDP(link.XDPOptions{Program: coll.Programs[program], Interface: ifindex, Flags: link.XDPDriverMode})
		}
		if err != nil {
			return err
		}
		if err := pinAndClose(l, filepath.Join(pins, fmt.Sprint("link_", number))); err != nil {
			return err
		}
	}
	return nil
}

func pinAndClose(l link.Link, path string) error {
	if err := l.Pin(path); err != nil {
		return err
	}
	return l.Close()
}

// loadObject loads a fixture's object as the code of format 1 did: with its maps, and
// with what the loader writes into instructions. (It put them into another order,
// too, which is left out: a packet comes to the same.)
func (r *format1) loadObject(name string, use map[string]string) (*ebpf.Collection, error) {
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(expand(r, filepath.Join(r.dir, object(name)))))
	if err != nil {
		return nil, err
	}
	replace := map[string]*ebpf.Map{}
	for of, pin := range use {
		ms, m := spec.Maps[of], r.maps[pin]
		if ms == nil {
			continue // tc has no device map
		}
		ms.ValueSize, ms.MaxEntries, ms.Flags = m.ValueSize(), m.MaxEntries(), m.Flags()
		ms.Contents, ms.Key, ms.Value = nil, nil, nil
		replace[of] = m
	}
	if v := spec.Variables["pieces"]; v != nil {
		if err := v.Set(true); err != nil {
			return nil, err
		}
	}
	limits := map[int64]uint32{
		countersMark: r.maps["counters"].ValueSize() - rowSize, vlanMark: r.maps["vlans"].ValueSize() - vlanElement,
		imageMark: r.maps["image"].ValueSize() - imageTail,
	}
	for _, prog := range spec.Programs {
		for i := range prog.Instructions {
			ins := &prog.Instructions[i]
			limit, ok := limits[ins.Constant]
			if ok && ins.OpCode.Class().IsJump() && ins.OpCode.JumpOp() == asm.JGT {
				ins.Constant = int64(limit)
			}
		}
	}
	return ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: replace})
}
