package soft

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/dataplane/soft/internal/vethtest"
)

// The kernel asks on the wire for a neighbor that it does not know, one that has not
// answered again, and leaves alone what it was told.
func TestResolver(t *testing.T) {
	vethtest.Enter(t)
	here, there := vethtest.Pair(t, "v0", 1)
	vethtest.Address(t, here.Name, "192.0.2.1/24", "192.0.2.9", [6]byte{2, 0, 0, 0, 0, 9})
	wire := vethtest.NewWire(t, there.Index)
	r, err := NewResolver()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	to, known := netip.MustParseAddr("192.0.2.77"), netip.MustParseAddr("192.0.2.9")
	wantQuestion := func() {
		t.Helper()
		if f := wire.Next(); !bytes.Equal(f[12:14], []byte{8, 6}) || f[21] != 1 || !bytes.Equal(f[38:42], to.AsSlice()) {
			t.Fatalf("on the wire is %x, want an ARP request", f)
		}
	}
	resolve := func(a netip.Addr) {
		t.Helper()
		if err := r.Resolve(here.Index, a); err != nil {
			t.Fatal(err)
		}
	}
	resolve(to)
	wantQuestion()
	resolve(to) // it asks already: not an error
	if err := netlink.NeighSet(&netlink.Neigh{LinkIndex: here.Index, IP: to.AsSlice(), State: netlink.NUD_FAILED}); err != nil {
		t.Fatal(err)
	}
	for state, err := r.state(here.Index, to); state != unix.NUD_FAILED; state, err = r.state(here.Index, to) {
		if err != nil {
			t.Fatal(err)
		}
	}
	resolve(to)
	wantQuestion()
	resolve(known)
	if state, err := r.state(here.Index, known); err != nil || state != unix.NUD_PERMANENT {
		t.Errorf("a permanent neighbor is in state %#x now, %v", state, err)
	}
	if err := r.Resolve(1<<20, to); !errors.Is(err, unix.ENODEV) {
		t.Errorf("on no interface: %v", err)
	}
}
