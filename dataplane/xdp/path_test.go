package xdp_test

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"weft/dataplane/xdp"
)

// pathLimits says how many instructions a packet may take from the program's start to its end, as the kernel has them:
// after the verifier has put its own in the place of loads from the context and of helpers it inlines, and taken the
// dead ones out. A conditional jump is one of them, and two of x86. Raise a number only with the reason in the commit.
var pathLimits = []struct {
	name         string
	routes       int // besides the one that the packet takes
	packet       []byte
	instructions int
	partial      int // where the host may leave checksums to hardware
}{
	{"ipv4/default", 0, ipv4("198.51.100.7", "203.0.113.7", 64), 157, 189},
	{"ipv6/default", 0, ipv6("2001:db8::7", "2001:db8:1::7", 64), 149, 203},
	{"ipv4/one", 1, ipv4("198.51.100.7", "10.0.0.7", 64), 191, 223},
	{"ipv6/one", 1, ipv6("2001:db8::7", "2001:db8:1::7", 64), 238, 292},
	{"ipv4/many", 1000, ipv4("198.51.100.7", "20.0.4.7", 64), 190, 222},
	{"ipv4/ecmp", 1, ipv4("198.51.100.7", "10.1.0.7", 64), 276, 308},
}

func TestPathLength(t *testing.T) {
	r := newRouter(t, xdp.Options{})
	for _, name := range []string{"in", "out", "off", "vrf"} {
		setTX(t, name+"-peer", false)
	}
	if err := r.Check(); err != nil {
		t.Fatal(err)
	}
	testPathLength(t, r, false)
}

func TestPathLengthPartial(t *testing.T) {
	testPathLength(t, newRouter(t, xdp.Options{}), true)
}

// The hot path calls one helper: the one that redirects.
func testPathLength(t *testing.T, r *router, partial bool) {
	id := r.add(t, adjacency(portOut, 1500))
	one := r.route(t, 0, via(id), "0.0.0.0/0", "::/0")
	tab, err := r.fib.Table(0)
	if err != nil {
		t.Fatal(err)
	}
	routes := 0
	for _, c := range pathLimits {
		if c.routes == 1 && routes == 0 {
			r.route(t, 0, via(id), "10.0.0.0/16", "2001:db8:1::/48")
			r.route(t, 0, via(id, r.add(t, adjacency(portOut, 1500))), "10.1.0.0/16")
		}
		for ; routes < c.routes; routes++ {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(routes >> 6), byte(routes << 2)}), 24)
			if err := tab.Insert(p, one); err != nil {
				t.Fatal(err)
			}
		}
		vm := newMachine(t, r.Program())
		etherType := uint16(0x0800)
		if c.packet[0]>>4 == 6 {
			etherType = 0x86dd
		}
		vm.run(frame{ourMAC, hostMAC, etherType, c.packet}.bytes(), r.port[portIn])
		t.Logf("%s: %d BPF instructions, some %d of x86, %d jumps taken, %d calls", c.name, vm.steps, vm.machine, vm.taken, vm.calls)
		if vm.result != xdpRedirect || vm.calls != 1 {
			t.Errorf("%s: XDP action %d after %d calls, want %d after 1", c.name, vm.result, vm.calls, xdpRedirect)
		}
		limit := c.instructions
		if partial {
			limit = c.partial
		}
		if vm.steps > limit {
			t.Errorf("%s: %d instructions, want at most %d:\n%s", c.name, vm.steps, limit, strings.Join(vm.listing, "\n"))
		}
	}
}

const xdpRedirect = 4

// machine executes a loaded program as the kernel has it (BPF_OBJ_GET_INFO_BY_FD), on copies of its maps' memory.
type machine struct {
	t       *testing.T
	insns   map[int]asm.Instruction // by offset in 8 bytes
	source  map[int]string
	memory  map[uint64][]byte // by first address
	maps    map[ebpf.MapID]uint64
	reg     [12]uint64
	steps   int
	machine int // instructions of x86: a conditional jump is two
	taken   int // jumps
	calls   int
	result  uint64
	listing []string
}

// Where things are. Nothing is at 0.
const (
	atPacket  = 0x1_0000_0000
	atContext = 0x2_0000_0000 // struct xdp_buff
	atRxq     = 0x3_0000_0000 // struct xdp_rxq_info
	atDevice  = 0x4_0000_0000 // struct net_device
	atStack   = 0x5_0000_0000
	atCPU     = 0x6_0000_0000 // the number of this CPU
	atMaps    = 0x10_0000_0000
)

func newMachine(t *testing.T, prog *ebpf.Program) *machine {
	t.Helper()
	m := &machine{t: t, insns: map[int]asm.Instruction{}, source: map[int]string{}, maps: map[ebpf.MapID]uint64{}}
	m.memory = map[uint64][]byte{atStack: make([]byte, 512), atCPU: make([]byte, 8)}
	info, err := prog.Info()
	if err != nil {
		t.Fatal(err)
	}
	insns, err := info.Instructions()
	if err != nil {
		t.Fatal(err)
	}
	source := ""
	for iter := insns.Iterate(); iter.Next(); {
		if s := iter.Ins.Source(); s != nil {
			source = strings.TrimSpace(s.String())
		}
		m.insns[int(iter.Offset)], m.source[int(iter.Offset)] = *iter.Ins, source
	}
	ids, _ := info.MapIDs()
	for i, id := range ids {
		mp, err := ebpf.NewMapFromID(id)
		if err != nil {
			t.Fatal(err)
		}
		m.maps[id] = atMaps * uint64(i+1)
		if mp.Type() == ebpf.Array {
			value := make([]byte, mp.ValueSize())
			if err := mp.Lookup(uint32(0), &value); err != nil {
				t.Fatal(err)
			}
			m.memory[m.maps[id]] = value
		}
		mp.Close()
	}
	return m
}

func (m *machine) run(packet []byte, ifindex int) {
	m.t.Helper()
	m.steps, m.machine, m.taken, m.calls, m.listing = 0, 0, 0, 0, nil
	m.memory[atPacket] = append([]byte{}, packet...)
	var ctx []byte // data, data_end, data_meta, data_hard_start, rxq
	for _, v := range []uint64{atPacket, atPacket + uint64(len(packet)), atPacket, atPacket, atRxq, 0, 0} {
		ctx = binary.LittleEndian.AppendUint64(ctx, v)
	}
	m.memory[atContext] = ctx
	m.memory[atRxq] = binary.LittleEndian.AppendUint64(nil, atDevice)
	// Wherever its ifindex lies.
	m.memory[atDevice] = nil
	for range 256 {
		m.memory[atDevice] = binary.LittleEndian.AppendUint32(m.memory[atDevice], uint32(ifindex))
	}
	m.reg = [12]uint64{asm.R1: atContext, asm.R10: atStack + 512}
	last := ""
	for pc := 0; ; {
		ins, ok := m.insns[pc]
		if !ok || m.steps > 10_000 {
			m.t.Fatalf("program counter %d after %d steps", pc, m.steps)
		}
		m.steps++
		m.machine++
		if s := m.source[pc]; s != last {
			m.listing, last = append(m.listing, "; "+s), s
		}
		m.listing = append(m.listing, fmt.Sprintf("%4d %v", pc, ins))
		next := pc + int(ins.Size()/asm.InstructionSize)
		if ins.OpCode.JumpOp() == asm.Exit && ins.OpCode.Class().IsJump() {
			m.result = m.reg[0]
			return
		}
		pc = m.step(ins, next)
	}
}

// step executes one instruction and returns what comes next. It knows those that the program has.
func (m *machine) step(ins asm.Instruction, next int) int {
	m.t.Helper()
	dst, src := &m.reg[ins.Dst], m.reg[ins.Src%12]
	op := ins.OpCode
	switch class := op.Class(); {
	case op.IsDWordLoad():
		*dst = uint64(ins.Constant)
		if ins.Src == asm.PseudoMapFD || ins.Src == asm.PseudoMapValue {
			*dst = m.maps[ebpf.MapID(uint32(ins.Constant))]
		}
		if ins.Src == asm.PseudoMapValue {
			*dst += uint64(ins.Constant) >> 32
		}
	case class == asm.LdXClass:
		*dst = m.load(src+uint64(ins.Offset), op.Size().Sizeof())
	case class == asm.StXClass && op.Mode() == asm.MemMode:
		m.store(*dst+uint64(ins.Offset), op.Size().Sizeof(), src)
	case class == asm.StClass:
		m.store(*dst+uint64(ins.Offset), op.Size().Sizeof(), uint64(ins.Constant))
	case class.IsALU():
		if op.Source() == asm.ImmSource && op.ALUOp() != asm.Swap {
			src = uint64(ins.Constant)
		}
		switch {
		case op.ALUOp() == asm.Mov && ins.Offset == -1: // BPF_ADDR_PERCPU
			src = atCPU
		case class == asm.ALUClass && op.ALUOp() != asm.Swap:
			src = uint64(uint32(src))
		}
		*dst = m.alu(ins, *dst, src)
	case class.IsJump() && op.JumpOp() == asm.Call:
		m.calls++
		m.reg[0] = xdpRedirect
	case class.IsJump():
		if op.JumpOp() == asm.Ja {
			if class == asm.Jump32Class {
				return next + int(int32(ins.Constant))
			}
			m.taken++
			return next + int(ins.Offset)
		}
		m.machine++
		a, b := *dst, src
		if op.Source() == asm.ImmSource {
			b = uint64(ins.Constant)
		}
		if class == asm.Jump32Class {
			a, b = uint64(uint32(a)), uint64(uint32(b))
		}
		if m.holds(op.JumpOp(), a, b) {
			m.taken++
			return next + int(ins.Offset)
		}
	default:
		m.t.Fatalf("no way to execute %v", ins)
	}
	return next
}

func (m *machine) alu(ins asm.Instruction, a, b uint64) (r uint64) {
	width := uint64(64)
	if ins.OpCode.Class() == asm.ALUClass {
		a, width = uint64(uint32(a)), 32
	}
	switch op := ins.OpCode.ALUOp(); op {
	case asm.Mov:
		r = b
	case asm.Add:
		r = a + b
	case asm.Sub:
		r = a - b
	case asm.Mul:
		r = a * b
	case asm.And:
		r = a & b
	case asm.Or:
		r = a | b
	case asm.Xor:
		r = a ^ b
	case asm.LSh:
		r = a << (b % width)
	case asm.RSh:
		r = a >> (b % width)
	case asm.ArSh:
		r = uint64(int64(a<<(64-width)) >> (64 - width) >> (b % width))
	case asm.Neg:
		r = -a
	case asm.Swap: // to big endian
		return bits.ReverseBytes64(m.reg[ins.Dst]) >> (64 - ins.Constant)
	default:
		m.t.Fatalf("no way to compute %v", ins)
	}
	if width == 32 {
		r = uint64(uint32(r))
	}
	return r
}

func (m *machine) holds(op asm.JumpOp, a, b uint64) bool {
	switch op {
	case asm.JEq:
		return a == b
	case asm.JNE:
		return a != b
	case asm.JGT:
		return a > b
	case asm.JGE:
		return a >= b
	case asm.JLT:
		return a < b
	case asm.JLE:
		return a <= b
	case asm.JSet:
		return a&b != 0
	case asm.JSGT:
		return int64(a) > int64(b)
	}
	m.t.Fatalf("no way to compare by %v", op)
	return false
}

// at returns n bytes of memory.
func (m *machine) at(addr uint64, n int) []byte {
	for first, mem := range m.memory {
		if addr >= first && addr+uint64(n) <= first+uint64(len(mem)) {
			return mem[addr-first:][:n]
		}
	}
	m.t.Fatalf("nothing is at %#x\n%s", addr, strings.Join(m.listing, "\n"))
	return nil
}

func (m *machine) load(addr uint64, n int) (v uint64) {
	for i, b := range m.at(addr, n) {
		v |= uint64(b) << (8 * i)
	}
	return v
}

func (m *machine) store(addr uint64, n int, v uint64) {
	for i, b := 0, m.at(addr, n); i < n; i++ {
		b[i] = byte(v >> (8 * i))
	}
}
