package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/test/lab"
	"weft/test/root"
)

// binaries builds the demo and weft, once.
var binaries = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "weft-demo-"); err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", dir+"/", "weft/cmd/weft", "weft/test/demo").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, out)
	}
	return dir, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := binaries(); dir != "" {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// screen collects what the demo writes while the test reads it.
type screen struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *screen) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *screen) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// demo is one that runs, with a small table and short seconds.
type demo struct {
	*exec.Cmd
	prefix string
	screen screen
	ended  chan struct{}
	err    error
	inode  uint64 // of the router's namespace; 0: never seen
}

func start(t *testing.T) *demo {
	t.Helper()
	root.Require(t)
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	d := &demo{prefix: fmt.Sprintf("weft-demotest-%d-", os.Getpid()), ended: make(chan struct{})}
	d.Cmd = exec.Command(filepath.Join(dir, "demo"), "-prefix", d.prefix, "-routes", "20000", "-second", "200ms", "-pace", "50000")
	d.Stdout, d.Stderr = &d.screen, &d.screen
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		d.err = d.Wait()
		close(d.ended)
	}()
	t.Cleanup(func() {
		d.Process.Kill()
		<-d.ended
		if err := lab.Down(d.prefix); err != nil {
			t.Error(err)
		}
	})
	return d
}

// await waits until the screen shows something, or the demo has ended.
func (d *demo) await(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		d.look(t)
		over := false
		select {
		case <-d.ended:
			over = true
		default:
		}
		if shown := d.screen.String(); text != "" && strings.Contains(shown, text) || text == "" && over {
			return
		}
		select {
		case <-d.ended:
			if over {
				t.Fatalf("the demo has ended, %v, without %q:\n%s", d.err, text, d.screen.String())
			}
		case <-time.After(5 * time.Millisecond):
		}
	}
	t.Fatalf("after a minute, still not: %q\n%s", text, d.screen.String())
}

// look keeps the router's namespace, if it is there. It stays open, lest another one gets its
// number while it is looked what is left of it.
func (d *demo) look(t *testing.T) {
	t.Helper()
	f, err := os.Open("/run/netns/" + d.prefix + "r1")
	if err != nil {
		return
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	if st.Ino == d.inode {
		f.Close()
		return
	}
	d.inode = st.Ino
	t.Cleanup(func() { f.Close() })
}

// left is what there is of a demo: namespaces, state, pins, sockets.
func (d *demo) left(t *testing.T) (all []string) {
	t.Helper()
	patterns := []string{"/run/netns/" + d.prefix + "*", "/run/" + d.prefix + "*"}
	if d.inode != 0 {
		patterns = append(patterns, fmt.Sprintf("/sys/fs/bpf/weft/%d*", d.inode), fmt.Sprintf("/run/weft/%d.sock", d.inode))
	}
	for _, p := range patterns {
		names, err := filepath.Glob(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, names...)
	}
	processes, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		var st unix.Stat_t
		if unix.Stat(p, &st) == nil && st.Ino == d.inode {
			all = append(all, p)
		}
	}
	return all
}

func TestWholeShow(t *testing.T) {
	d := start(t)
	d.await(t, "")
	text := d.screen.String()
	if d.err != nil {
		t.Fatalf("the demo ended with %v:\n%s", d.err, text)
	}
	for _, want := range []string{
		"  Linux ", "  weft ", "times what Linux forwards", "kill -9 ", " packets sent, 0 lost, 0 twice, 0 damaged", "packets lost",
		"Everything it made is removed.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if left := d.left(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Ctrl-C in each act, and before the first.
func TestInterrupt(t *testing.T) {
	for _, at := range []string{
		"", "Two hosts", "h1 reaches", " routes\n", "Linux with", "`weft run`", "weft forwards", "Why does", "TTL 1", "# kill", "`weft stop`",
		"What was measured",
	} {
		t.Run(at, func(t *testing.T) {
			d := start(t)
			if at == "" {
				time.Sleep(30 * time.Millisecond)
			} else {
				d.await(t, at)
			}
			if err := d.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
			d.await(t, "")
			var exit *exec.ExitError
			if !errors.As(d.err, &exit) || exit.ExitCode() != 130 && exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGINT {
				if at != "What was measured" { // it may be done
					t.Errorf("the demo ended with %v\n%s", d.err, d.screen.String())
				}
			}
			if left := d.left(t); len(left) > 0 {
				t.Errorf("left behind: %v\n%s", left, d.screen.String())
			}
		})
	}
}

// What a demo leaves that is killed, the next one removes.
func TestKilled(t *testing.T) {
	d := start(t)
	d.await(t, "weft forwards")
	if err := d.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-d.ended
	inode := d.inode
	next := start(t)
	next.await(t, "h1 reaches")
	if text := next.screen.String(); !strings.Contains(text, "removing what it left") {
		t.Errorf("the next demo says nothing:\n%s", text)
	}
	if err := next.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	next.await(t, "")
	for _, of := range []uint64{inode, next.inode} {
		next.inode = of
		if left := next.left(t); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestTwoAtOnce(t *testing.T) {
	first := start(t)
	first.await(t, "Two hosts")
	second := start(t)
	second.await(t, "another demo")
	if err := first.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	first.await(t, "")
}

func TestParse(t *testing.T) {
	for line, ok := range map[string]bool{
		"": true, "-routes 1000 -second 10ms": true, "now": false, "-routes 1": false, "-second 1ns": false, "-pace 0": false, "-x": false,
	} {
		if _, err := parse(strings.Fields(line), new(screen)); (err == nil) != ok {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		all  []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2, 3, 9}, 2}, {[]float64{0, 5, 4, 6, 0}, 5}} {
		if got := median(c.all); got != c.want {
			t.Errorf("median of %v is %g, want %g", c.all, got, c.want)
		}
	}
}
