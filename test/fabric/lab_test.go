package fabric

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/control/api"
	"weft/dataplane/xdp"
	"weft/test/lab"
	"weft/test/root"
	"weft/test/star"
)

// fabric is a lab as its users make it.
type fabric struct {
	testing.TB
	lab    *lab.Lab
	prefix string
	netns  []string // of all nodes: what weft names its files and pins by
}

// none is a lab that has not been made. What is made of it is gone when the test is.
func none(t *testing.T) *fabric {
	t.Helper()
	root.Require(t)
	f := &fabric{TB: t, prefix: fmt.Sprintf("weft-fabric%d-", os.Getpid())}
	t.Cleanup(func() {
		if t.Failed() && f.lab != nil {
			f.tell()
		}
		f.weft("lab", "down")
	})
	return f
}

// patience is how long anything may take on a busy machine.
const patience = 2 * time.Minute

// up makes a lab, which is gone when the test is.
func up(t *testing.T, routing lab.Routing) *fabric {
	t.Helper()
	f := none(t)
	if err := lab.HasFRR(); routing == lab.FRR && err != nil && os.Getenv("CI") == "" {
		t.Skip(err, ": run 'make deps'")
	}
	begin := time.Now()
	var reaches []struct{ From, To, Dst, Error string }
	out := f.weft("--json", "lab", "up", "leaf-spine", fmt.Sprint(len(leaves)), fmt.Sprint(len(spines)), "--routing", string(routing))
	if err := json.Unmarshal([]byte(out), &reaches); err != nil {
		t.Fatalf("weft lab up --json: %v\n%s", err, out)
	}
	t.Logf("up after %.1f s", time.Since(begin).Seconds())
	if pairs := len(leaves) * (len(leaves) - 1) * 2; len(reaches) != pairs {
		t.Errorf("%d pairs of hosts were checked, want %d", len(reaches), pairs)
	}
	for _, r := range reaches {
		if r.Error != "" {
			t.Errorf("%s does not reach %s %s: %s", r.From, r.To, r.Dst, r.Error)
		}
	}
	f.open()
	return f
}

// open finds out what is to be gone at the end.
func (f *fabric) open() {
	f.Helper()
	var err error
	if f.lab, err = lab.Open(f.prefix); err != nil {
		f.Fatal(err)
	}
	f.remember()
}

// remember keeps which namespaces there are now. They stay open, lest others get their
// numbers while it is looked what is left of them.
func (f *fabric) remember() {
	f.Helper()
	files, err := filepath.Glob("/run/netns/" + f.prefix + "*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		open, err := os.Open(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Cleanup(func() { open.Close() })
		var st unix.Stat_t
		if err := unix.Fstat(int(open.Fd()), &st); err != nil {
			f.Fatal(err)
		}
		f.netns = append(f.netns, fmt.Sprint(st.Ino))
	}
}

// weft runs the program, as its users do, and returns what it prints.
func (f *fabric) weft(args ...string) string {
	f.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	if slices.Contains(args, "lab") {
		args = append(args, "--prefix", f.prefix)
	}
	cmd := exec.CommandContext(ctx, star.Weft, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		f.Fatalf("weft %s: %v\n%s%s", strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// ask decodes what a command prints as JSON of a router.
func (f *fabric) ask(router string, to any, args ...string) {
	f.Helper()
	out := f.weft(append([]string{"-n", f.lab.Namespace(router), "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), to); err != nil {
		f.Fatalf("weft %s in %s: %v\n%s", strings.Join(args, " "), router, err, out)
	}
}

// table is the routes to the subnets of hosts: their paths.
type table map[string][]string

// routes returns the kernel's tables of routers.
func (f *fabric) routes(routers ...string) map[string]table {
	f.Helper()
	all := map[string]table{}
	for _, router := range routers {
		all[router] = table{}
		for _, family := range []string{"-4", "-6"} {
			var routes []struct {
				Dst, Dev, Gateway string
				Via               struct{ Host string }
				Nexthops          []struct {
					Dev, Gateway string
					Via          struct{ Host string }
				}
			}
			out, err := f.lab.Output(router, "ip", "-j", family, "route")
			if err == nil {
				err = json.Unmarshal(out, &routes)
			}
			if err != nil {
				f.Fatal(err)
			}
			for _, r := range routes {
				if _, host := wantPaths[r.Dst]; !host {
					continue
				}
				var paths []string
				for _, h := range r.Nexthops {
					paths = append(paths, h.Gateway+h.Via.Host+" "+h.Dev)
				}
				if paths == nil {
					paths = []string{r.Gateway + r.Via.Host + " " + r.Dev}
				}
				slices.Sort(paths)
				all[router][r.Dst] = paths
			}
		}
	}
	return all
}

// until waits for something to become true.
func (f *fabric) until(what string, is func() bool) {
	f.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.Fatalf("after %v still not: %s", patience, what)
		}
	}
}

// awaitPaths waits until a leaf has so many paths to subnets, in the kernel and in weft.
func (f *fabric) awaitPaths(n int, leaf string, subnets ...string) {
	f.Helper()
	f.until(fmt.Sprintf("%s has %d paths", leaf, n), func() bool {
		table := f.routes(leaf)[leaf]
		return !slices.ContainsFunc(subnets, func(subnet string) bool { return len(table[subnet]) != n })
	})
	f.weft("-n", f.lab.Namespace(leaf), "verify")
}

// awaitAllPaths waits until all leaves have so many paths to the hosts of the others.
func (f *fabric) awaitAllPaths(n int) {
	f.Helper()
	for i, leaf := range leaves {
		var subnets []string
		for other := range leaves {
			if other != i {
				subnets = append(subnets, fmt.Sprintf("10.%d.0.0/24", other+1), fmt.Sprintf("2001:db8:%d::/64", other+1))
			}
		}
		f.awaitPaths(n, leaf, subnets...)
	}
}

// setLink sets a link of a node up or down.
func (f *fabric) setLink(node, name, state string) {
	f.Helper()
	if _, err := f.lab.Output(node, "ip", "link", "set", name, state); err != nil {
		f.Fatal(err)
	}
}

// killDaemons kills all processes of a node, and leaves its links alone.
func (f *fabric) killDaemons(node string) {
	f.Helper()
	if err := lab.KillProcesses(f.lab.Namespace(node)); err != nil {
		f.Fatal(err)
	}
}

// awaitSessions waits until the leaves have so many BGP sessions.
func (f *fabric) awaitSessions(want int) {
	f.Helper()
	for _, leaf := range leaves {
		f.until(fmt.Sprintf("%s has %d sessions", leaf, want), func() bool {
			n, err := f.lab.Sessions(leaf)
			if err != nil {
				f.Fatal(err)
			}
			return n == want
		})
	}
}

// stays asserts what becomes of routes through a spine that forwards and has no daemon. weft goes on forwarding, so it
// tells its neighbors to keep them (graceful restart); FRR does not.
func (f *fabric) stays(routing lab.Routing, before map[string]table) {
	f.Helper()
	if routing == lab.FRR {
		f.awaitAllPaths(1)
		return
	}
	if now := f.routes(leaves...); !equal(now, before) {
		f.Errorf("routes are %v, were %v", now, before)
	}
}

func equal(a, b map[string]table) bool {
	return maps.EqualFunc(a, b, func(a, b table) bool { return maps.EqualFunc(a, b, slices.Equal) })
}

// awaitRoutes waits until tables are what they were.
func (f *fabric) awaitRoutes(before map[string]table) {
	f.Helper()
	routers := slices.Collect(maps.Keys(before))
	f.until("routes as before", func() bool { return equal(f.routes(routers...), before) })
}

// verified asserts that kernel, RIB, FIB and program agree in all routers, and that no packet is unaccounted.
func (f *fabric) verified() {
	f.Helper()
	for _, router := range f.lab.Routers() {
		f.weft("-n", f.lab.Namespace(router), "verify")
		var list star.PortList
		f.ask(router, &list, "ports")
		for _, p := range list.Ports {
			if p.Unaccounted != 0 || p.Mode != "native" || p.Egress != "native" {
				f.Errorf("%s of %s: %d packets unaccounted: %s; in by %s, out by %s", p.Ifname, router, p.Unaccounted, p.UnaccountedWhy, p.Mode, p.Egress)
			}
		}
	}
}

// tell logs what daemons have written.
func (f *fabric) tell() {
	logs, _ := filepath.Glob("/run/" + f.prefix + "state/*.log")
	for _, netns := range f.netns {
		logs = append(logs, api.LogPath(netns))
	}
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err == nil {
			f.Logf("%s:\n%s", log, text[max(0, len(text)-4000):])
		}
	}
}

// down ends the lab and asserts that nothing is left of it.
func (f *fabric) down() {
	f.Helper()
	scratch := f.scratchOfFRR()
	f.weft("lab", "down")
	patterns := []string{"/run/netns/" + f.prefix + "*", "/run/" + f.prefix + "*"}
	patterns = append(patterns, scratch...)
	fs, open, err := xdp.Root()
	if err != nil {
		f.Fatal(err)
	}
	defer open.Close()
	for _, netns := range f.netns {
		patterns = append(patterns, "/run/weft/"+netns+".*", filepath.Join(fs, "weft", netns+"*"))
	}
	for _, pattern := range patterns {
		if left, err := filepath.Glob(pattern); err != nil || len(left) > 0 {
			f.Errorf("left behind: %v, %v", left, err)
		}
	}
	f.wantNoProcess()
	links, err := netlink.LinkList()
	if err != nil {
		f.Fatal(err)
	}
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, "to-spine") || strings.HasPrefix(l.Attrs().Name, "to-leaf") {
			f.Errorf("left behind: link %s", l.Attrs().Name)
		}
	}
}

// scratchOfFRR returns the directories that FRR's processes have outside of the lab.
func (f *fabric) scratchOfFRR() (dirs []string) {
	f.Helper()
	text, err := os.ReadFile("/run/" + f.prefix + "state/frr-scratch")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		f.Fatal(err)
	}
	for _, name := range strings.Fields(string(text)) {
		dirs = append(dirs, "/var/tmp/frr/"+name)
	}
	return dirs
}

// wantNoProcess asserts that none is left in a namespace that had a name.
func (f *fabric) wantNoProcess() {
	f.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		var st unix.Stat_t
		if unix.Stat(file, &st) == nil && slices.Contains(f.netns, fmt.Sprint(st.Ino)) {
			f.Errorf("left behind: process %s", strings.Split(file, "/")[2])
		}
	}
}
