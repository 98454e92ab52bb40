package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"weft/test/star"
)

// Pins go while the daemon runs: all of them, some, the last of a whole directory.
// They are back soon, and what forwards outlives the daemon as ever.
func TestPinsDeleted(t *testing.T) {
	f := begin(t, "R10", "pins deleted while the daemon runs")
	f.Run()
	f.Resolve()
	s := f.BeginStable()
	foreign := func(dir string) string {
		return filepath.Join(filepath.Dir(filepath.Dir(dir)), "foreign_"+filepath.Base(dir))
	}
	f.Pins(func(dir string) { star.PinMap(t, foreign(dir)) })
	defer f.Pins(func(dir string) { os.Remove(foreign(dir)) })
	for _, c := range []struct {
		what string
		gone func(name string) bool
	}{
		{"some", func(name string) bool {
			return name == "counters" || name == "image" || strings.HasPrefix(name, "link_")
		}},
		{"what the directory has", func(string) bool { return true }},
		{"the directory", nil},
	} {
		var before, after []string
		f.Pins(func(dir string) {
			before = names(dir)
			for _, name := range before {
				if c.gone == nil || c.gone(name) {
					remove(t, filepath.Join(dir, name))
				}
			}
			if c.gone == nil {
				remove(t, dir)
			}
		})
		f.Until(c.what+" is pinned again", func() bool {
			f.Pins(func(dir string) { after = names(dir) })
			return len(after) >= len(before)
		})
		if !slices.Equal(before, after) {
			t.Errorf("%s: pins were %s, are %s", c.what, before, after)
		}
		f.proved.Count++
	}
	f.Pins(func(dir string) {
		if _, err := os.Lstat(foreign(dir)); err != nil {
			t.Errorf("another's pin: %v", err)
		}
	})
	f.Signal(unix.SIGKILL)
	f.Start()
	if !f.Status().Adopted {
		t.Error("what was pinned again has not been taken over")
	}
	f.proved.Packets = s.Finish()
}

// Another bpffs is mounted over that of the daemon, and unmounted again, and the
// first one, too: it pins on the one that others see. That happens where process 1 is one of the test's own.
func TestBPFFSMountedAgain(t *testing.T) {
	f := begin(t, "R10", "another bpffs in the place of the first")
	inside := f.container()
	log := filepath.Join(t.TempDir(), "log")
	again := func(adopted bool) {
		t.Helper()
		if o := inside(star.Weft, "run", "--detach", "--log", log); o.Code != 0 {
			t.Fatalf("weft run: exit code %d, %s", o.Code, o.Stderr)
		}
		if s := f.Status(); s.Adopted != adopted || s.State != "forwarding" {
			t.Fatalf("the daemon is %+v", s)
		}
	}
	pinned := func() string { return inside("sh", "-c", "cd /sys/fs/bpf/weft/* && echo *").Stdout }
	mount := func(args ...string) {
		t.Helper()
		if o := inside(args...); o.Code != 0 {
			t.Fatalf("%s: %s", args, o.Stderr)
		}
	}
	again(false)
	before := pinned()
	for _, name := range []string{"to-h1", "to-h2", "to-h3"} {
		f.IsPort(name)
	}
	f.Before = f.Accounts()
	f.Resolve()
	s := f.BeginStable()
	for _, args := range [][]string{{"mount", "-t", "bpf", "bpf", "/sys/fs/bpf"}, {"umount", "-l", "/sys/fs/bpf"}, {"umount", "-l", "/sys/fs/bpf"}} {
		mount(args...)
		f.Until("all is pinned after "+strings.Join(args, " "), func() bool { return pinned() == before })
		mount("kill", "-9", strings.TrimSpace(inside("pidof", star.Weft).Stdout))
		again(true)
		f.proved.Count++
	}
	f.proved.Packets = s.Finish()
	f.WantVerified()
	f.WantBalance()
	if o := inside(star.Weft, "stop"); o.Code != 0 {
		t.Errorf("weft stop: exit code %d, %s", o.Code, o.Stderr)
	}
	f.WantNothing(star.Objects{})
}

// container returns how to run commands in the router's namespace, with process
// numbers and mounts of their own, of which the bpffs is none.
func (f *fault) container() (run func(args ...string) star.Outcome) {
	f.Helper()
	holder, err := f.Lab.Start("r1", "unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c",
		"umount -a -t bpf; echo ready; exec sleep 1000")
	if err != nil {
		f.Fatal(err)
	}
	f.Until("there is a process 1", func() bool { b, _ := os.ReadFile(holder.Log); return strings.Contains(string(b), "ready") })
	children, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", holder.Pid))
	if err != nil {
		f.Fatal(err)
	}
	return func(args ...string) star.Outcome {
		f.Helper()
		return star.Execute(f, "nsenter", append([]string{"-t", strings.TrimSpace(string(children)), "-m", "-p", "-n"}, args...)...)
	}
}

// Pins go while the daemon is dead: Linux forwards, and the next daemon begins anew.
func TestPinsDeletedWithoutDaemon(t *testing.T) {
	f := begin(t, "R10", "pins deleted while the daemon is dead")
	f.Run()
	f.Resolve()
	s := f.BeginStable()
	f.Signal(unix.SIGKILL)
	f.Pins(func(dir string) {
		remove(t, dir)
		// As of a daemon that was killed while it made them.
		if err := os.MkdirAll(dir+"_part", 0o700); err != nil {
			t.Fatal(err)
		}
		star.PinMap(t, filepath.Join(dir+"_part", "image"))
	})
	f.Until("no program is attached", func() bool { return !strings.Contains(f.IP("r1", "link"), "prog/xdp") })
	f.Start()
	for _, name := range []string{"to-h1", "to-h2", "to-h3"} {
		f.IsPort(name)
	}
	if f.Status().Adopted {
		t.Error("there was nothing to take over")
	}
	s.Stop()
	f.proved.Packets, f.proved.Count = s.WantAll(), 1
	f.Before = f.Accounts()
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func names(dir string) (all []string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}
