package xdp_test

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"

	"weft/bpf"
	"weft/dataplane/xdp"
)

// TestOddPins opens pins that no engine has left: it refuses, or does without, and does not end the process.
func TestOddPins(t *testing.T) {
	dir := filepath.Join(pinRoot(t), "engine")
	r := newRouter(t, xdp.Options{Ports: 16, Dir: dir})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	link := func(number string) string { return filepath.Join(dir, "link_"+number) }
	for _, number := range []string{"0", "16", "99999", "4294967295"} {
		if err := os.Rename(link("3"), link(number)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := xdp.Open(dir); !errors.Is(err, xdp.ErrLayout) {
			t.Errorf("link_%s: %v, want %v", number, err, xdp.ErrLayout)
		}
		if err := os.Rename(link(number), link("3")); err != nil {
			t.Fatal(err)
		}
	}
	// Interfaces that are ports with numbers out of range.
	m, err := ebpf.LoadPinnedMap(filepath.Join(dir, "current", "ports"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var ports []byte
	if err := m.Lookup(uint32(0), &ports); err != nil {
		t.Fatal(err)
	}
	byIfindex := ports[16*bpf.MaxPorts:]
	binary.LittleEndian.PutUint16(byIfindex[2*1000:], 65535)
	binary.LittleEndian.PutUint16(byIfindex[2*1001:], uint16(bpf.MaxPorts))
	binary.LittleEndian.PutUint16(byIfindex[2*1002:], 16)
	if err := m.Update(uint32(0), ports, ebpf.UpdateAny); err != nil {
		t.Fatal(err)
	}
	e, im, err := xdp.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	defer e.Stop()
	if n := len(e.Ports()); n != 4 {
		t.Errorf("%d ports, want 4", n)
	}
	if err := m.Lookup(uint32(0), &ports); err != nil {
		t.Fatal(err)
	}
	for _, ifindex := range []int{1000, 1001, 1002} {
		if n := binary.LittleEndian.Uint16(ports[16*bpf.MaxPorts+2*ifindex:]); n != 0 {
			t.Errorf("ifindex %d is still port %d", ifindex, n)
		}
	}
}
