package router

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weft/test/star"
)

// in runs a command line of the shell in the router; $weft is the program.
func in(n *star.Network, before, line string) star.Outcome {
	n.Helper()
	args := append(strings.Fields(before), "sh", "-c", line)
	var o star.Outcome
	err := n.Lab.In("r1", func() error {
		o = star.Execute(n, "env", append([]string{"weft=" + star.Weft}, args...)...)
		return nil
	})
	if err != nil {
		n.Fatal(err)
	}
	return o
}

// Who may not, is told so, and has changed nothing.
func TestPermissions(t *testing.T) {
	n := star.New(t)
	for _, c := range []struct {
		who, line string
		code      int
		words     string
	}{
		{"setpriv --reuid 65534 --regid 65534 --clear-groups", "$weft run", 5, "CAP_BPF, CAP_NET_ADMIN"},
		{"setpriv --reuid 65534 --regid 65534 --clear-groups", "$weft stop", 5, "sudo weft stop"},
		{"setpriv --bounding-set -all", "$weft run", 5, "CAP_BPF"},
		{"setpriv --bounding-set -bpf,-sys_admin", "$weft run", 5, "lacks CAP_BPF: "},
		{"setpriv --bounding-set -net_admin", "$weft run", 5, "lacks CAP_NET_ADMIN: "},
		{"setpriv --bounding-set -all", "$weft run --detach --log /dev/null", 5, "CAP_BPF"},
	} {
		o := in(n, c.who, c.line)
		t.Logf("%s %s: %s", c.who, c.line, o.Stderr)
		o.WantError(t, c.code, c.words)
		n.WantNothing(star.Objects{})
	}
	n.Run()
	for _, line := range []string{"$weft status", "$weft ports", "$weft stop"} {
		o := in(n, "setpriv --reuid 65534 --regid 65534 --clear-groups", line)
		o.WantError(t, 5, "not allowed", "sudo weft")
	}
}

// A kernel that is too old is known by its name. (That of others is what the
// kernel's own personality for old programs makes of it: 2.6.)
func TestOldKernel(t *testing.T) {
	n := star.New(t)
	for _, command := range []string{"run", "run --detach --log /dev/null"} {
		o := in(n, "setarch --uname-2.6", "$weft "+command)
		o.WantError(t, 1, "needs Linux 5.15 or later", "2.6.")
	}
	n.WantNothing(star.Objects{})
}

// A process 1 that has no bpffs: weft mounts one, and what it leaves is there for
// the next. Where it cannot, it says what is missing.
func TestBPFFSNotMounted(t *testing.T) {
	n := star.New(t)
	const alone = "unshare --mount --pid --fork --mount-proc"
	log := filepath.Join(t.TempDir(), "log")
	o := in(n, alone, `
		umount -a -t bpf && ! grep ' - bpf ' /proc/self/mountinfo &&
		$weft run --detach --log `+log+` && grep -q ' /sys/fs/bpf .* - bpf ' /proc/self/mountinfo &&
		ls /sys/fs/bpf/weft/*/link_1 && kill -9 $($weft status --json | grep -o '"pid":[0-9]*' | cut -d: -f2) &&
		$weft run --detach --log `+log+` && $weft status && $weft stop && ! ls /sys/fs/bpf/weft/*`)
	if o.Code != 0 || !strings.Contains(o.Stdout, "took over what was forwarding") {
		text, _ := os.ReadFile(log)
		t.Errorf("exit code %d\n%s%s%s", o.Code, o.Stdout, o.Stderr, text)
	}
	o = in(n, alone, "umount -a -t bpf && mount -t tmpfs none /sys/fs && $weft run")
	o.WantError(t, 1, "/sys/fs/bpf", "is this kernel built with BPF, and /sys mounted?")
	n.WantNothing(star.Objects{})
}

// Pins that are not weft's: weft does not touch them, and says what to do. (Those
// that are, whatever the format and how much of them is there: see test/upgrade.)
func TestForeignPins(t *testing.T) {
	n := star.New(t)
	for _, c := range []struct {
		what string
		make func(dir string)
	}{
		{"maps of no format", func(dir string) {
			mkdir(n, dir)
			for _, name := range []string{"image", "ports", "counters", "trace", "tx_ports", "transmits", "vlans"} {
				star.PinMap(n, filepath.Join(dir, name))
			}
		}},
		{"something else at a link's name", func(dir string) {
			n.Run()
			n.Signal(9)
			if err := os.Remove(filepath.Join(dir, "link_2")); err != nil {
				t.Fatal(err)
			}
			star.PinMap(n, filepath.Join(dir, "link_2"))
		}},
	} {
		n.Pins(func(dir string) {
			c.make(dir)
			before := names(dir)
			o := n.Weft("run")
			t.Logf("%s: %s", c.what, o.Stderr)
			o = o.LastLine()
			o.WantError(t, 1, "weft stop")
			if after := names(dir); after != before {
				t.Errorf("%s: pins were %s, are %s", c.what, before, after)
			}
		})
		if o := n.Weft("stop"); o.Code != 0 {
			t.Errorf("%s: weft stop: exit code %d, %s", c.what, o.Code, o.Stderr)
		}
		n.WantNothing(star.Objects{})
	}
	n.Run()
}

func mkdir(n *star.Network, dir string) {
	n.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		n.Fatal(err)
	}
}

func names(dir string) string {
	entries, _ := os.ReadDir(dir)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}
