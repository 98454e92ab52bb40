package xdp_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"weft/bpf"
	"weft/dataplane"
	"weft/dataplane/xdp"
	"weft/fib"
)

var errInterrupted = errors.New("interrupted")

// upgraded is a router whose engines follow each other under traffic.
type upgraded struct {
	*router
	dir    string
	ports  []dataplane.PortStatus
	tx, rx int
	sent   uint64
}

func newUpgraded(t *testing.T) *upgraded {
	t.Helper()
	u := &upgraded{dir: filepath.Join(pinRoot(t), "engine")}
	u.router = newRouter(t, xdp.Options{Dir: u.dir})
	fillTable(t, u.router)
	passProgram(t, u.in[portOut])
	u.tx, u.rx = socket(t, u.in[portIn]), socket(t, u.in[portOut])
	u.ports = u.Ports()
	return u
}

// pass sends frames, which the program must forward.
func (u *upgraded) pass(t *testing.T) {
	t.Helper()
	for range 20 {
		in := numbered(uint32(u.sent), 4)
		send(t, u.tx, in)
		u.sent++
		if got, want := receive(t, u.rx), forwarded(in); !bytes.Equal(got, want) {
			t.Fatalf("frame %d:\n%x, want\n%x", u.sent, got, want)
		}
	}
}

// beside makes an engine beside what is pinned, and all that is to be done before it
// takes over.
func (u *upgraded) beside(t *testing.T) {
	t.Helper()
	mem, im := newImage(t, 1<<20)
	e, err := xdp.Beside(u.dir, mem, xdp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if e.Beside() == nil || e.Beside().Counters != nil {
		t.Errorf("beside %+v, want counters that go on", e.Beside())
	}
	u.Engine, u.image, u.fib = e, mem, im
	fillTable(t, u.router)
	if got := len(u.Ports()); got != len(u.ports) {
		t.Errorf("%d ports, want %d: %+v", got, len(u.ports), u.Ports())
	}
	u.wantCounted(t)
	for _, p := range u.ports {
		if err := u.SetPort(p.Port); err != nil {
			t.Fatal(err)
		}
	}
	u.pass(t)
}

func (u *upgraded) open(t *testing.T) error {
	t.Helper()
	e, im, err := xdp.Open(u.dir)
	if err != nil {
		return err
	}
	t.Cleanup(func() { im.Close() })
	u.Engine = e
	return nil
}

// wantCounted asserts that each frame that was sent was counted once.
func (u *upgraded) wantCounted(t *testing.T) {
	t.Helper()
	if c := settle(u.Engine, portIn, u.sent); c[dataplane.Forwarded].Packets != u.sent || c.Received().Packets != u.sent {
		t.Errorf("counters%s, want forwarded=%d", nonzero(c), u.sent)
	}
}

// wantWhole asserts that nothing but one engine is pinned, with the ports that there
// were.
func (u *upgraded) wantWhole(t *testing.T) {
	t.Helper()
	u.pass(t)
	u.wantCounted(t)
	runs(t, u.Engine)
	maps, err := os.Readlink(filepath.Join(u.dir, "current"))
	if err != nil {
		t.Error(err)
	}
	want := "current " + maps + " link_1 link_2 link_3 link_4 tracepoint_xdp_devmap_xmit tracepoint_xdp_redirect_err"
	if got := strings.Join(names(t, u.dir), " "); got != want {
		t.Errorf("pinned are %s, want %s", got, want)
	}
	got := u.Ports()
	for i := range got {
		want := u.ports[i]
		want.Name = got[i].Name // the kernel's, or the owner's
		if want.Want = got[i].Want; got[i] != want {
			t.Errorf("port %+v, want %+v", got[i], want)
		}
	}
}

// An engine takes over from another one, and is interrupted at each step; then comes
// one of its format, or of another.
func TestTakeOver(t *testing.T) {
	for _, step := range append([]string{"never"}, xdp.Steps...) {
		for _, next := range []string{"the same", "another"} {
			t.Run(step+"/"+next, func(t *testing.T) {
				u := newUpgraded(t)
				u.pass(t)
				if err := u.Kill(); err != nil {
					t.Fatal(err)
				}
				u.pass(t)
				u.beside(t)
				undo := xdp.InterruptAt(step, errInterrupted)
				err := u.TakeOver()
				undo()
				if (step == "never") != (err == nil) || err != nil && !errors.Is(err, errInterrupted) {
					t.Fatal(err)
				}
				if step == "never" {
					u.wantWhole(t)
				}
				if err := u.Kill(); err != nil {
					t.Fatal(err)
				}
				u.pass(t)
				if next == "the same" {
					err = u.open(t)
				} else {
					u.beside(t)
					err = u.TakeOver()
				}
				if err != nil {
					t.Fatal(err)
				}
				u.wantWhole(t)
			})
		}
	}
}

// Open is interrupted while it ends what TakeOver began, again and again.
func TestOpenEndsTakeOver(t *testing.T) {
	u := newUpgraded(t)
	u.pass(t)
	if err := u.Kill(); err != nil {
		t.Fatal(err)
	}
	u.beside(t)
	undo := xdp.InterruptAt(xdp.Steps[1], errInterrupted)
	err := u.TakeOver()
	undo()
	if !errors.Is(err, errInterrupted) {
		t.Fatal(err)
	}
	if err := u.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, step := range []string{xdp.Steps[2], xdp.Steps[3], xdp.Steps[2], xdp.Steps[3]} {
		undo := xdp.InterruptAt(step, errInterrupted)
		err := u.open(t)
		undo()
		if !errors.Is(err, errInterrupted) {
			t.Errorf("%s: %v", step, err)
		}
		u.pass(t)
	}
	if err := u.open(t); err != nil {
		t.Fatal(err)
	}
	u.wantWhole(t)
}

// Closed before it takes over, an engine leaves everything as it was.
func TestBesideClosed(t *testing.T) {
	u := newUpgraded(t)
	if err := u.Kill(); err != nil {
		t.Fatal(err)
	}
	before := names(t, u.dir)
	u.beside(t)
	if err := u.Check(); err != nil {
		t.Error(err)
	}
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	if after := names(t, u.dir); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("pinned were %v, are %v", before, after)
	}
	u.pass(t)
	if err := u.open(t); err != nil {
		t.Fatal(err)
	}
	u.wantWhole(t)
}

// An image of another version, in pins of the same format.
func TestTakeOverImage(t *testing.T) {
	u := newUpgraded(t)
	u.pass(t)
	u.image.Mem()[8]++ // struct fib_header, version
	if err := u.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := u.open(t); !errors.Is(err, xdp.ErrLayout) || !errors.Is(err, fib.ErrVersion) {
		t.Fatal(err)
	}
	u.beside(t)
	if err := u.TakeOver(); err != nil {
		t.Fatal(err)
	}
	u.wantWhole(t)
}

// A port that comes while an engine is made, and one that goes.
func TestTakeOverOtherPorts(t *testing.T) {
	u := newUpgraded(t)
	u.pass(t)
	send(t, socket(t, u.in[portOff]), numbered(0, 4))
	if c := settle(u.Engine, portOff, 1); c.Received().Packets != 1 {
		t.Fatalf("counters%s, want one packet", nonzero(c))
	}
	if err := u.Kill(); err != nil {
		t.Fatal(err)
	}
	u.beside(t)
	u.pass(t)
	if err := u.RemovePort(portOff); err != nil {
		t.Error(err)
	}
	index, _ := veth(t, "later", "later-peer")
	setGRO(t, "later-peer", true)
	if err := u.SetPort(port(portOff, index, 0, true)); err != nil {
		t.Error(err)
	}
	if err := u.TakeOver(); err != nil {
		t.Fatal(err)
	}
	u.pass(t)
	u.wantCounted(t)
	if c := u.Counters(portOff); c.Received().Packets != 0 {
		t.Errorf("a new port has counted%s", nonzero(c))
	}
	runs(t, u.Engine)
}

// Links that lead to programs of another attach type take none of this one: they are
// made anew.
func TestTakeOverAttachType(t *testing.T) {
	u := newUpgraded(t)
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "other", Type: ebpf.XDP, AttachType: ebpf.AttachTraceFEntry, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Close()
	pin := filepath.Join(u.dir, "link_1")
	old, err := link.LoadPinnedLink(pin, nil)
	if err == nil {
		err = errors.Join(u.Kill(), old.Unpin(), old.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	l, err := link.AttachXDP(link.XDPOptions{Program: prog, Interface: u.port[portIn], Flags: link.XDPDriverMode})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Pin(pin), l.Close()); err != nil {
		t.Fatal(err)
	}
	if err := u.open(t); err != nil {
		t.Fatal(err)
	}
	u.wantWhole(t)
	if err := u.Kill(); err != nil {
		t.Fatal(err)
	}
	if l, err = link.LoadPinnedLink(pin, nil); err != nil {
		t.Fatal(err)
	}
	if err := l.Update(prog); err == nil {
		t.Error("the link is still one for programs of the other attach type")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := u.open(t); err != nil {
		t.Fatal(err)
	}
}

// A link of which the maps know nothing, as one that was pinned by code of another
// format that was killed before its maps were current.
func TestOpenLinkWithoutEntries(t *testing.T) {
	u := newUpgraded(t)
	if err := errors.Join(u.RemoveEntries(portIn), u.RemoveEntries(portOut), u.Kill()); err != nil {
		t.Fatal(err)
	}
	if err := u.open(t); err != nil {
		t.Fatal(err)
	}
	for _, p := range u.ports {
		if err := u.SetPort(p.Port); err != nil {
			t.Fatal(err)
		}
	}
	if err := u.Check(); err != nil {
		t.Fatal(err)
	}
	u.await(t, portOut, dataplane.NativeEgress)
	u.wantWhole(t)
}

// VLANs have no link: an engine that is made knows their numbers, and their counters
// go on.
func TestTakeOverVLANs(t *testing.T) {
	dir := filepath.Join(pinRoot(t), "engine")
	r := vlanRouter(t, xdp.Options{Ports: 16, Dir: dir})
	frame := withTags(toUs(ethIPv4, ipv4(host4, "10.0.0.1", 64)), tag(0x8100, 100))
	tx, rx := socket(t, r.in[portIn]), socket(t, r.in[portOut])
	pass := func() {
		t.Helper()
		send(t, tx, frame)
		if got, want := receive(t, rx), forwarded(toUs(ethIPv4, ipv4(host4, "10.0.0.1", 64))); !bytes.Equal(got, want) {
			t.Errorf("frame\n%x, want\n%x", got, want)
		}
	}
	pass()
	ports, oldImage := r.Ports(), r.image
	if err := r.Kill(); err != nil {
		t.Fatal(err)
	}
	mem, err := bpf.NewImage(len(oldImage.Mem()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mem.Close() })
	if r.fib, err = r.fib.CopyTo(mem.Mem(), fib.Options{}); err != nil {
		t.Fatal(err)
	}
	if r.Engine, err = xdp.Beside(dir, mem, xdp.Options{}); err != nil {
		t.Fatal(err)
	}
	for i, p := range r.Ports() {
		if p.Number != ports[i].Number || p.Ifindex != ports[i].Ifindex {
			t.Errorf("port %+v, want %+v", p, ports[i])
		}
	}
	for _, p := range ports {
		if err := r.SetPort(p.Port); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.Ports()); n != len(ports) {
		t.Errorf("%d ports, want %d", n, len(ports))
	}
	pass()
	if err := r.TakeOver(); err != nil {
		t.Fatal(err)
	}
	pass()
	if c := settle(r.Engine, vlanC, 3); c[dataplane.Forwarded].Packets != 3 || c.Received().Packets != 3 {
		t.Errorf("counters%s, want forwarded=3", nonzero(c))
	}
}

// What is in the directory and is not weft's is not touched.
func TestBesideForeign(t *testing.T) {
	u := newUpgraded(t)
	if err := u.Kill(); err != nil {
		t.Fatal(err)
	}
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: "foreign", Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Pin(filepath.Join(u.dir, "link_9")); err != nil {
		t.Fatal(err)
	}
	mem, _ := newImage(t, 1<<20)
	before := names(t, u.dir)
	if _, err := xdp.Beside(u.dir, mem, xdp.Options{}); !errors.Is(err, xdp.ErrForeignPin) {
		t.Errorf("Beside: %v", err)
	}
	if err := u.open(t); !errors.Is(err, xdp.ErrForeignPin) {
		t.Errorf("Open: %v", err)
	}
	if after := names(t, u.dir); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("pinned were %v, are %v", before, after)
	}
	u.pass(t)
	if _, err := xdp.Beside(u.dir+"-none", mem, xdp.Options{}); !errors.Is(err, xdp.ErrNotFound) {
		t.Errorf("Beside nothing: %v", err)
	}
}
