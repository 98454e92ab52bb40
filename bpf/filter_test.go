package bpf

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	netbpf "golang.org/x/net/bpf"

	"weft/dataplane/filter"
	"weft/test/root"
)

// filters have every instruction that filters are made of, and each selection one at some time.
var filters = []string{
	"", "ip", "ip6", "arp", "tcp or udp", "host 10.0.0.1", "net 10.0.0.0/8", "ip6 host 2001:db8::1", "port 53", "tcp portrange 50-90", "not icmp", "vlan 5 and ip",
	"tcp[13] & 2 != 0", "ip[ip[0] & 15] > 3", "tcp[(tcp[12] >> 4) * 4] = 65", "ip[2:2] - ((ip[0] & 0xf) << 2) > 40", "len > 70", "less 60", "ip[9] % 4 = 1",
	"ip[2:2] / ip[1] > 3", "ip[8] << ip[9] != 0", "ip[8] >> ip[1] = 64", "ip[9] ^ 0x11 = 0", "ether[ip[2:2]] = 7", "ip[4:4] * ip[12:4] > 0x80000000", "ip[8] > ip[9]",
	"ip[8] <= ip[9]", "ip[2:2] & ip[4:2] != 0", "ether[ether[20:4] : 4] > 5", "(ip[1] | 3) + ip[2] - ip[3] > 0x7fffffff", "udp[8:4] >= 0xfffffff0", "ip[0] = 0x45 and ip[16380] = 0",
}

// filterProgram answers with the selections whose filters a frame passes.
func filterProgram(t *testing.T, all [Selections][]netbpf.Instruction) *ebpf.Program {
	t.Helper()
	body, err := filterCode(all)
	if err != nil {
		t.Fatal(err)
	}
	body[0] = body[0].WithSymbol("passes")
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "Dual BSD/GPL", Instructions: append(asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, 4, asm.Word), // data_end
		asm.LoadMem(asm.R1, asm.R1, 0, asm.Word), // data
		asm.Mov.Reg(asm.R3, asm.R2),
		asm.Sub.Reg(asm.R3, asm.R1),
		asm.Call.Label("passes"),
		asm.Return(),
	}, body...)})
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// A filter says the same in the kernel and in Go.
func TestFilters(t *testing.T) {
	root.Require(t)
	frames := mutated(400)
	for len(filters)%Selections != 0 {
		filters = append(filters, "ip")
	}
	for from := 0; from < len(filters); from += Selections {
		var code [Selections][]netbpf.Instruction
		var parsed [Selections]*filter.Filter
		for i := range parsed {
			f, err := filter.Parse(filters[from+i])
			if err != nil {
				t.Fatal(err)
			}
			parsed[i], code[i] = f, f.Code()
		}
		p := filterProgram(t, code)
		passed := uint32(0)
		for _, frame := range frames {
			got, err := p.Run(&ebpf.RunOptions{Data: frame})
			if err != nil {
				t.Fatal(err)
			}
			passed |= got
			for i, f := range parsed {
				if want := f.Match(frame); want != (got>>i&1 == 1) {
					t.Fatalf("%q: the kernel says %v, Go %v: % x", f, !want, want, frame)
				}
			}
		}
		if passed == 0 {
			t.Errorf("%q: no frame passes any", filters[from:from+Selections])
		}
	}
}

// mutated makes frames that are nearly right.
func mutated(n int) (all [][]byte) {
	r := rand.New(rand.NewPCG(8, 8))
	mac := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}
	four := append(bytes.Clone(mac), 8, 0, 0x45, 3, 0, 60, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 53, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2)
	six := append(bytes.Clone(mac), 0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6, 64, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
	arp := append(bytes.Clone(mac), 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1)
	tagged := append(append(bytes.Clone(mac), 0x81, 0, 0, 5), four[12:]...)
	for range n {
		frame := bytes.Clone([][]byte{four, four, six, arp, tagged}[r.IntN(5)])
		for range r.IntN(80) {
			frame = append(frame, byte(r.Uint32()))
		}
		for range r.IntN(4) {
			frame[12+r.IntN(len(frame)-12)] = byte([]uint32{0, 1, 5, 6, 17, 33, 65, 255, r.Uint32()}[r.IntN(9)])
		}
		if r.IntN(6) == 0 {
			frame = frame[:14+r.IntN(len(frame)-14)]
		}
		all = append(all, frame)
	}
	return all
}
