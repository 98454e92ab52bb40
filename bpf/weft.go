package bpf

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types -type fib_header -type weft_port -type weft_ports -type weft_vlans -type weft_counter -type weft_trace -type weft_reason -type weft_reason_range -type weft_port_flags -type weft_limits weft weft.c -- -O2 -g -Wall -Werror -mcpu=v3 -Iinclude -idirafter /usr/include/x86_64-linux-gnu
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types weftchunked weft.c -- -DFIB_CHUNKED -O2 -g -Wall -Werror -mcpu=v3 -Iinclude -idirafter /usr/include/x86_64-linux-gnu

// Names of the layout as Go says them. The values come from types.h and
// reason.h by way of bpf2go.
const (
	MaxPorts   = int(weftWeftLimitsWEFT_PORTS)        // port numbers are below it
	MaxIfindex = int(weftWeftLimitsWEFT_IFINDEXES)    // ifindexes of ports are below it
	Reasons    = int(weftWeftReasonRangeWEFT_REASONS) // so many counters are a row
	FirstPunt  = int(weftWeftReasonRangeWEFT_PUNT)
	FirstDrop  = int(weftWeftReasonRangeWEFT_DROP)

	PortIPv4    = uint16(weftWeftPortFlagsWEFT_PORT_IPV4)
	PortIPv6    = uint16(weftWeftPortFlagsWEFT_PORT_IPV6)
	PortVLAN    = uint16(weftWeftPortFlagsWEFT_PORT_VLAN)
	Port8021AD  = uint16(weftWeftPortFlagsWEFT_PORT_8021AD)
	PortPartial = uint16(weftWeftPortFlagsWEFT_PORT_PARTIAL)
	// PortTrunkShift is where in the flags of a port stands which VLANs are its.
	PortTrunkShift = uint16(weftWeftPortFlagsWEFT_PORT_TRUNK_SHIFT)
)

type (
	// Port is a port as the program sees it: two aligned 64-bit words.
	Port = weftWeftPort
	// Ports is the memory of the map of ports.
	Ports = weftWeftPorts
	// Counter is one element of the memory of the map of counters.
	Counter = weftWeftCounter
	// Row is the counters of one port on one CPU, by reason. A port's rows, one
	// for each CPU, begin at Port.Counters.
	Row = [Reasons]Counter
	// VLANs are the port numbers that VLANs of one port are, by identifier.
	VLANs = weftWeftVlans
	// Trace is what a traced program notes.
	Trace = weftWeftTrace
)

// The layouts are those of C: a build on which they differ does not compile.
var (
	_ [16]byte                                      = [unsafe.Sizeof(Port{})]byte{}
	_ [16]byte                                      = [unsafe.Sizeof(Counter{})]byte{}
	_ [16*MaxPorts + 2*MaxIfindex + 4*MaxPorts]byte = [unsafe.Sizeof(Ports{})]byte{}
	_ [2 * 4096]byte                                = [unsafe.Sizeof(VLANs{})]byte{}
)

const (
	portsMap    = ".data.ports"
	countersMap = ".data.counters"
	traceMap    = ".data.trace"
	vlansMap    = ".data.vlans"
	txPortsMap  = weftMapTxPorts

	// What stands in the instructions until Load: see counters_check, TRACE, vlans_check, VLANS, CHECKSUMS_PARTIAL and
	// unlikely.
	countersMark = 0x77654643
	tracedMark   = 0x77655452
	vlanMark     = 0x7765564c
	vlansMark    = 0x7765764c
	partialMark  = 0x7765706d
	coldMark     = 0x7765434f
)

// ReasonNames returns the names of enum weft_reason, in lower case, by number.
// A number without a name is not in use.
func ReasonNames() ([Reasons]string, error) {
	var names [Reasons]string
	spec, err := loadWeft()
	if err != nil {
		return names, err
	}
	var enum *btf.Enum
	if err := spec.Types.TypeByName("weft_reason", &enum); err != nil {
		return names, fmt.Errorf("find enum weft_reason: %w", err)
	}
	for _, v := range enum.Values {
		names[v.Value] = strings.ToLower(strings.TrimPrefix(v.Name, "WEFT_"))
	}
	return names, nil
}

// VRFs returns how many VRFs the FIB in an image has room for: those that a
// Port may name.
func (im *Image) VRFs() int {
	return int(*(*uint64)(unsafe.Pointer(&im.mem[unsafe.Offsetof(weftFibHeader{}.Vrfs)])))
}

// State is the maps that XDP programs work on besides an image. They outlive a
// program: the next one takes them over.
type State struct {
	Ports     *ebpf.Map // one value, a Ports
	Counters  *ebpf.Map // one value, Rows
	Trace     *ebpf.Map // one value, a Trace
	VLANs     *ebpf.Map // one value, of VLANs
	TxPorts   *ebpf.Map // port number to ifindex
	Transmits *ebpf.Map // one value, a Transmits
}

// NewState makes empty maps with the given number of rows of counters and of
// VLANs, of which the first must stay empty. Needs Linux 5.5 and CAP_BPF.
func NewState(rows, trunks int) (_ *State, err error) {
	s := new(State)
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	spec, err := loadWeft()
	if err != nil {
		return nil, err
	}
	spec.Maps[countersMap].ValueSize = uint32(rows) * uint32(unsafe.Sizeof(Row{}))
	spec.Maps[vlansMap].ValueSize = uint32(trunks) * uint32(unsafe.Sizeof(VLANs{}))
	for name, m := range s.maps() {
		ms := spec.Maps[name]
		if ms.Type == ebpf.Array {
			ms.Flags, ms.Contents, ms.Key, ms.Value = unix.BPF_F_MMAPABLE, nil, nil, nil
		}
		ms.Name = strings.TrimPrefix(name, ".data.")
		if *m, err = ebpf.NewMap(ms); err != nil {
			return nil, fmt.Errorf("create map %s: %w", ms.Name, err)
		}
	}
	// gofail: var stateMapsMade struct{}
	s.Transmits, err = newTransmits()
	return s, err
}

// maps are those of the programs that are routers, by their names there.
func (s *State) maps() map[string]**ebpf.Map {
	return map[string]**ebpf.Map{
		portsMap: &s.Ports, countersMap: &s.Counters, traceMap: &s.Trace, vlansMap: &s.VLANs, txPortsMap: &s.TxPorts,
	}
}

// Close closes the maps. They go when no program and no pin holds them.
func (s *State) Close() error {
	errs := []error{s.Transmits.Close()}
	for _, m := range s.maps() {
		errs = append(errs, (*m).Close())
	}
	return errors.Join(errs...)
}

// Features are what a program is made with. What is off is not in it.
type Features struct {
	Trace bool // it notes its steps in State.Trace
	VLANs bool // it looks for ports behind VLAN tags
	// Partial: it hands packets to the kernel whose L4 checksums are to be filled in
	// by hardware yet. XDP loses the note that says so, tc does not.
	Partial bool
}

// Load loads the XDP program for an image and maps; it does not attach it.
func Load(im *Image, s *State, f Features) (*ebpf.Program, error) {
	prog, err := loadXDP(im, s, f, true)
	if errors.Is(err, unix.EINVAL) { // perhaps a kernel before 5.18: it knows frames of one piece only
		if p, err := loadXDP(im, s, f, false); err == nil {
			return p, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("load XDP program: %w", err)
	}
	// gofail: var programLoaded struct{}
	return prog, nil
}

func loadXDP(im *Image, s *State, f Features, pieces bool) (*ebpf.Program, error) {
	spec, err := specXDP(im, pieces)
	if err != nil {
		return nil, err
	}
	return load(spec, weftProgWeft, im, s, f)
}

func specXDP(im *Image, pieces bool) (*ebpf.CollectionSpec, error) {
	loadSpec := loadWeft
	if im.Chunked() {
		loadSpec = loadWeftchunked
	}
	spec, err := loadSpec()
	if err != nil {
		return nil, err
	}
	if !pieces {
		spec.Programs[weftProgWeft].Flags &^= unix.BPF_F_XDP_HAS_FRAGS
	}
	return spec, spec.Variables[weftVarPieces].Set(pieces)
}

// load loads a program of spec that is a router.
func load(spec *ebpf.CollectionSpec, name string, im *Image, s *State, f Features) (*ebpf.Program, error) {
	maps, err := fit(spec, name, im, s, f)
	if err != nil {
		return nil, err
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: maps})
	if err != nil {
		return nil, err
	}
	defer coll.Close()
	return coll.DetachProgram(name), nil
}

// fit makes a program of spec one for an image, maps and features, and returns the maps that it is loaded on.
func fit(spec *ebpf.CollectionSpec, name string, im *Image, s *State, f Features) (map[string]*ebpf.Map, error) {
	maps, err := im.Use(spec)
	if err != nil {
		return nil, err
	}
	for name, m := range s.maps() {
		ms := spec.Maps[name]
		if ms == nil {
			continue // tc has no device map
		}
		ms.ValueSize, ms.MaxEntries, ms.Flags = (*m).ValueSize(), (*m).MaxEntries(), (*m).Flags()
		ms.Contents, ms.Key, ms.Value = nil, nil, nil
		maps[name] = *m
	}
	prog := spec.Programs[name]
	limits := map[int64]int64{
		countersMark: int64(s.Counters.ValueSize()) - int64(unsafe.Sizeof(Row{})),
		vlanMark:     int64(s.VLANs.ValueSize()) - int64(unsafe.Sizeof(VLANs{}.Port[0])),
	}
	for i := range prog.Instructions {
		ins := &prog.Instructions[i]
		if limit, ok := limits[ins.Constant]; ok && ins.OpCode.Class().IsJump() && ins.OpCode.JumpOp() == asm.JGT {
			ins.Constant = limit
		}
	}
	decide(prog.Instructions, tracedMark, f.Trace)
	decide(prog.Instructions, vlansMark, f.VLANs)
	decide(prog.Instructions, partialMark, f.Partial)
	prog.Instructions = arrangeMain(prog.Instructions, coldMark)
	return maps, nil
}
