package fpm

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weft/test/star"
)

// configuration writes a file that says where FRR is served, and another thing.
func configuration(t *testing.T, fpm string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weft.yaml")
	text := "version: 1\nroutes: [{prefix: 10.79.0.0/16, type: blackhole}]\n"
	if fpm != "" {
		text += "fpm: {" + fpm + "}\n"
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// FRR is served as the configuration says, which may change while weft runs: where, for
// how long routes stay, and whether at all. What cannot be is refused, and all goes on
// as it was.
func TestConfigurationChanges(t *testing.T) {
	n := star.New(t)
	kept := "/run/weft/" + n.Netns() + ".config"
	t.Cleanup(func() { os.RemoveAll(kept) })
	n.Run()
	n.Resolve()
	p := n.Path(2)
	apply := func(fpm string) star.Outcome { return n.Weft("config", "apply", configuration(t, fpm)) }
	applied := func(fpm string) {
		t.Helper()
		if o := apply(fpm); o.Code != 0 {
			t.Fatalf("%q: %+v", fpm, o)
		}
	}
	serves := func(address string, connections, stale uint64) {
		t.Helper()
		if s := askFPM(n); s.Address != address || s.Connections != connections || s.Stale != stale {
			t.Errorf("want %s, %d connections, %d stale: %+v", address, connections, stale, s)
		}
	}
	serves("", 0, 0)
	applied("listen: '127.0.0.1:2621'")
	frr := dialFPM(n, "127.0.0.1:2621")
	frr.installs("10.70.0.0/16", "10.2.0.2")
	serves("127.0.0.1:2621", 1, 0)
	p.Crosses(p.Packet("10.70.0.1"))

	applied("listen: '127.0.0.1:2621', hold: 1h") // the connection stays
	frr.installs("10.71.0.0/16", "10.2.0.2")

	taken := listenIn(n, "127.0.0.1:2622")
	o := apply("listen: '127.0.0.1:2622'")
	o.WantError(t, 1, "127.0.0.1:2622", "address already in use", "nothing has changed")
	frr.installs("10.72.0.0/16", "10.2.0.2")
	serves("127.0.0.1:2621", 1, 0)
	if show := n.Weft("config", "show"); !strings.Contains(show.Stdout, "127.0.0.1:2621") {
		t.Errorf("in force: %s", show.Stdout)
	}
	taken.Close()

	applied("listen: '127.0.0.1:2622'")
	serves("127.0.0.1:2622", 1, 3)
	p.Crosses(p.Packet("10.70.0.1")) // it stays while FRR looks for the new address
	frr = dialFPM(n, "127.0.0.1:2622")
	frr.installs("10.70.0.0/16", "10.3.0.2")
	serves("127.0.0.1:2622", 2, 2)

	applied("")
	n.WantReason("10.70.0.1", "ipv4_lpm_miss")
	n.WantReason("10.71.0.1", "ipv4_lpm_miss")
	if s := askFPM(n); s != (fpmStatus{}) {
		t.Errorf("weft still serves FRR: %+v", s)
	}
	if o := n.Weft("config", "rollback"); o.Code != 0 {
		t.Errorf("%+v", o)
	}
	dialFPM(n, "127.0.0.1:2622").installs("10.70.0.0/16", "10.2.0.2")
	p.Crosses(p.Packet("10.70.0.1"))
}

// The command line stands for the configuration.
func TestConfigurationBehindCommandLine(t *testing.T) {
	n := star.New(t)
	kept := "/run/weft/" + n.Netns() + ".config"
	t.Cleanup(func() { os.RemoveAll(kept) })
	n.Run("--fpm", fpmAddress, "--config", configuration(t, "listen: '127.0.0.1:2621'"))
	dialFPM(n, fpmAddress)
	for _, fpm := range []string{"listen: '127.0.0.1:2622'", ""} {
		if o := n.Weft("config", "apply", configuration(t, fpm)); o.Code != 0 {
			t.Fatalf("%+v", o)
		}
		if s := askFPM(n); s.Address != fpmAddress || s.Peer == "" {
			t.Errorf("after %q: %+v", fpm, s)
		}
	}
}

// listenIn takes an address in the router.
func listenIn(n *star.Network, address string) (l net.Listener) {
	n.Helper()
	err := n.Lab.In("r1", func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	})
	if err != nil {
		n.Fatal(fmt.Errorf("take an address: %w", err))
	}
	n.Cleanup(func() { l.Close() })
	return l
}
