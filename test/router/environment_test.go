package router

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
)

// in runs a command line of the shell in the router; $weft is the program.
func (n *network) in(before, line string) outcome {
	n.Helper()
	args := append(strings.Fields(before), "sh", "-c", line)
	var o outcome
	err := n.lab.In("r1", func() error {
		o = execute(n, "env", append([]string{"weft=" + weft}, args...)...)
		return nil
	})
	if err != nil {
		n.Fatal(err)
	}
	return o
}

// Who may not, is told so, and has changed nothing.
func TestPermissions(t *testing.T) {
	n := newNetwork(t)
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
		o := n.in(c.who, c.line)
		t.Logf("%s %s: %s", c.who, c.line, o.stderr)
		o.wantError(t, c.code, c.words)
		n.wantNothing(objects{})
	}
	n.run()
	for _, line := range []string{"$weft status", "$weft ports", "$weft stop"} {
		o := n.in("setpriv --reuid 65534 --regid 65534 --clear-groups", line)
		o.wantError(t, 5, "not allowed", "sudo weft")
	}
}

// A kernel that is too old is known by its name. (That of others is what the
// kernel's own personality for old programs makes of it: 2.6.)
func TestOldKernel(t *testing.T) {
	n := newNetwork(t)
	for _, command := range []string{"run", "run --detach --log /dev/null"} {
		o := n.in("setarch --uname-2.6", "$weft "+command)
		o.wantError(t, 1, "needs Linux 5.15 or later", "2.6.")
	}
	n.wantNothing(objects{})
}

// A process 1 that has no bpffs: weft mounts one, and what it leaves is there for
// the next. Where it cannot, it says what is missing.
func TestBPFFSNotMounted(t *testing.T) {
	n := newNetwork(t)
	const alone = "unshare --mount --pid --fork --mount-proc"
	log := filepath.Join(t.TempDir(), "log")
	o := n.in(alone, `
		umount -a -t bpf && ! grep ' - bpf ' /proc/self/mountinfo &&
		$weft run --detach --log `+log+` && grep -q ' /sys/fs/bpf .* - bpf ' /proc/self/mountinfo &&
		ls /sys/fs/bpf/weft/*/link_1 && kill -9 $($weft status --json | grep -o '"pid":[0-9]*' | cut -d: -f2) &&
		$weft run --detach --log `+log+` && $weft status && $weft stop && ! ls /sys/fs/bpf/weft/*`)
	if o.code != 0 || !strings.Contains(o.stdout, "took over what was forwarding") {
		text, _ := os.ReadFile(log)
		t.Errorf("exit code %d\n%s%s%s", o.code, o.stdout, o.stderr, text)
	}
	o = n.in(alone, "umount -a -t bpf && mount -t tmpfs none /sys/fs && $weft run")
	o.wantError(t, 1, "/sys/fs/bpf", "is this kernel built with BPF, and /sys mounted?")
	n.wantNothing(objects{})
}

// Pins that are not weft's, not whole, or of another version: weft does not touch
// what forwards, and says what to do.
func TestForeignPins(t *testing.T) {
	n := newNetwork(t)
	for _, c := range []struct {
		what string
		make func(dir string)
	}{
		{"an empty directory", func(dir string) { n.mkdir(dir) }},
		{"maps of another layout", func(dir string) {
			n.mkdir(dir)
			for _, name := range []string{"image", "ports", "counters", "trace", "tx_ports", "transmits", "vlans"} {
				n.pinMap(filepath.Join(dir, name))
			}
		}},
		{"too few maps", func(dir string) {
			n.run()
			n.signal(9)
			if err := os.Remove(filepath.Join(dir, "counters")); err != nil {
				t.Fatal(err)
			}
		}},
		{"something else at a link's name", func(dir string) {
			n.run()
			n.signal(9)
			if err := os.Remove(filepath.Join(dir, "link_2")); err != nil {
				t.Fatal(err)
			}
			n.pinMap(filepath.Join(dir, "link_2"))
		}},
	} {
		n.pins(func(dir string) {
			c.make(dir)
			before := names(dir)
			o := n.weft("run")
			t.Logf("%s: %s", c.what, o.stderr)
			o.stderr = lastLine(o.stderr)
			o.wantError(t, 1, "weft stop")
			if after := names(dir); after != before {
				t.Errorf("%s: pins were %s, are %s", c.what, before, after)
			}
		})
		if o := n.weft("stop"); o.code != 0 {
			t.Errorf("%s: weft stop: exit code %d, %s", c.what, o.code, o.stderr)
		}
		n.wantNothing(objects{})
	}
	n.run()
}

func (n *network) mkdir(dir string) {
	n.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		n.Fatal(err)
	}
}

func (n *network) pinMap(path string) {
	n.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: "foreign", Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err == nil {
		err = m.Pin(path)
		m.Close()
	}
	if err != nil {
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
