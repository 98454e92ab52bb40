package fpm

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"weft/test/proof"
)

// frr is FRR's daemons in a network namespace of the test's, with files of their
// own.
type frr struct {
	testing.TB
	dir     string
	server  netip.AddrPort
	daemons map[string]*exec.Cmd
}

const frrPrograms = "/usr/lib/frr/"

// newNetns moves the test into a network namespace that goes with the test's
// thread.
func newNetns(t testing.TB) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	err := unix.Unshare(unix.CLONE_NEWNET)
	if err == nil {
		_, err = os.Stat(frrPrograms + "zebra")
	}
	if err != nil && os.Getenv("CI") != "" {
		t.Fatalf("%v: CI runs this as root, with FRR", err)
	}
	if err != nil {
		t.Skipf("%v: run as root, after 'make deps'", err)
	}
	for _, line := range []string{"link set lo up", "link add port1 type veth peer name peer1", "link set port1 up", "link set peer1 up",
		"addr add 198.51.100.1/24 dev port1", "addr add 2001:db8:1::1/64 dev port1 nodad"} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", line, err, out)
		}
	}
}

// newFRR prepares daemons that know of a server. The directory is frr's: zebra does
// not stay root.
func newFRR(t testing.TB, server netip.AddrPort) *frr {
	t.Helper()
	dir, err := os.MkdirTemp("", "weft-fpm-") // of the test's own, others may not enter
	if err != nil {
		t.Fatal(err)
	}
	f := &frr{TB: t, dir: dir, server: server, daemons: map[string]*exec.Cmd{}}
	t.Cleanup(func() { os.RemoveAll(dir) })
	u, err := user.Lookup("frr")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(f.dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for name := range f.daemons {
			f.kill(name)
		}
		if t.Failed() {
			for _, name := range []string{"zebra", "staticd"} {
				text, _ := os.ReadFile(filepath.Join(f.dir, name+".out"))
				t.Logf("%s:\n%.4000s", name, text)
			}
		}
	})
	return f
}

// start runs a daemon with a configuration.
func (f *frr) start(name string, config []string, args ...string) {
	f.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path+".conf", []byte(strings.Join(config, "\n")+"\n"), 0o644); err != nil {
		f.Fatal(err)
	}
	out, err := os.OpenFile(path+".out", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		f.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(frrPrograms+name, append(args, "-u", "frr", "-g", "frr", "-f", path+".conf", "-i", path+".pid", "--log", "stdout",
		"-z", filepath.Join(f.dir, "zserv.api"), "--vty_socket", f.dir)...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		f.Fatal(err)
	}
	f.daemons[name] = cmd
}

// kill ends a daemon as a crash does.
func (f *frr) kill(name string) {
	f.Helper()
	if cmd := f.daemons[name]; cmd != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		delete(f.daemons, name)
	}
}

// crash kills the daemons. What they have left in the kernel goes, too: zebra tells
// some of it when it starts, drops it at once, and does not always say so.
func (f *frr) crash(w *world) {
	f.Helper()
	f.kill("zebra")
	f.kill("staticd")
	w.until("gone", func() bool { return !w.server.Status().Peer.IsValid() })
	if out, err := exec.Command("ip", "nexthop", "flush").CombinedOutput(); err != nil {
		f.Fatalf("ip nexthop flush: %v\n%s", err, out)
	}
}

// do gives a daemon commands of configuration.
func (f *frr) do(daemon string, lines ...string) {
	f.Helper()
	args := []string{"--vty_socket", f.dir, "-d", daemon, "-c", "configure terminal"}
	for _, line := range lines {
		args = append(args, "-c", line)
	}
	if out, err := exec.Command("vtysh", args...).CombinedOutput(); err != nil {
		f.Fatalf("vtysh %s: %v\n%s", lines, err, out)
	}
}

func frrPrefix(i int) string { return fmt.Sprintf("10.%d.%d.0/24", i/250, i%250) }

// load gives staticd routes. It takes minutes for as many through gateways, or out
// of interfaces that it does not know of yet.
func (f *frr) load(lines []string) {
	f.Helper()
	path := filepath.Join(f.dir, "routes")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		f.Fatal(err)
	}
	if out, err := exec.Command("vtysh", "--vty_socket", f.dir, "-d", "staticd", "-f", path).CombinedOutput(); err != nil {
		f.Fatalf("vtysh -f: %v\n%.1000s", err, out)
	}
}

// statics are many routes.
func statics(n int) (lines []string) {
	for i := range n {
		lines = append(lines, fmt.Sprintf("ip route %s %s", frrPrefix(i), []string{"port1", "peer1"}[i%2]))
	}
	return append(lines,
		"ip route 172.16.0.0/16 198.51.100.2", "ip route 172.16.0.0/16 198.51.100.3", "ip route 172.17.0.0/16 blackhole",
		"ip route 172.18.0.0/16 reject", "ipv6 route 2001:db8:2::/48 2001:db8:1::2", "ip route 172.20.0.0/16 198.51.100.2")
}

// startAll starts zebra and staticd.
func (f *frr) startAll(w *world) {
	f.Helper()
	zserv := filepath.Join(f.dir, "zserv.api")
	os.Remove(zserv) // of one that was killed
	os.Remove(filepath.Join(f.dir, "staticd.vty"))
	f.start("zebra", []string{fmt.Sprintf("fpm address %s port %d", f.server.Addr(), f.server.Port())}, "-M", "dplane_fpm_nl")
	w.until("zebra listens", func() bool { return f.listens("zserv.api") })
	f.start("staticd", nil)
	w.until("staticd listens", func() bool { return f.listens("staticd.vty") })
	f.do("staticd", "ip route 172.21.0.0/16 198.51.100.2")
	w.until("staticd knows the interfaces", func() bool { s := w.server.Status(); return s.Peer.IsValid() && s.Routes > s.Stale })
}

func (f *frr) listens(name string) bool {
	conn, err := net.Dial("unix", filepath.Join(f.dir, name))
	if err == nil {
		conn.Close()
	}
	return err == nil
}

const (
	frrRoutes = 10_000
	frrKept   = 1_000 // by the zebra that comes last
)

// FRR as Debian has it tells its routes, changes them, loses its connection, dies,
// and comes again with fewer.
func TestFRR(t *testing.T) {
	newNetns(t)
	w := newWorld(t, Config{Acknowledge: true, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	f := newFRR(t, w.addr)
	f.startAll(w)
	f.load(statics(frrRoutes))
	const all = frrRoutes + 6
	told := func(connections uint64) {
		t.Helper()
		w.until("all routes", func() bool {
			s := w.server.Status()
			return s.Connections == connections && s.Routes == all && s.Stale == 0 && s.Parked == 0 && s.Queued == 0
		})
		t.Logf("%+v", w.server.Status())
		w.wantVia("172.16.0.0/16", "198.51.100.2", "198.51.100.3")
		w.wantVia("2001:db8:2::/48", "2001:db8:1::2")
	}
	told(1)
	w.wantVia("172.20.0.0/16", "198.51.100.2")

	for _, c := range [][2]string{
		{"ip route 172.20.0.0/16 198.51.100.4", "[198.51.100.2 198.51.100.4]"}, {"no ip route 172.20.0.0/16 198.51.100.2", "[198.51.100.4]"},
	} {
		f.do("staticd", c[0])
		w.until(c[0], func() bool { g, _ := w.sink.gateways("172.20.0.0/16"); return fmt.Sprint(g) == c[1] })
	}
	if w.sink.deleted() != 0 {
		t.Errorf("%d routes deleted by a change of next hops", w.sink.deleted())
	}
	f.do("staticd", "no ip route 172.20.0.0/16 198.51.100.4")
	w.until("deletion", func() bool { _, ok := w.sink.gateways("172.20.0.0/16"); return !ok })
	f.do("staticd", "ip route 172.20.0.0/16 198.51.100.2")
	told(1)
	deletes := w.sink.deleted()

	w.server.peer.conn.Close()
	told(2)
	f.crash(w)
	f.startAll(w)
	f.load(statics(frrRoutes))
	told(3)
	if lost := w.sink.deleted() - deletes; lost != 0 {
		t.Errorf("%d routes lost within the hold time", lost)
	}

	f.crash(w)
	f.startAll(w)
	f.load(statics(frrKept))
	w.until("replay", func() bool {
		s := w.server.Status()
		return s.Connections == 4 && s.Stale == frrRoutes-frrKept && s.Queued == 0
	})
	if lost := w.sink.deleted() - deletes; lost != 0 {
		t.Errorf("%d routes lost within the hold time", lost)
	}
	w.pass()
	w.pass()
	s := w.server.Status()
	t.Logf("%+v", s)
	if s.Routes != frrKept+6 || s.Swept != frrRoutes-frrKept || w.sink.len() != s.Routes || s.BadFrames+s.Undecodable != 0 {
		t.Errorf("after the hold time: %d in the sink, %+v", w.sink.len(), s)
	}
	proof.Record(t, proof.Result{
		Kind: proof.Fault, Name: "R21", What: "FPM of FRR 8.4: connection lost, zebra killed twice: no route lost in the hold time, no ghost after it", Count: all,
	})
}
