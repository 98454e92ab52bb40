package agreement

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace of its own and a thread in it. It has no name: it
// ends with the thread, however the process ends.
type namespace struct {
	fd    int // that stands for it
	calls chan func()
}

func newNamespace() (*namespace, error) {
	n := &namespace{fd: -1, calls: make(chan func())}
	started := make(chan error, 1)
	onThread(func() { n.serve(started) })
	if err := <-started; err != nil {
		return nil, fmt.Errorf("make network namespace: %w: run as root", err)
	}
	return n, nil
}

// onThread starts f on a thread of its own, which ends with it.
func onThread(f func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		// The main thread does not end, and is what /proc says of the process: hold it, take another.
		defer runtime.UnlockOSThread()
		ended := make(chan struct{})
		onThread(func() {
			defer close(ended)
			f()
		})
		<-ended
	}()
}

func (n *namespace) serve(started chan<- error) {
	err := unix.Unshare(unix.CLONE_NEWNET)
	if err == nil {
		n.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	started <- err
	if err != nil {
		return
	}
	for call := range n.calls {
		call()
	}
}

// do runs f in the namespace and waits for it.
func (n *namespace) do(f func() error) (err error) {
	done := make(chan struct{})
	n.calls <- func() {
		defer close(done)
		err = f()
	}
	<-done
	return err
}

// start runs f in the namespace beside what do runs, on a thread that ends with it.
func (n *namespace) start(f func()) error {
	entered := make(chan error, 1)
	onThread(func() {
		err := unix.Setns(n.fd, unix.CLONE_NEWNET)
		entered <- err
		if err == nil {
			f()
		}
	})
	return <-entered
}

func (n *namespace) close() {
	close(n.calls)
	unix.Close(n.fd)
}

// sysctl sets net.* of the namespace that the thread is in.
func sysctl(name, value string) error {
	return os.WriteFile("/proc/sys/net/"+name, []byte(value), 0)
}

// ip runs iproute2 in the thread's namespace, with commands on its input.
func ip(commands []string, args ...string) error {
	cmd := exec.Command("ip", args...)
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	// "Command failed -:12" names the line.
	return fmt.Errorf("ip %s: %w: %s%s", strings.Join(args, " "), err, bytes.TrimSpace(out), failedLine(string(out), commands))
}

func failedLine(out string, commands []string) string {
	_, at, found := strings.Cut(out, "Command failed -:")
	var line int
	if _, err := fmt.Sscanf(at, "%d", &line); !found || err != nil || line < 1 || line > len(commands) {
		return ""
	}
	return fmt.Sprintf(" (%s)", commands[line-1])
}
