package rib

import (
	"testing"

	"golang.org/x/sys/unix"

	"weft/fib"
)

// TestVRFWithoutRoom has more VRFs than the image: a port in one of those that have no table is not in the default VRF, whose
// routes are not for it, and its neighbors are not either.
func TestVRFWithoutRoom(t *testing.T) {
	im, err := fib.Create(make([]byte, 1<<20), fib.Options{VRFs: 2})
	if err != nil {
		t.Fatal(err)
	}
	r := New(im, Options{Ports: portsBelow(9), Reasons: testReasons})
	r.BeginSync()
	r.EndSync()
	for i, master := range []int{20, 21} {
		vrf := testLink(master)
		vrf.Kind, vrf.VRFTable = "vrf", uint32(100+i)
		r.SetLink(vrf)
		port := testLink(i + 1)
		port.Master = master
		r.SetLink(port)
	}
	if vrf, member := r.Place(1); vrf != 1 || member {
		t.Errorf("port 1 is in VRF %d, member %v", vrf, member)
	}
	if _, member := r.Place(2); !member {
		t.Error("port 2 forwards by the default VRF, and is in another one")
	}
	r.SetRoute(route(t, "unicast 192.0.2.0/24 dev 2"), Add) // not its own: the kernel's main table may say so
	r.SetNeighbor(neighbor(2, "192.0.2.1", unix.NUD_REACHABLE))
	r.Publish()
	for p, g := range contents(t, r, 0) {
		if p.Bits() == 32 && p.Addr().String() == "192.0.2.1" {
			t.Errorf("%s: %s", p, g)
		}
	}
}
