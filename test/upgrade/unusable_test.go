package upgrade

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"weft/test/proof"
	"weft/test/star"
)

// Pins that are weft's and cannot be used, all but the links: the next daemon makes
// what is missing beside what forwards. The programs go on with maps that have no
// name any more, so no packet is lost; only counters may begin anew.
func TestUnusablePins(t *testing.T) {
	var packets, count uint64
	for _, c := range []struct {
		what  string
		make  func(dir string) error
		fresh bool // counters begin anew
	}{
		{"a map is gone", func(dir string) error { return os.Remove(filepath.Join(dir, "current/tx_ports")) }, false},
		{"the counters are gone", func(dir string) error { return os.Remove(filepath.Join(dir, "current/counters")) }, true},
		{"the image is something else", func(dir string) error {
			image := filepath.Join(dir, "current/image")
			if err := os.Remove(image); err != nil {
				return err
			}
			return os.Mkdir(image, 0o700)
		}, false},
		{"other formats are told nothing", func(dir string) error { return os.Remove(filepath.Join(dir, "current/about")) }, false},
		{"nothing is current", func(dir string) error { return os.Remove(filepath.Join(dir, "current")) }, true},
		{"all maps are gone", func(dir string) error {
			maps, err := filepath.EvalSymlinks(filepath.Join(dir, "current"))
			if err != nil {
				return err
			}
			return os.RemoveAll(maps)
		}, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			n := newNetwork(t)
			n.Run()
			n.Resolve()
			addRoutes(n)
			forwards(n)
			s := n.Stream(destinations...)
			s.Begin()
			counted := n.Count("to-h1", "forwarded")
			n.Signal(unix.SIGKILL)
			n.Pins(func(dir string) {
				if err := c.make(dir); err != nil {
					t.Fatal(err)
				}
			})
			began(n, star.Weft)
			s.Until("packets go by the new program", func() bool { return n.Count("to-h1", "forwarded") > star.Rate/10 })
			s.Stop()
			packets += s.WantAll()
			count++
			if now := n.Count("to-h1", "forwarded"); now < counted && !c.fresh {
				t.Errorf("counters have gone back from %d to %d", counted, now)
			}
			if log := n.DaemonLog(); c.fresh != strings.Contains(log, "counters start at 0") {
				t.Errorf("counters begin anew %t, and the log says\n%s", c.fresh, log)
			}
			n.Before = n.Accounts()
		})
	}
	proof.Record(t, proof.Result{
		Kind: proof.Upgrade, Name: "unusable", What: "pins are not whole, and what is missing is made under traffic", Count: count,
		Packets: packets,
	})
}

// A directory with nothing in it, and what is there beside the pins.
func TestStrangersInPins(t *testing.T) {
	n := newNetwork(t)
	n.Pins(func(dir string) {
		if err := os.MkdirAll(filepath.Join(dir, "precious"), 0o700); err != nil {
			t.Fatal(err)
		}
	})
	n.Run()
	n.Pins(func(dir string) {
		if _, err := os.Stat(filepath.Join(dir, "precious")); err != nil {
			t.Errorf("what is not weft's has gone: %v", err)
		}
		if err := os.Remove(filepath.Join(dir, "precious")); err != nil {
			t.Error(err)
		}
		wantPins(t, dir)
	})
}
