package xdp_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"weft/dataplane"
	"weft/dataplane/xdp"
)

// accountRouter has ports in a mode, and pins, so that others can get at it.
func accountRouter(t *testing.T, mode dataplane.Mode) (r *router, dir string) {
	t.Helper()
	dir = filepath.Join(pinRoot(t), "engine")
	o := xdp.Options{Ports: 16, Dir: dir}
	switch mode {
	case dataplane.TC:
		return tcRouter(t, o), dir
	case dataplane.GenericXDP:
		r = newRouter(t, o)
		p := r.Ports()[portIn-1].Port
		p.Want = mode
		if err := errors.Join(r.RemovePort(portIn), r.SetPort(p)); err != nil {
			t.Fatal(err)
		}
	default:
		r = newRouter(t, o)
	}
	fillTable(t, r)
	return r, dir
}

// arrive sends frames by portIn, waits until Linux and weft have counted them, and
// looks.
func (r *router) arrive(t *testing.T, fd int, frames ...[]byte) {
	t.Helper()
	r.pass(t, fd, frames, r.linux, r.counted)
}

// getBy is arrive for frames that weft does not see.
func (r *router) getBy(t *testing.T, fd int, frames ...[]byte) {
	t.Helper()
	r.pass(t, fd, frames, r.linux)
}

func (r *router) pass(t *testing.T, fd int, frames [][]byte, counters ...func(t *testing.T) uint64) {
	t.Helper()
	var want []uint64
	for _, c := range counters {
		want = append(want, c(t)+uint64(len(frames)))
	}
	for _, f := range frames {
		send(t, fd, f)
	}
	for n, c := range counters {
		for end := time.Now().Add(10 * time.Second); c(t) < want[n]; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("counter %d is %d after 10 s, want %d", n, c(t), want[n])
			}
		}
	}
	r.look(t)
}

// linux returns how many packets have come in by portIn, as Linux says.
func (r *router) linux(t *testing.T) uint64 {
	t.Helper()
	l, err := netlink.LinkByIndex(r.port[portIn])
	if err != nil {
		t.Fatal(err)
	}
	return l.Attrs().Statistics.RxPackets
}

// counted returns how many packets have come in by portIn and its VLANs, as weft says.
func (r *router) counted(*testing.T) (all uint64) {
	for _, n := range []uint32{portIn, vlanC, vlanS, vlanSC, vlanOff} {
		c := r.Counters(n)
		all += c.Received().Packets
	}
	return all
}

// look compares all that has come in.
func (r *router) look(t *testing.T) {
	t.Helper()
	for range 2 {
		if err := r.LookAtAccounts(); err != nil {
			t.Fatal(err)
		}
	}
}

// wantUnaccounted asserts what is unaccounted at portIn, and nothing at others.
func (r *router) wantUnaccounted(t *testing.T, packets uint64, reason string) {
	t.Helper()
	for _, p := range r.Ports() {
		want, why := uint64(0), ""
		if p.Number == portIn {
			want, why = packets, reason
		}
		if p.Unaccounted != want || why == "" && p.UnaccountedReason != "" || !strings.Contains(p.UnaccountedReason, why) {
			t.Errorf("port %d: %d unaccounted (%s), want %d (%s)", p.Number, p.Unaccounted, p.UnaccountedReason, want, why)
		}
	}
}

// mixed is n frames that are forwarded, punted, dropped.
func mixed(n int) (all [][]byte) {
	for i := range n {
		all = append(all, numbered(uint32(i), 4+2*(i%2)), toUs(ethIPv4, ipv4(host4, "10.7.0.1", 64)), toUs(ethIPv4, ipv4(host4, "10.9.0.1", 64)))
	}
	return all
}

var accountModes = []dataplane.Mode{dataplane.NativeXDP, dataplane.TC, dataplane.GenericXDP}

// TestAccounted has traffic in which nothing gets away.
func TestAccounted(t *testing.T) {
	for _, mode := range accountModes {
		t.Run(string(mode), func(t *testing.T) {
			r, _ := accountRouter(t, mode)
			tx := socket(t, r.in[portIn])
			r.look(t)
			r.addVLANs(t)
			for range 5 {
				r.arrive(t, tx, mixed(20)...)
				r.arrive(t, tx, withTags(numbered(1, 4), tag(0x8100, 100)), withTags(numbered(2, 4), tag(0x8100, 999)))
			}
			if got := r.Ports()[portIn-1]; got.Mode != mode {
				t.Fatalf("mode %s", got.Mode)
			}
			if c := r.Counters(vlanC); c.Received().Packets != 5 {
				t.Errorf("the VLAN has counted %v", c.Received())
			}
			r.wantUnaccounted(t, 0, "")
			// A VLAN goes with its counters, and leaves no gap.
			if err := r.RemovePort(vlanC); err != nil {
				t.Fatal(err)
			}
			r.arrive(t, tx, mixed(1)...)
			r.arrive(t, tx, mixed(1)...)
			r.wantUnaccounted(t, 0, "")
		})
	}
}

// stranger makes a program that lets all packets by.
func stranger(t *testing.T, mode dataplane.Mode) *ebpf.Program {
	t.Helper()
	spec := &ebpf.ProgramSpec{
		Name: "stranger", Type: ebpf.XDP, AttachType: ebpf.AttachXDP, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}, // XDP_PASS
	}
	if mode == dataplane.TC {
		spec.Type, spec.AttachType = ebpf.SchedCLS, ebpf.AttachTCXIngress
		spec.Instructions[0] = asm.Mov.Imm(asm.R0, 2) // TC_ACT_SHOT
	}
	prog, err := ebpf.NewProgram(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { prog.Close() })
	return prog
}

// withLink calls f with the attachment of a port, as somebody else has it.
func withLink(t *testing.T, dir string, number int, f func(link.Link) error) {
	t.Helper()
	l, err := link.LoadPinnedLink(filepath.Join(dir, fmt.Sprint("link_", number)), nil)
	if err == nil {
		err = errors.Join(f(l), l.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestUnaccountedProgramReplaced has somebody put another program in the place of
// weft's. It is told what was missed, to the packet, and goes on when weft's is back.
func TestUnaccountedProgramReplaced(t *testing.T) {
	for _, mode := range accountModes {
		t.Run(string(mode), func(t *testing.T) {
			r, dir := accountRouter(t, mode)
			tx := socket(t, r.in[portIn])
			r.look(t)
			r.arrive(t, tx, mixed(5)...)
			other := stranger(t, mode)
			withLink(t, dir, portIn, func(l link.Link) error { return l.Update(other) })
			r.getBy(t, tx, mixed(7)...)
			info, err := other.Info()
			if err != nil {
				t.Fatal(err)
			}
			id, _ := info.ID()
			why := fmt.Sprintf("program %d is there in the place of weft's", id)
			r.wantUnaccounted(t, 21, why)
			ours := r.Program()
			if mode == dataplane.TC {
				ours = r.ProgramTC()
			}
			withLink(t, dir, portIn, func(l link.Link) error { return l.Update(ours) })
			r.arrive(t, tx, mixed(9)...)
			r.wantUnaccounted(t, 21, why)
		})
	}
}

// TestUnaccountedProgramDetached has somebody take weft's program off a port.
func TestUnaccountedProgramDetached(t *testing.T) {
	r, dir := accountRouter(t, dataplane.NativeXDP)
	tx := socket(t, r.in[portIn])
	r.look(t)
	withLink(t, dir, portIn, link.Link.Detach)
	r.getBy(t, tx, mixed(3)...)
	r.wantUnaccounted(t, 9, "taken off")
}

// TestUnaccountedOtherFirst has a program of tc before weft's.
func TestUnaccountedOtherFirst(t *testing.T) {
	r, _ := accountRouter(t, dataplane.TC)
	tx := socket(t, r.in[portIn])
	r.look(t)
	l, err := link.AttachTCX(link.TCXOptions{
		Program: stranger(t, dataplane.TC), Interface: r.port[portIn], Attach: ebpf.AttachTCXIngress, Anchor: link.Head(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r.getBy(t, tx, mixed(3)...)
	r.wantUnaccounted(t, 9, "bpftool net show dev")
}

// TestUnaccountedCountersCleared has somebody write to weft's memory.
func TestUnaccountedCountersCleared(t *testing.T) {
	r, dir := accountRouter(t, dataplane.NativeXDP)
	tx := socket(t, r.in[portIn])
	r.look(t)
	r.arrive(t, tx, mixed(4)...)
	m, err := ebpf.LoadPinnedMap(filepath.Join(dir, "current", "counters"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Put(uint32(0), make([]byte, m.ValueSize())); err != nil {
		t.Fatal(err)
	}
	r.look(t)
	r.wantUnaccounted(t, 12, "counters were changed")
}

// TestUnaccountedAdopted begins anew: what got away while nobody was there to look is
// not told, what does from then on is.
func TestUnaccountedAdopted(t *testing.T) {
	r, dir := accountRouter(t, dataplane.NativeXDP)
	tx := socket(t, r.in[portIn])
	r.look(t)
	r.arrive(t, tx, mixed(4)...)
	other := stranger(t, dataplane.NativeXDP)
	withLink(t, dir, portIn, func(l link.Link) error { return l.Update(other) })
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for _, f := range mixed(5) {
		send(t, tx, f)
	}
	for end := time.Now().Add(10 * time.Second); r.linux(t) < 27 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	e, im, err := xdp.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Stop(); im.Close() })
	r.Engine = e
	r.look(t)
	r.arrive(t, tx, mixed(3)...)
	r.wantUnaccounted(t, 0, "")
	withLink(t, dir, portIn, func(l link.Link) error { return l.Update(other) })
	r.getBy(t, tx, mixed(1)...)
	r.wantUnaccounted(t, 3, "in the place of weft's")
}

// TestUnaccountedGRO has packets merged before tc sees them: nothing is to be said
// then, and no false alarm given.
func TestUnaccountedGRO(t *testing.T) {
	r, _ := accountRouter(t, dataplane.TC)
	tx := socket(t, r.in[portIn])
	r.look(t)
	setGRO(t, "in", true)
	r.arrive(t, tx, mixed(3)...)
	r.wantUnaccounted(t, 0, "GRO merges packets")
	setGRO(t, "in", false)
	r.arrive(t, tx, mixed(3)...)
	r.arrive(t, tx, mixed(3)...)
	r.wantUnaccounted(t, 0, "")
}

// TestUnaccountedByCheck has the owner's calls only, and time.
func TestUnaccountedByCheck(t *testing.T) {
	r, dir := accountRouter(t, dataplane.NativeXDP)
	defer xdp.LookEvery(10 * time.Millisecond)()
	tx := socket(t, r.in[portIn])
	r.look(t)
	withLink(t, dir, portIn, link.Link.Detach)
	for _, f := range mixed(3) {
		send(t, tx, f)
	}
	for end := time.Now().Add(10 * time.Second); r.Ports()[portIn-1].Unaccounted < 9; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			break
		}
		r.mustCheck(t)
	}
	r.wantUnaccounted(t, 9, "taken off")
}

// BenchmarkAccounts is one look at 256 ports' accounts.
func BenchmarkAccounts(b *testing.B) {
	enterNetns(b)
	mem, _ := newImage(b, 1<<20)
	e, err := xdp.New(mem, xdp.Options{Ports: 300})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Stop()
	for n := range uint32(256) {
		ifindex, _ := veth(b, fmt.Sprint("p", n), fmt.Sprint("q", n))
		if err := e.SetPort(port(n+1, ifindex, 0, true)); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for range b.N {
		if err := e.LookAtAccounts(); err != nil {
			b.Fatal(err)
		}
	}
}
