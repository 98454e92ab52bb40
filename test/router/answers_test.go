package router

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"weft/control/api"
	"weft/dataplane/xdp"
)

// What weft prints as JSON, as far as the tests look at it.
type (
	status struct {
		State   string
		PID     int
		Adopted bool
		Trouble []string
		FIB     struct {
			Size, Generation uint64
			IPv4Routes       int `json:"ipv4_routes"`
			NotInstalled     int `json:"not_installed"`
		}
		Netlink struct{ Overruns, Syncs int }
		Program struct{ ID uint32 }
	}

	portList struct {
		Ports   []port
		Refused []struct{ Ifname, Error, Hint string }
	}
	port struct {
		Number                     uint32
		Ifindex                    int
		Ifname, Mode, Egress       string
		MTU                        int
		Up, IPv4, IPv6             bool
		IngressWhy                 string `json:"ingress_why"`
		EgressErrors               uint64 `json:"egress_errors"`
		Forwarded, Punted, Dropped uint64
		Counters                   []counter
	}
	counter struct {
		Reason, Verdict string
		Packets         uint64
	}

	lookup struct {
		Type, Dst, Gateway, Dev         string
		Verdict, Reason, Prefix, Lladdr string
		MTU, Members                    int
		Group                           uint32
		Via                             struct{ Family, Host string }
		Kernel                          struct {
			Agrees                         bool
			Type, Dev, Gateway, Why, Error string
		}
	}
)

func (n *network) status() (s status) {
	n.Helper()
	n.ask(&s, "status")
	return s
}

// ports returns the ports by name.
func (n *network) ports() map[string]port {
	n.Helper()
	var list portList
	n.ask(&list, "ports")
	all := map[string]port{}
	for _, p := range list.Ports {
		all[p.Ifname] = p
	}
	return all
}

// count returns how many packets a port has counted for a reason.
func (n *network) count(dev, reason string) uint64 {
	n.Helper()
	for _, c := range n.ports()[dev].Counters {
		if c.Reason == reason {
			return c.Packets
		}
	}
	return 0
}

// wantCounted runs f, upon which a port is to count so many packets for a
// reason, and not one more.
func (n *network) wantCounted(dev, reason string, packets uint64, f func()) {
	n.Helper()
	before := n.count(dev, reason)
	f()
	if got := n.count(dev, reason) - before; got != packets {
		n.Errorf("%s has counted %d packets for %s, want %d", dev, got, reason, packets)
	}
}

// lookup asks what becomes of a packet from h1.
func (n *network) lookup(dst string) lookup {
	n.Helper()
	var answers []lookup
	o := n.weft("--json", "routes", "get", dst, "explain")
	if err := json.Unmarshal([]byte(o.stdout), &answers); err != nil || len(answers) != 1 {
		n.Fatalf("routes get %s: exit code %d\n%s%s", dst, o.code, o.stdout, o.stderr)
	}
	l := answers[0]
	if noRoute := l.Reason == "ipv4_lpm_miss" || l.Reason == "ipv6_lpm_miss"; noRoute != (o.code == 2) || !noRoute && o.code != 0 {
		n.Errorf("routes get %s: exit code %d for %s", dst, o.code, l.Reason)
	}
	return l
}

// wantLookup waits until packets from h1 to dst end as they should, and the
// kernel says the same.
func (n *network) wantLookup(dst string, is func(l *lookup) bool) {
	n.Helper()
	var l lookup
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if l = n.lookup(dst); is(&l) && l.Kernel.Agrees {
			return
		}
	}
	n.Fatalf("packets to %s: %+v", dst, l)
}

// wantForward waits until packets from h1 to dst leave by a port to a gateway.
func (n *network) wantForward(dst, dev, gateway string) {
	n.Helper()
	n.wantLookup(dst, func(l *lookup) bool {
		return l.Verdict == "forward" && l.Dev == dev && (gateway == "" || l.Gateway == gateway || l.Via.Host == gateway)
	})
}

// wantReason waits until packets from h1 to dst end for a reason.
func (n *network) wantReason(dst, reason string) {
	n.Helper()
	n.wantLookup(dst, func(l *lookup) bool { return l.Reason == reason })
}

// catchUp waits until weft has taken in what the kernel has told so far: changes
// come in order.
func (n *network) catchUp() {
	n.Helper()
	const marker = "198.18.0.1"
	n.ip("r1", "route add blackhole "+marker)
	n.wantReason(marker, "blackhole_route")
	n.ip("r1", "route del blackhole "+marker)
	n.wantLookup(marker, func(l *lookup) bool { return l.Reason != "blackhole_route" })
}

// account is what came in by a port: as Linux counts, and as weft does.
type account struct{ linux, weft uint64 }

// accounts counts the packets of all ports, by ifindex, at a moment in which none
// comes in: weft counts the same before and after Linux has been asked.
func (n *network) accounts() map[int]account {
	n.Helper()
	var all map[int]account
	n.until("no packet comes in", func() bool {
		all = map[int]account{}
		for name, p := range n.ports() {
			var received uint64
			err := n.lab.In("r1", func() error {
				l, err := netlink.LinkByIndex(p.Ifindex)
				if err == nil {
					received = l.Attrs().Statistics.RxPackets
				}
				return err
			})
			if err != nil {
				n.Fatalf("port %s: %v", name, err)
			}
			all[p.Ifindex] = account{received, p.Forwarded + p.Punted + p.Dropped}
		}
		for _, p := range n.ports() {
			if all[p.Ifindex].weft != p.Forwarded+p.Punted+p.Dropped {
				return false
			}
		}
		return true
	})
	return all
}

// wantBalance asserts that weft has counted each packet that came in since run.
// Ports that are newer are left out.
func (n *network) wantBalance() {
	n.Helper()
	var wrong string
	for range 100 { // what comes in between two readings makes a difference, for once
		wrong = ""
		for ifindex, now := range n.accounts() {
			was, known := n.before[ifindex]
			if linux, weft := now.linux-was.linux, now.weft-was.weft; known && linux != weft {
				wrong += fmt.Sprintf("ifindex %d has received %d packets, and forwarded, punted and dropped %d\n", ifindex, linux, weft)
			}
		}
		if wrong == "" {
			return
		}
	}
	n.Error(wrong)
}

// wantVerified asserts that kernel, RIB, FIB and program agree.
func (n *network) wantVerified() {
	n.Helper()
	if o := n.weft("verify"); o.code != 0 {
		n.Errorf("weft verify: exit code %d\n%s%s", o.code, o.stdout, o.stderr)
	}
}

// finish asserts what holds after every test, and ends weft.
func (n *network) finish() {
	n.Helper()
	if n.daemon == nil {
		return
	}
	running := true
	select {
	case <-n.daemon.Done:
		running = n.try(new(status), "status") // another one may
	default:
	}
	if running && !n.Failed() {
		n.wantVerified()
		n.wantBalance()
	}
	if n.Failed() {
		n.Logf("ports:\n%slog:\n%s", n.weft("ports").stdout, n.log())
	}
	left := n.objects()
	if o := n.weft("stop"); o.code != 0 {
		n.Errorf("weft stop: exit code %d\n%s", o.code, o.stderr)
	}
	n.wantNothing(left)
}

// netns returns the name of what weft keeps for the router's namespace.
func (n *network) netns() (name string) {
	n.Helper()
	err := n.lab.In("r1", func() (err error) {
		name, err = api.Netns()
		return err
	})
	if err != nil {
		n.Fatal(err)
	}
	return name
}

// pins calls f with the directory of what the router has pinned. It may not be
// there.
func (n *network) pins(f func(dir string)) {
	n.Helper()
	root, fs, err := xdp.Root()
	if err != nil {
		n.Fatal(err)
	}
	defer fs.Close()
	f(filepath.Join(root, "weft", n.netns()))
}

// objects is what the kernel keeps for a router.
type objects struct {
	maps     []ebpf.MapID
	programs []ebpf.ProgramID
}

func (n *network) objects() (all objects) {
	n.Helper()
	n.pins(func(dir string) {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			if m, err := ebpf.LoadPinnedMap(path, nil); err == nil {
				if info, err := m.Info(); err == nil {
					id, _ := info.ID()
					all.maps = append(all.maps, id)
				}
				m.Close()
			}
			if l, err := link.LoadPinnedLink(path, nil); err == nil {
				if info, err := l.Info(); err == nil {
					all.programs = append(all.programs, info.Program)
				}
				l.Close()
			}
		}
	})
	slices.Sort(all.programs)
	all.programs = slices.Compact(all.programs)
	return all
}

// wantNothing asserts that weft has left the machine as it was: no pin, file,
// process or attached program, and none of some objects of the kernel.
func (n *network) wantNothing(all objects) {
	n.Helper()
	n.pins(func(dir string) {
		for _, path := range []string{dir, dir + "_part"} {
			if _, err := os.Stat(path); !os.IsNotExist(err) {
				n.Errorf("pins are left: %s: %v", filepath.Base(path), err)
			}
		}
	})
	for _, path := range []string{api.Socket(n.netns()), api.LockPath(n.netns())} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			n.Errorf("%s is left: %v", path, err)
		}
	}
	if links := n.ip("r1", "link"); strings.Contains(links, "xdp") {
		n.Errorf("programs are attached:\n%s", links)
	}
	if tc := n.command("r1", "tc", "qdisc"); strings.Contains(tc, "clsact") {
		n.Errorf("a qdisc is left:\n%s", tc)
	}
	n.until("programs and maps are gone", func() bool { return !n.exist(all) })
}

// exist reports whether one of the objects is still there.
func (n *network) exist(all objects) bool {
	for _, id := range all.programs {
		if p, err := ebpf.NewProgramFromID(id); err == nil {
			p.Close()
			return true
		}
	}
	for _, id := range all.maps {
		if m, err := ebpf.NewMapFromID(id); err == nil {
			m.Close()
			return true
		}
	}
	return false
}
