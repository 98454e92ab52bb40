package lab

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"weft/test/root"
)

// TestErrorsRestored: the limit is as it was, also when the thread that lifted it has
// gone to another namespace meanwhile.
func TestErrorsRestored(t *testing.T) {
	root.Require(t)
	runtime.LockOSThread() // the thread ends with the test
	outer, err := LiftErrors()
	if err != nil {
		t.Fatal(err)
	}
	setting, err := os.OpenFile(errorCost, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer setting.Close()
	expect := func(when, want string) {
		t.Helper()
		got, err := readAll(setting)
		if err != nil || got != want {
			t.Errorf("%s: the setting is %q (%v), want %q", when, got, err, want)
		}
	}
	expect("lifted", "0\n")
	inner, err := LiftErrors()
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	if err := inner.Restore(); err != nil {
		t.Error(err)
	}
	expect("one of two has left", "0\n")
	// Other packages' tests may be at work, too: then it stays lifted.
	was, err := readAll(outer.lock)
	if err != nil {
		t.Fatal(err)
	}
	probe, err := os.Open(costLock)
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close()
	if err := outer.Restore(); err != nil {
		t.Error(err)
	}
	if unix.Flock(int(probe.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil && was != "" {
		expect("all have left", was)
	}
}
