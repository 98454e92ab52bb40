package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"weft/cmd/weft/doctor"
	"weft/control/api"
	"weft/test/root"
)

// TestMain lets tests start this binary as weft.
func TestMain(m *testing.M) {
	if os.Getenv("WEFT_TEST_MAIN") != "" {
		main()
	}
	os.Exit(m.Run())
}

// process is weft as a process of its own.
func process(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), "WEFT_TEST_MAIN=1")
	return cmd
}

func all(cmd *cobra.Command, f func(*cobra.Command)) {
	f(cmd)
	for _, c := range cmd.Commands() {
		all(c, f)
	}
}

// TestEveryCommand holds what a command must have to be understood.
func TestEveryCommand(t *testing.T) {
	var stdout, stderr bytes.Buffer
	commands := 0
	all(newRoot(testEnv(t, &stdout, &stderr)), func(c *cobra.Command) {
		if !c.Runnable() {
			return // a topic
		}
		commands++
		path := c.CommandPath()
		if len(c.Long) < 60 || c.Short == "" {
			t.Errorf("%s: description %q, %q", path, c.Short, c.Long)
		}
		if !strings.Contains(c.Example, "weft") {
			t.Errorf("%s: no example", path)
		}
		if c.ValidArgsFunction == nil && c.ValidArgs == nil && c.Name() != "help" && c.Name() != "man" && c.HasParent() {
			t.Errorf("%s: completes nothing", path)
		}
		for _, line := range strings.Split(c.Long+"\n"+c.Example, "\n") {
			if len(line) > 90 {
				t.Errorf("%s: %d columns: %s", path, len(line), line)
			}
		}
		if strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: %q ends like a sentence", path, c.Short)
		}
	})
	if commands < 15 {
		t.Errorf("saw %d commands", commands)
	}
}

// TestJSON holds that every command that shows something does so in JSON.
func TestJSON(t *testing.T) {
	var stdout, stderr bytes.Buffer
	nouns := 0
	all(newRoot(testEnv(t, &stdout, &stderr)), func(c *cobra.Command) {
		if c.Annotations[client] != noun {
			return
		}
		nouns++
		args := append(strings.Fields(c.CommandPath())[1:], "--json")
		r := weft(t, &fake{}, args...)
		if r.exit != 0 || r.stdout == "" || strings.Trim(r.stdout[:1], "[{") != "" {
			t.Errorf("%s: exit %d, %s%s", args, r.exit, r.stdout, r.stderr)
		}
		checkJSON(t, c.Name(), "--json", r)
	})
	if nouns < 9 {
		t.Errorf("saw %d commands that show something", nouns)
	}
}

// TestOneCommandManyWays runs what must be the same.
func TestOneCommandManyWays(t *testing.T) {
	for _, same := range [][]string{
		{"routes", "r", "route", "show routes", "sh r", "routes show", "r s", "route s"},
		{"neighbors", "n", "neigh", "neighbours", "show neigh", "neigh show"},
		{"routes get 10.1.2.3 iif veth1 proto tcp", "r g 10.1.2.3 iif veth1 proto tcp", "route get iif veth1 10.1.2.3 p tcp", "show route get 10.1.2.3 i veth1 p 6"},
		{"-j routes", "routes -j", "r s -j", "-j show r", "show -j routes", "--json=true r"},
		{"-j -4 routes", "-j4 r", "-4j r", "r -j4"},
	} {
		want := weft(t, &fake{}, strings.Fields(same[0])...)
		if want.exit != 0 {
			t.Errorf("%s: %s", same[0], want.stderr)
		}
		for _, args := range same[1:] {
			if got := weft(t, &fake{}, strings.Fields(args)...); got != want {
				t.Errorf("'weft %s' is not 'weft %s': exit %d\n%s%s", args, same[0], got.exit, got.stdout, got.stderr)
			}
		}
	}
}

// TestShortenedRun holds that what changes the machine is written in full, even
// where nothing else begins so.
func TestShortenedRun(t *testing.T) {
	for _, args := range []string{"ru", "sto", "show stop"} {
		if r := weft(t, &fake{}, strings.Fields(args)...); r.exit != 2 {
			t.Errorf("%s: exit %d: %s", args, r.exit, r.stderr)
		}
	}
}

func TestRoutesRequest(t *testing.T) {
	vrf := func(q *api.RoutesRequest) string {
		if q.Vrf == nil {
			return "-"
		}
		return fmt.Sprint(q.GetVrf())
	}
	for args, want := range map[string]string{
		"routes": "0  false -    false 0",
		"-6 routes 2001:db8::/32 dev eth0 proto bgp type unicast vrf 0 --exact --limit 5": "6 2001:db8::/32 true 0 eth0 bgp unicast false 5",
		"-4 routes d eth0 192.0.2.1 --all":                                                "4 192.0.2.1/32 false - eth0   true 0",
		"routes default":                                                                  "0 0.0.0.0/0 true -    false 0",
		"-6 routes default":                                                               "6 ::/0 true -    false 0",
		"routes vrf 7":                                                                    "0  false 7    false 0",
	} {
		f := &fake{}
		weft(t, f, strings.Fields(args)...)
		q := f.routes
		if q == nil {
			t.Errorf("%s: nothing was asked", args)
			continue
		}
		got := fmt.Sprintf("%d %s %v %s %s %s %s %v %d", q.GetFamily(), q.GetPrefix(), q.GetExact(), vrf(q), q.GetDev(), q.GetProtocol(), q.GetType(),
			q.GetAll(), q.GetLimit())
		if got != want {
			t.Errorf("%s: asked %q, want %q", args, got, want)
		}
	}
}

// TestUnreachable tells apart why nobody answers.
func TestUnreachable(t *testing.T) {
	dir := t.TempDir()
	ask := func(socket string, args ...string) result {
		var stdout, stderr bytes.Buffer
		e := testEnv(t, &stdout, &stderr)
		e.netnsDir = dir
		exit := command(t.Context(), e, append([]string{"--socket", socket, "status"}, args...))
		return result{stdout.String(), stderr.String(), exit}
	}
	none := filepath.Join(dir, "none.sock")
	r := ask(none)
	want := "weft: " + none + ": no daemon runs here: start it with 'sudo weft run', or name its network namespace with -n\n"
	if r.exit != 4 || r.stderr != want || r.stdout != "" {
		t.Errorf("no socket: exit %d\n%s\nwant\n%s", r.exit, r.stderr, want)
	}
	if r = ask(none, "--json"); r.exit != 4 || !strings.HasPrefix(r.stderr, `{"error":{"code":"unreachable","message":"`+none) || r.stdout != "" {
		t.Errorf("no socket, JSON: exit %d: %s", r.exit, r.stderr)
	}
	dead := filepath.Join(dir, "dead.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if r = ask(dead); r.exit != 4 || !strings.Contains(r.stderr, "no daemon runs here") {
		t.Errorf("a socket that nobody listens to: exit %d: %s", r.exit, r.stderr)
	}
	// A file stands for a network namespace, and one named by its inode for its daemon.
	if err := os.WriteFile(filepath.Join(dir, "blue"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := inode(filepath.Join(dir, "blue"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, n+".sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if r = ask(none); !strings.HasSuffix(r.stderr, ", or ask the one of another network namespace with -n: blue\n") {
		t.Errorf("another namespace has a daemon: %s", r.stderr)
	}
}

// TestAsleep connects to a daemon that is stopped: the kernel accepts for it.
func TestAsleep(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "7.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, args := range []string{"status", "routes"} {
		var stdout, stderr bytes.Buffer
		e := testEnv(t, &stdout, &stderr)
		e.patience = 50 * time.Millisecond
		exit := command(t.Context(), e, []string{"--socket", socket, args})
		want := "weft: " + socket + ": the daemon has not answered for 50 ms: see whether it is stopped or busy: its pid is in " +
			strings.TrimSuffix(socket, ".sock") + ".lock\n"
		if exit != 4 || stderr.String() != want {
			t.Errorf("%s: exit %d: %s", args, exit, &stderr)
		}
	}
}

// TestSocketPath says which of the ways to name a daemon wins.
func TestSocketPath(t *testing.T) {
	var out bytes.Buffer
	e := testEnv(t, &out, &out)
	e.netnsDir = t.TempDir()
	if err := os.WriteFile(filepath.Join(e.netnsDir, "blue"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := inode(filepath.Join(e.netnsDir, "blue"))
	if err != nil {
		t.Fatal(err)
	}
	want := func(want string) {
		t.Helper()
		if got, err := e.socketPath(); got != want || err != nil {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
	}
	want("/run/weft/1.sock")
	e.getenv = func(name string) string { return map[string]string{"WEFT_SOCKET": "/tmp/variable"}[name] }
	want("/tmp/variable")
	e.netns = "blue"
	want("/run/weft/" + n + ".sock")
	e.netns = filepath.Join(e.netnsDir, "blue")
	want("/run/weft/" + n + ".sock")
	e.socket = "/tmp/flag"
	want("/tmp/flag")
}

// TestDiagnose prints findings, and says by the exit code whether one is bad.
func TestDiagnose(t *testing.T) {
	bad := []doctor.Finding{
		{Check: "btf", Level: doctor.OK, Text: "the kernel has BTF"},
		{Check: "offloads", Subject: "eth0", Level: doctor.Warn, Text: "LRO is on", Mend: "sudo ethtool -K eth0 lro off"},
		{Check: "bpffs", Level: doctor.Fail, Text: "no bpffs", Mend: "sudo mount -t bpf bpf /sys/fs/bpf"},
	}
	for _, c := range []struct {
		findings []doctor.Finding
		json     bool
		exit     int
		want     string
	}{
		{bad, false, 3, "OK    btf: the kernel has BTF\nWARN  offloads eth0: LRO is on\n      -> sudo ethtool -K eth0 lro off\n" +
			"FAIL  bpffs: no bpffs\n      -> sudo mount -t bpf bpf /sys/fs/bpf\n1 OK, 1 WARN, 1 FAIL\n"},
		{bad[:2], false, 0, "OK    btf: the kernel has BTF\nWARN  offloads eth0: LRO is on\n      -> sudo ethtool -K eth0 lro off\n1 OK, 1 WARN, 0 FAIL\n"},
		{bad[2:], true, 3, `[{"check":"bpffs","level":"FAIL","text":"no bpffs","mend":"sudo mount -t bpf bpf /sys/fs/bpf"}]` + "\n"},
	} {
		var stdout, stderr bytes.Buffer
		e := testEnv(t, &stdout, &stderr)
		e.json = c.json
		if exit := report(&stderr, e.diagnose(c.findings), c.json); exit != c.exit || stdout.String() != c.want || stderr.Len() > 0 {
			t.Errorf("exit %d, want %d:\n%s%s", exit, c.exit, &stdout, &stderr)
		}
	}
}

// TestAskDaemon lets the doctor hear what the daemon says.
func TestAskDaemon(t *testing.T) {
	var out bytes.Buffer
	e := testEnv(t, &out, &out)
	if d := e.askDaemon(t.Context()); d != nil {
		t.Errorf("no daemon, and it says %+v", d)
	}
	e.socket = serve(t, &fake{})
	d := e.askDaemon(t.Context())
	if d == nil || d.State != "forwarding" || len(d.Slow) != 1 || d.Slow[0].Dev != "veth1" || len(d.Partial) != 1 || d.Partial[0].Dev != "veth1" || len(d.Refused) != 1 || d.Refused[0].Dev != "eth9" {
		t.Errorf("%+v", d)
	}
}

// TestNotAllowed connects to a socket that its mode denies.
func TestNotAllowed(t *testing.T) {
	dir, err := os.MkdirTemp("", "weft")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "weft.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(socket, 0o600)); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		if err := os.Chmod(socket, 0); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // not unlocked: the thread stays nobody's
		if os.Geteuid() == 0 {
			const nobody = 65534
			unix.RawSyscall(unix.SYS_SETFSUID, nobody, 0, 0)
		}
		var stdout, stderr bytes.Buffer
		done <- testEnv(t, &stdout, &stderr).unreachable(socket)
	}()
	f := asFailure(<-done)
	if f.code != codePermission || exits[f.code] != 5 || f.what != socket+": not allowed to talk to the daemon" || !strings.Contains(f.hint, "sudo weft") {
		t.Errorf("%s: %s", f.code, f)
	}
}

func TestNoNamespace(t *testing.T) {
	var stdout, stderr bytes.Buffer
	exit := command(t.Context(), testEnv(t, &stdout, &stderr), []string{"-n", "nope", "status"})
	if want := "weft: network namespace nope: no such file or directory: 'ip netns list' shows those that there are\n"; exit != 2 || stderr.String() != want {
		t.Errorf("exit %d: %s", exit, &stderr)
	}
}

// TestEnterNetns lets weft look at the links of a namespace.
func TestEnterNetns(t *testing.T) {
	ns := newNetns(t)
	out, err := process("-n", ns, "doctor", "--json").Output()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 3) {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), `"subject":"in-here"`) || strings.Contains(string(out), `"subject":"eth0"`) {
		t.Errorf("sees other links than in-here: %s", out)
	}
	if strings.Contains(string(out), "ip netns exec") {
		t.Errorf("got another mount namespace: %s", out)
	}
}

// newNetns makes a network namespace with veths in-here and there.
func newNetns(t *testing.T) string {
	t.Helper()
	root.Require(t)
	ns := fmt.Sprintf("weft-cli-%d-%d", os.Getpid(), time.Now().UnixNano()%1e6)
	for _, line := range []string{
		"ip netns add " + ns,
		"ip -n " + ns + " link add in-here type veth peer there",
		"ip -n " + ns + " link set lo up",
		"ip -n " + ns + " link set in-here up",
		"ip -n " + ns + " link set there up",
	} {
		args := strings.Fields(line)
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", line, err, out)
		}
		if args[1] == "netns" {
			t.Cleanup(func() { exec.Command("ip", "netns", "del", ns).Run() })
		}
	}
	return ns
}

// TestHead closes the pipe after the first line.
func TestHead(t *testing.T) {
	for _, args := range [][]string{{"routes"}, {"routes", "--json"}} {
		cmd := process(append([]string{"--socket", serve(t, &fake{many: 100000})}, args...)...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, 20)); err != nil {
			t.Error(err)
		}
		out.Close()
		if err := cmd.Wait(); err != nil || stderr.Len() > 0 {
			t.Errorf("%s: %v: %s", args, err, &stderr)
		}
	}
}

// TestInterrupt ends a command that goes on for ever.
func TestInterrupt(t *testing.T) {
	cmd := process("--socket", serve(t, &fake{}), "drops", "-f", "-i", "0.1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 20)); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// TestProgress is for terminals only.
func TestProgress(t *testing.T) {
	var stdout, stderr bytes.Buffer
	e := testEnv(t, &stdout, &stderr)
	e.terminal = true
	if exit := command(context.Background(), e, []string{"--socket", serve(t, &fake{}), "verify"}); exit != 0 {
		t.Errorf("exit %d", exit)
	}
	if want := "\r500000 of 1062046\x1b[K\r1062046 of 1062046\x1b[K\r\x1b[K"; stderr.String() != want {
		t.Errorf("progress is %q, want %q", stderr.String(), want)
	}
}
