package star

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"weft/control/api"
	"weft/dataplane/xdp"
)

// Account is what came in by a port: as Linux counts, and as weft does.
type Account struct{ Linux, Weft uint64 }

// Accounts counts the packets of all ports, by ifindex, at a moment in which none
// comes in: weft counts the same before and after Linux has been asked.
func (n *Network) Accounts() map[int]Account {
	n.Helper()
	var all map[int]Account
	n.Until("no packet comes in", func() bool {
		all = map[int]Account{}
		for name, p := range n.Ports() {
			var received uint64
			err := n.Lab.In("r1", func() error {
				l, err := netlink.LinkByIndex(p.Ifindex)
				if err == nil {
					received = l.Attrs().Statistics.RxPackets
				}
				return err
			})
			if err != nil {
				n.Fatalf("port %s: %v", name, err)
			}
			all[p.Ifindex] = Account{received, p.Forwarded + p.Punted + p.Dropped}
		}
		for _, p := range n.Ports() {
			if all[p.Ifindex].Weft != p.Forwarded+p.Punted+p.Dropped {
				return false
			}
		}
		return true
	})
	return all
}

// WantBalance asserts that weft has counted each packet that came in since run.
// Ports that are newer are left out.
func (n *Network) WantBalance() {
	n.Helper()
	var wrong string
	for range 100 { // what comes in between two readings makes a difference, for once
		wrong = ""
		for ifindex, now := range n.Accounts() {
			was, known := n.Before[ifindex]
			if linux, weft := now.Linux-was.Linux, now.Weft-was.Weft; known && linux != weft {
				wrong += fmt.Sprintf("ifindex %d has received %d packets, and forwarded, punted and dropped %d\n", ifindex, linux, weft)
			}
		}
		if wrong == "" {
			return
		}
	}
	n.Error(wrong)
}

// WantAccounted asserts that weft itself has found no packet that it did not count.
func (n *Network) WantAccounted() {
	n.Helper()
	for name, p := range n.Ports() {
		if p.Unaccounted != 0 {
			n.Errorf("%s: %d packets unaccounted: %s", name, p.Unaccounted, p.UnaccountedWhy)
		}
	}
}

// WantVerified asserts that kernel, RIB, FIB and program agree.
func (n *Network) WantVerified() {
	n.Helper()
	if o := n.Weft("verify"); o.Code != 0 {
		n.Errorf("weft verify: exit code %d\n%s%s", o.Code, o.Stdout, o.Stderr)
	}
}

// Finish asserts what holds after every test, and ends weft.
func (n *Network) Finish() {
	n.Helper()
	if n.Daemon == nil {
		return
	}
	running := true
	select {
	case <-n.Daemon.Done:
		running = n.Try(new(Status), "status") // another one may
	default:
	}
	if running && !n.Failed() {
		n.WantVerified()
		n.WantBalance()
		n.WantAccounted()
	}
	if n.Failed() {
		n.Logf("ports:\n%slog:\n%s", n.Weft("ports").Stdout, n.DaemonLog())
	}
	left := n.Objects()
	if o := n.Weft("stop"); o.Code != 0 {
		n.Errorf("weft stop: exit code %d\n%s", o.Code, o.Stderr)
	}
	n.WantNothing(left)
}

// Netns returns the name of what weft keeps for the router's namespace.
func (n *Network) Netns() (name string) {
	n.Helper()
	err := n.Lab.In("r1", func() (err error) {
		name, err = api.Netns()
		return err
	})
	if err != nil {
		n.Fatal(err)
	}
	return name
}

// Pins calls f with the directory of what the router has pinned. It may not be
// there.
func (n *Network) Pins(f func(dir string)) {
	n.Helper()
	root, fs, err := xdp.Root()
	if err != nil {
		n.Fatal(err)
	}
	defer fs.Close()
	f(filepath.Join(root, "weft", n.Netns()))
}

// PinMap pins a map that is none of weft's.
func PinMap(t testing.TB, path string) {
	t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: "foreign", Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err == nil {
		err = m.Pin(path)
		m.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Objects is what the kernel keeps for a router.
type Objects struct {
	Maps     []ebpf.MapID
	Programs []ebpf.ProgramID
}

func (n *Network) Objects() (all Objects) {
	n.Helper()
	n.Pins(func(dir string) {
		_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, _ error) error {
			if m, err := ebpf.LoadPinnedMap(path, nil); err == nil {
				if info, err := m.Info(); err == nil {
					id, _ := info.ID()
					all.Maps = append(all.Maps, id)
				}
				m.Close()
			}
			if l, err := link.LoadPinnedLink(path, nil); err == nil {
				if info, err := l.Info(); err == nil {
					all.Programs = append(all.Programs, info.Program)
				}
				l.Close()
			}
			return nil
		})
	})
	slices.Sort(all.Programs)
	all.Programs = slices.Compact(all.Programs)
	return all
}

// WantNothing asserts that weft has left the machine as it was: no pin, file,
// process or attached program, and none of some objects of the kernel.
func (n *Network) WantNothing(all Objects) {
	n.Helper()
	n.Pins(func(dir string) {
		for _, path := range []string{dir, dir + "_part"} {
			if _, err := os.Stat(path); !os.IsNotExist(err) {
				n.Errorf("pins are left: %s: %v", filepath.Base(path), err)
			}
		}
	})
	for _, path := range []string{api.Socket(n.Netns()), api.LockPath(n.Netns())} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			n.Errorf("%s is left: %v", path, err)
		}
	}
	if links := n.IP("r1", "link"); strings.Contains(links, "xdp") {
		n.Errorf("programs are attached:\n%s", links)
	}
	if tc := n.Command("r1", "tc", "qdisc"); strings.Contains(tc, "clsact") {
		n.Errorf("a qdisc is left:\n%s", tc)
	}
	n.Until("programs and maps are gone", func() bool { return !n.Exist(all) })
}

// Exist reports whether one of the objects is still there.
func (n *Network) Exist(all Objects) bool {
	for _, id := range all.Programs {
		if p, err := ebpf.NewProgramFromID(id); err == nil {
			p.Close()
			return true
		}
	}
	for _, id := range all.Maps {
		if m, err := ebpf.NewMapFromID(id); err == nil {
			m.Close()
			return true
		}
	}
	return false
}
