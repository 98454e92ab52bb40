package soft

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"weft/control/api"
	"weft/dataplane/soft/device"
	"weft/dataplane/soft/xsk"
	"weft/test/proof"
	"weft/test/star"
)

// switcher is a client of the router's daemon: what 'weft ports set' asks.
type switcher struct {
	*star.Network
	client api.RouterClient
}

func newSwitcher(n *star.Network) *switcher {
	n.Helper()
	conn, err := api.Dial(n.Socket())
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(func() { conn.Close() })
	return &switcher{n, api.NewRouterClient(conn)}
}

// set takes ports to an engine; "": that of the daemon's command line.
func (s *switcher) set(engine string, ports ...string) {
	s.Helper()
	if _, err := s.client.SetPorts(s.Context(), &api.SetPortsRequest{Match: ports, Engine: engine}); err != nil {
		s.Fatal(err)
	}
}

// Each port goes to the loop and back, 50 times, under traffic of all hosts in both families: no
// packet is lost, and each is counted once.
func TestSwitchPorts(t *testing.T) {
	n := newNetwork(t)
	n.Run()
	n.Resolve()
	s := newSwitcher(n)
	m := beginMesh(n)
	const times = 50
	for i := range times {
		engine := [2]string{"soft", "xdp"}[i%2]
		for _, port := range []string{"to-h1", "to-h2", "to-h3"} { // there are mixed engines on the way
			s.set(engine, port)
		}
		if i < 2 {
			wantEngines(n, all(engine))
		}
	}
	for i := range 4 { // all at once
		s.set([2]string{"soft", "xdp"}[i%2], "to-*")
	}
	c := m.finish()
	if t.Failed() {
		return
	}
	t.Logf("%d packets, %d of them late", c.sent, c.late)
	proof.Record(t, proof.Result{
		Kind: proof.Fault, Name: "switch", What: fmt.Sprintf("ports change their engine by command, %d times each", times+4), Packets: c.sent, Count: 3 * (times + 4),
	})
}

// Words of the command line, and what is kept of them: across a daemon that takes over, one that is
// killed, and against --engine.
func TestSwitchIsKept(t *testing.T) {
	n := newNetwork(t)
	n.Run()
	n.Resolve()
	if o := n.Weft("ports", "set", "to-h1", "to-h[2]", "engine", "soft"); o.Code != 0 {
		t.Fatalf("exit code %d: %s", o.Code, o.Stderr)
	}
	mixed := map[string]string{"to-h1": "soft", "to-h2": "soft", "to-h3": "xdp"}
	wantEngines(n, mixed)
	for _, end := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		n.Signal(end)
		n.Start()
		wantEngines(n, mixed)
	}
	n.Signal(unix.SIGTERM)
	n.Start("--engine", "soft:to-h3") // of those that the configuration says nothing about
	wantEngines(n, all("soft"))
	if o := n.Weft("ports", "set", "to-h1", "engine", "xdp"); o.Code != 0 {
		t.Fatalf("exit code %d: %s", o.Code, o.Stderr)
	}
	if o := n.Weft("config", "rollback"); o.Code != 0 {
		t.Fatalf("exit code %d: %s", o.Code, o.Stderr)
	}
	wantEngines(n, all("soft"))
	if o := n.Weft("ports", "set", "to-h1", "to-h[2]", "engine", "default"); o.Code != 0 {
		t.Fatalf("exit code %d: %s", o.Code, o.Stderr)
	}
	wantEngines(n, map[string]string{"to-h1": "xdp", "to-h2": "xdp", "to-h3": "soft"})
	o := n.Weft("ports", "set", "to-h9", "engine", "soft")
	o.WantError(t, 2, "to-h9", "no such port")
	n.BeginStable().Finish()
}

// A configuration file says the same, and what it says that cannot be leaves all as it was.
func TestSwitchByFile(t *testing.T) {
	n := newNetwork(t)
	n.Run()
	n.Resolve()
	file := filepath.Join(t.TempDir(), "weft.yaml")
	apply := func(text string) star.Outcome {
		t.Helper()
		if err := os.WriteFile(file, []byte("version: 1\n"+text), 0o644); err != nil {
			t.Fatal(err)
		}
		return n.Weft("config", "apply", file)
	}
	if o := apply("ports: [{match: to-h1, engine: xdp}, {match: 'to-*', engine: soft}]"); o.Code != 0 {
		t.Fatalf("exit code %d: %s", o.Code, o.Stderr)
	}
	want := map[string]string{"to-h1": "xdp", "to-h2": "soft", "to-h3": "soft"}
	wantEngines(n, want)
	if o := apply("ports: [{match: to-h1, engine: sotf}]"); o.Code != 1 || !strings.Contains(o.Stderr, "weft.yaml:2:32: ports[0].engine: ") {
		t.Errorf("exit code %d: %s", o.Code, o.Stderr)
	}
	n.Signal(unix.SIGTERM)
	n.Start()
	wantEngines(n, want)
	n.BeginStable().Finish()
}

// In mode tc a port's packets come to the loop by AF_PACKET, and go back to the program of tc.
func TestSwitchModeTC(t *testing.T) {
	n := newNetwork(t)
	n.Start("--mode", "tc")
	n.Resolve()
	for _, engine := range []string{"soft", "xdp", "soft"} {
		if o := n.Weft("ports", "set", "to-*", "engine", engine); o.Code != 0 {
			t.Fatalf("exit code %d: %s", o.Code, o.Stderr)
		}
		wantEngines(n, all(engine))
		wantForwarding(n, engine)
	}
	if strings.Contains(n.DaemonLog(), "pins were gone") {
		t.Error("links were not pinned when they were the XDP engine's again")
	}
	if p := n.Ports()["to-h1"]; p.Mode != "tc" || p.Sockets != "af_packet" {
		t.Errorf("mode %s, sockets %s", p.Mode, p.Sockets)
	}
}

// A queue whose socket another program has: the port keeps the engine it has, and forwards, and so do
// those that were asked for with it.
func TestSwitchRefused(t *testing.T) {
	n := newNetwork(t)
	n.Run()
	n.Resolve()
	other := occupy(n, "to-h2")
	m := beginMesh(n)
	o := n.Weft("ports", "set", "to-*", "engine", "soft")
	o.WantError(t, 1, "nothing has changed", "to-h2")
	wantEngines(n, all("xdp"))
	m.pass(200)
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	n.Until("the kernel has freed the queue", func() bool { return n.Weft("ports", "set", "to-*", "engine", "soft").Code == 0 })
	wantEngines(n, all("soft"))
	m.finish()
}

// occupy has this process take the first queue of a port of the router.
func occupy(n *star.Network, port string) (s *xsk.Socket) {
	n.Helper()
	mem, err := device.NewMemory(4096, device.MinFrameSize)
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(func() { mem.Close() })
	pool, err := mem.NewPool(mem.Frames())
	if err == nil {
		at := xsk.Where{Port: 1, Ifindex: n.Link("r1", port).Attrs().Index}
		err = n.Lab.In("r1", func() error {
			s, err = xsk.Open(xsk.NewUMEM(mem), pool, at, xsk.Options{Copy: true, Ring: 64})
			return err
		})
	}
	if err != nil {
		n.Fatal(err)
	}
	return s
}
