package xdp

import (
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// What changes the namespaces of its thread never does so on the main thread: that one
// does not end, and /proc/self would tell of other namespaces than the process's.
func TestOnThreadIsNotTheMainThread(t *testing.T) {
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			ran := false
			onThread(func() {
				ran = true
				if unix.Gettid() == unix.Getpid() {
					t.Error("on the main thread")
				}
			})
			if !ran {
				t.Error("did not run")
			}
		})
	}
	all.Wait()
}
