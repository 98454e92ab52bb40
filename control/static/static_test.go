package static

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"weft/control/config"
	"weft/control/kernel"
	"weft/control/rib"
	"weft/fib"
)

// allPorts makes ports of all links.
type allPorts struct{}

func (allPorts) Number(link int) (uint32, bool) { return uint32(link), true }

func newRIB(t *testing.T, links ...string) *rib.RIB {
	t.Helper()
	im, err := fib.Create(make([]byte, 1<<20), fib.Options{VRFs: 16})
	if err != nil {
		t.Fatal(err)
	}
	r := rib.New(im, rib.Options{Ports: allPorts{}})
	r.BeginSync()
	for i, name := range links {
		setLink(r, i+1, name)
	}
	r.NumberVRFs(nil)
	r.EndSync()
	return r
}

func setLink(r *rib.RIB, index int, name string) {
	l := kernel.Link{Index: index, Name: name, Type: 1, Flags: unix.IFF_UP | unix.IFF_LOWER_UP, MTU: 1500, HasMAC: true}
	if strings.HasPrefix(name, "vrf") {
		l.VRFTable = 100 + uint32(index)
	}
	r.SetLink(l)
}

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("test", []byte("version: 1\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// state is what has become of a route of preference 1.
func state(r *rib.RIB, prefix string, vrf uint16) rib.State {
	r.Publish()
	return r.State(vrf, netip.MustParsePrefix(prefix), rib.Static, 1)
}

func TestReplay(t *testing.T) {
	r := newRIB(t, "eth0", "vrf9")
	c := parse(t, `routes:
  - {prefix: 10.0.0.0/8, via: 192.0.2.1, dev: eth0}
  - {prefix: 10.1.0.0/16, nexthops: [{dev: eth0}, {dev: eth9}]}
  - {prefix: 10.2.0.0/16, dev: eth9}
  - {prefix: 10.3.0.0/16, type: prohibit, vrf: vrf9}
  - {prefix: 10.4.0.0/16, type: prohibit, vrf: blue}
  - {prefix: 10.5.0.0/16, type: blackhole, table: 102}
  - {prefix: 10.6.0.0/16, type: blackhole, table: 7}
`)
	waiting, err := offer(r, c, config.Default(), placesOf(r, c))
	if err != nil {
		t.Fatal(err)
	}
	var lacks []string
	for _, w := range waiting {
		lacks = append(lacks, w.For)
	}
	if want := []string{"interface eth9", "interface eth9", "a VRF of table 7", "VRF blue"}; !reflect.DeepEqual(lacks, want) {
		t.Errorf("waiting for %q, want %q", lacks, want)
	}
	for prefix, want := range map[string]rib.State{
		"10.0.0.0/8": rib.Installed, "10.1.0.0/16": rib.Installed, "10.2.0.0/16": rib.Absent, "10.4.0.0/16": rib.Absent, "10.6.0.0/16": rib.Absent,
	} {
		if got := state(r, prefix, 0); got != want {
			t.Errorf("%s: state %d, want %d", prefix, got, want)
		}
	}
	for _, prefix := range []string{"10.3.0.0/16", "10.5.0.0/16"} {
		if got := state(r, prefix, 1); got != rib.Installed {
			t.Errorf("%s in the VRF: state %d", prefix, got)
		}
	}
	// The link comes: the places differ, and the route is one.
	before := placesOf(r, c)
	setLink(r, 7, "eth9")
	if reflect.DeepEqual(placesOf(r, c), before) {
		t.Error("nothing is seen of a link that has come")
	}
	if waiting, err = offer(r, c, c, placesOf(r, c)); err != nil || len(waiting) != 2 || state(r, "10.2.0.0/16", 0) != rib.Installed {
		t.Errorf("with the link: %v, %v", waiting, err)
	}
	before = placesOf(r, c)
	r.SetLink(kernel.Link{Index: 8, Name: "later", Flags: unix.IFF_UP | unix.IFF_LOWER_UP, VRFTable: 7})
	if reflect.DeepEqual(placesOf(r, c), before) {
		t.Error("nothing is seen of a VRF that has come")
	}
	if waiting, err = offer(r, c, c, placesOf(r, c)); err != nil || len(waiting) != 1 || state(r, "10.6.0.0/16", 2) != rib.Installed {
		t.Errorf("with the VRF: %v, %v", waiting, err)
	}
	// What is not in the next one goes.
	if _, err := offer(r, config.Default(), c, nil); err != nil || state(r, "10.0.0.0/8", 0) != rib.Absent || state(r, "10.3.0.0/16", 1) != rib.Absent {
		t.Errorf("routes are left: %v", err)
	}
}

// TestRefusedWhole holds that of a configuration that the RIB refuses a part of,
// nothing is taken.
func TestRefusedWhole(t *testing.T) {
	r := newRIB(t, "eth0")
	good := parse(t, "routes: [{prefix: 10.0.0.0/8, dev: eth0}, {prefix: 10.9.0.0/16, dev: eth0}]")
	if _, err := offer(r, good, config.Default(), placesOf(r, good)); err != nil {
		t.Fatal(err)
	}
	bad := parse(t, "routes: [{prefix: 10.0.0.0/8, type: blackhole}, {prefix: 10.8.0.0/16, dev: eth0}, {prefix: 127.1.0.0/16, dev: eth0}]")
	if _, err := offer(r, bad, good, placesOf(r, bad)); !errors.Is(err, rib.ErrReserved) {
		t.Errorf("%v", err)
	}
	for prefix, want := range map[string]rib.State{"10.0.0.0/8": rib.Installed, "10.9.0.0/16": rib.Installed, "10.8.0.0/16": rib.Absent} {
		if got := state(r, prefix, 0); got != want {
			t.Errorf("%s: state %d, want %d", prefix, got, want)
		}
	}
}

// entry is a message's payload.
func entry(protocol uint8, nudState uint16) []byte {
	b := head(netip.MustParseAddr("192.0.2.9"), 3)
	binary.NativeEndian.PutUint16(b[8:], nudState)
	b = append(b, 8, 0, unix.NDA_DST, 0, 192, 0, 2, 9)
	b = append(b, 10, 0, unix.NDA_LLADDR, 0, 2, 0, 0, 0, 0, 9, 0, 0)
	return append(b, 5, 0, ndaProtocol, 0, protocol, 0, 0, 0)
}

func TestOwnEntry(t *testing.T) {
	want := neighbor{3, netip.MustParseAddr("192.0.2.9"), [6]byte{2, 0, 0, 0, 0, 9}}
	if n, own := ownEntry(entry(rib.ProtocolWeft, unix.NUD_PERMANENT)); !own || n != want {
		t.Errorf("weft's: %+v, %v", n, own)
	}
	if _, own := ownEntry(entry(unix.RTPROT_ZEBRA, unix.NUD_PERMANENT)); own {
		t.Error("zebra's is weft's")
	}
	if _, own := ownEntry(entry(rib.ProtocolWeft, unix.NUD_STALE)); own {
		t.Error("one that is not permanent is weft's")
	}
}

func FuzzOwnEntry(f *testing.F) {
	f.Add(entry(rib.ProtocolWeft, unix.NUD_PERMANENT))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, own := ownEntry(b); own && !n.addr.IsValid() {
			t.Errorf("%+v", n)
		}
	})
}
