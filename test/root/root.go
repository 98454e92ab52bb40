// Package root is for tests that change the kernel's state.
package root

import (
	"os"
	"testing"
)

// Require skips a test that is not run as root. CI must not skip it.
func Require(t testing.TB) {
	t.Helper()
	switch {
	case os.Geteuid() == 0:
	case os.Getenv("CI") != "":
		t.Fatal("this test needs root, for network namespaces or BPF: CI must run it so")
	default:
		t.Skip("this test needs root, for network namespaces or BPF")
	}
}
