package daemons

import (
	"os/exec"
	"syscall"
	"testing"
)

// A daemon does not outlive the test's process.
func TestGuard(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", "sleep 1000 & wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	life, err := guard(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := life.Close(); err != nil { // as the kernel does when the test's process dies
		t.Fatal(err)
	}
	err = cmd.Wait()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Errorf("it has ended by itself: %v", err)
	}
}
