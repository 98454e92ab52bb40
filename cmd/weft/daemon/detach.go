package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// readyVariable tells a detached daemon the file that it reports to.
const readyVariable = "WEFT_READY_FD"

// Detach starts this program again, with other arguments, in a session of its
// own, and waits until Report says that it forwards or why it does not. Its
// output goes to the file log, which is made if need be.
//
// Errors: *EndedError.
func Detach(ctx context.Context, args []string, log string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("start in the background: %w", err)
	}
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("start in the background: %w", err)
	}
	defer out.Close()
	reader, writer, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start in the background: %w", err)
	}
	defer reader.Close()
	cmd := exec.Command(self, args...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = out, out, []*os.File{writer}
	cmd.Env = append(os.Environ(), readyVariable+"=3")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	writer.Close()
	if err != nil {
		return fmt.Errorf("start in the background: %w", err)
	}
	said := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(reader) // it ends when the daemon has reported, or is gone
		said <- string(text)
	}()
	select {
	case text := <-said:
		if text == ready {
			return cmd.Process.Release()
		}
		if text = strings.TrimSpace(text); text == "" {
			text = "run: the daemon ended without a word: see " + log
		}
		err := cmd.Wait()
		return &EndedError{text, cmd.ProcessState.ExitCode(), err}
	case <-ctx.Done():
		return errors.Join(ctx.Err(), cmd.Process.Signal(syscall.SIGTERM))
	}
}

// EndedError is a detached daemon that has ended before it forwarded.
type EndedError struct {
	Reason string // as it reported it
	Code   int    // that it ended with; -1: by a signal
	err    error  // how the process ended
}

func (e *EndedError) Error() string { return e.Reason }

// Unwrap returns how the process ended.
func (e *EndedError) Unwrap() error { return e.err }

// ready is what a daemon that forwards reports.
const ready = "ready\n"

// Report returns how a detached daemon tells the one that started it that it
// forwards (nil), or why it does not. For others it does nothing.
func Report() func(error) {
	fd, err := strconv.Atoi(os.Getenv(readyVariable))
	if err != nil {
		return func(error) {}
	}
	os.Unsetenv(readyVariable)
	syscall.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), "ready")
	return func(err error) {
		text := ready
		if err != nil {
			text = err.Error() + "\n"
		}
		// The one who waits may be gone. A second report finds the file closed.
		_, _ = io.WriteString(f, text)
		f.Close()
	}
}
