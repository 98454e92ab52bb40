package failpoints

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"weft/test/star"
)

// A supervisor decides about system calls of the program (seccomp(2), user space
// notification): each of them waits for its word, in the order in which they come,
// whichever thread makes them. So "the 17th bpf()" is the same one in each run.

// launching names, in the environment, the program that a launcher becomes.
const launching = "WEFT_TEST_LAUNCH"

// supervised are the system calls that wait.
var supervised = map[int32]string{
	unix.SYS_BPF: "bpf", unix.SYS_SOCKET: "socket", unix.SYS_BIND: "bind", unix.SYS_SETSOCKOPT: "setsockopt",
	unix.SYS_SENDTO: "sendto", unix.SYS_SENDMSG: "sendmsg", unix.SYS_RECVFROM: "recvfrom", unix.SYS_RECVMSG: "recvmsg",
	unix.SYS_IOCTL: "ioctl", unix.SYS_FLOCK: "flock",
}

// launch installs the filter, shows its listener to the one who started it, and
// becomes the program.
func launch(program string) error {
	runtime.LockOSThread()
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}} // struct seccomp_data: nr
	for nr := range supervised {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(nr), Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER,
		uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return fmt.Errorf("install a filter of system calls: %w", errno)
	}
	shown := listenerFile(os.Getpid())
	if err := os.WriteFile(shown, []byte(strconv.Itoa(int(fd))), 0o600); err != nil {
		return err
	}
	for {
		if _, err := os.Stat(shown); errors.Is(err, os.ErrNotExist) {
			return syscall.Exec(program, append([]string{"weft"}, os.Args[1:]...), os.Environ())
		}
		time.Sleep(time.Millisecond)
	}
}

func listenerFile(pid int) string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("weft-listener-%d", pid))
}

// supervisor decides about the calls of one process.
type supervisor struct {
	mu     sync.Mutex
	fail   func(c *call) unix.Errno // 0: let it be
	counts map[string]int           // of calls, by name
	failed []call
	ended  chan struct{}
}

// call is one system call.
type call struct {
	name  string
	nth   int // of that name, from 1 on
	args  [6]uint64
	errno unix.Errno // that it failed with
}

func (c call) String() string {
	s := fmt.Sprintf("%s %d", c.name, c.nth)
	if c.name == "bpf" {
		s += fmt.Sprintf(" (command %d)", c.args[0]) // enum bpf_cmd
	}
	return s + ": " + unix.ErrnoName(c.errno)
}

// supervise starts the daemon with a supervisor. It does not wait for it.
func supervise(n *star.Network, fail func(*call) unix.Errno) *supervisor {
	n.Helper()
	self, err := os.Executable()
	if err != nil {
		n.Fatal(err)
	}
	launcher := filepath.Join(n.TempDir(), "weft") // as its log is to be called
	if err := os.Symlink(self, launcher); err != nil {
		n.Fatal(err)
	}
	if err := os.Setenv(launching, star.Weft); err != nil {
		n.Fatal(err)
	}
	defer os.Unsetenv(launching)
	if n.Daemon, err = n.Lab.Start("r1", launcher, "run"); err != nil {
		n.Fatal(err)
	}
	fd, err := takeListener(n.Daemon.Pid)
	if err != nil {
		n.Fatalf("supervise the daemon: %v\n%s", err, n.DaemonLog())
	}
	s := &supervisor{fail: fail, counts: map[string]int{}, ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		defer unix.Close(fd)
		if err := s.serve(fd); err != nil {
			n.Errorf("supervise the daemon: %v", err)
		}
	}()
	return s
}

// takeListener takes over what a launcher shows.
func takeListener(pid int) (fd int, err error) {
	shown := listenerFile(pid)
	var text []byte
	for deadline := time.Now().Add(10 * time.Second); len(text) == 0; time.Sleep(time.Millisecond) {
		if text, err = os.ReadFile(shown); err != nil && time.Now().After(deadline) {
			return -1, err
		}
	}
	number, err := strconv.Atoi(string(text))
	if err != nil {
		return -1, err
	}
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(process)
	if fd, err = unix.PidfdGetfd(process, number, 0); err != nil {
		return -1, err
	}
	return fd, os.Remove(shown)
}

// serve answers until the process is gone.
func (s *supervisor) serve(fd int) error {
	for {
		var ask struct { // struct seccomp_notif
			id         uint64
			pid, flags uint32
			nr         int32
			arch       uint32
			ip         uint64
			args       [6]uint64
		}
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); err != nil && err != unix.EINTR {
			return err
		}
		if poll[0].Revents&unix.POLLIN == 0 {
			if poll[0].Revents&unix.POLLHUP != 0 {
				return nil
			}
			continue
		}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&ask)))
		if errno == unix.ENOENT || errno == unix.EINTR { // it has been killed meanwhile
			continue
		}
		if errno != 0 {
			return errno
		}
		answer := struct { // struct seccomp_notif_resp
			id    uint64
			val   int64
			errno int32
			flags uint32
		}{id: ask.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if e := s.decide(supervised[ask.nr], ask.args); e != 0 {
			answer.errno, answer.flags = -int32(e), 0
		}
		_, _, errno = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&answer)))
		if errno != 0 && errno != unix.ENOENT {
			return errno
		}
	}
}

func (s *supervisor) decide(name string, args [6]uint64) unix.Errno {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[name]++
	c := call{name: name, nth: s.counts[name], args: args}
	if s.fail != nil {
		if c.errno = s.fail(&c); c.errno != 0 {
			s.failed = append(s.failed, c)
		}
	}
	return c.errno
}

// set changes what is to fail, and counts from anew.
func (s *supervisor) set(fail func(*call) unix.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail, s.counts, s.failed = fail, map[string]int{}, nil
}

// spare lets no call fail any more.
func (s *supervisor) spare() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = nil
}

// seen returns how many calls of each name there were, and those that failed.
func (s *supervisor) seen() (counts map[string]int, failed []call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts = map[string]int{}
	for k, v := range s.counts {
		counts[k] = v
	}
	return counts, append(failed, s.failed...)
}

// nth makes one call fail.
func nth(name string, n int, errno unix.Errno) func(*call) unix.Errno {
	return func(c *call) unix.Errno {
		if c.name == name && c.nth == n {
			return errno
		}
		return 0
	}
}

// crashed tells the end of a log if the daemon has crashed.
func crashed(t testing.TB, log string) {
	t.Helper()
	for _, sign := range []string{"panic:", "fatal error:", "goroutine 1 "} {
		if i := strings.Index(log, sign); i >= 0 {
			t.Fatalf("the daemon has crashed:\n%s", log[max(0, i-500):min(len(log), i+3000)])
		}
	}
}
