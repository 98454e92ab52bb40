package static

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"slices"
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
	hops := map[string]int{}
	for _, w := range waiting {
		lacks = append(lacks, w.For)
		if w.Route != nil {
			hops[w.Route.Prefix.String()] = len(w.Route.Hops)
		}
	}
	if want := map[string]int{"10.1.0.0/16": 1, "10.2.0.0/16": 0}; !reflect.DeepEqual(hops, want) {
		t.Errorf("next hops of what waits: %v, want %v", hops, want)
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

func neighbor(link int, addr string, last byte) kernel.Neighbor {
	return kernel.Neighbor{
		Link: link, Addr: netip.MustParseAddr(addr), MAC: kernel.MAC{2, 0, 0, 0, 0, last}, HasMAC: true,
		State: unix.NUD_PERMANENT, Protocol: rib.ProtocolWeft,
	}
}

func TestCompareNeighbors(t *testing.T) {
	same, moved, old := neighbor(1, "192.0.2.1", 1), neighbor(1, "192.0.2.2", 2), neighbor(2, "192.0.2.2", 2)
	changed := neighbor(1, "192.0.2.2", 3)
	set, gone := compareNeighbors([]kernel.Neighbor{same, moved, old}, []kernel.Neighbor{same, changed})
	if !reflect.DeepEqual(set, []kernel.Neighbor{changed}) || !reflect.DeepEqual(gone, []kernel.Neighbor{old}) {
		t.Errorf("set %v, gone %v", set, gone)
	}
}

// TestReplaceNeighbors holds that entries come, change and go, and that those of others
// stay.
func TestReplaceNeighbors(t *testing.T) {
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("make network namespace: %v: CI runs this as root", err)
		}
		t.Skipf("make network namespace: %v: run as root", err)
	}
	ip := func(line string) string {
		t.Helper()
		out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput()
		if err != nil {
			t.Fatalf("ip %s: %v\n%s", line, err, out)
		}
		return string(out)
	}
	ip("link add p1 index 7 type veth peer name q1")
	ip("link set p1 up")
	ip("neigh add 192.0.2.9 lladdr 02:00:00:00:00:99 dev p1 nud permanent proto static")
	for _, c := range []struct {
		wanted []kernel.Neighbor
		have   []string
	}{
		{[]kernel.Neighbor{neighbor(7, "192.0.2.1", 1), neighbor(7, "2001:db8::1", 1)}, []string{"192.0.2.1 02:00:00:00:00:01", "2001:db8::1 02:00:00:00:00:01"}},
		{[]kernel.Neighbor{neighbor(7, "192.0.2.1", 2)}, []string{"192.0.2.1 02:00:00:00:00:02"}},
		{nil, nil},
	} {
		if err := replaceNeighbors(c.wanted); err != nil {
			t.Fatal(err)
		}
		var have []string
		for line := range strings.Lines(ip("neigh show dev p1 proto 119") + ip("-6 neigh show dev p1 proto 119")) {
			words := strings.Fields(line)
			if entry := words[0] + " " + words[2]; !slices.Contains(have, entry) { // ip tells of both families without -4
				have = append(have, entry)
			}
		}
		slices.Sort(have)
		if !slices.Equal(have, c.have) {
			t.Errorf("the kernel has %q, want %q", have, c.have)
		}
		if other := ip("neigh show 192.0.2.9 dev p1"); !strings.Contains(other, "02:00:00:00:00:99") {
			t.Errorf("the entry of somebody else: %q", other)
		}
	}
	if err := replaceNeighbors([]kernel.Neighbor{neighbor(8, "192.0.2.1", 1)}); !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENODEV) {
		t.Errorf("on a link that is not there: %v", err)
	}
}
