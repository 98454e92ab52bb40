package xdp

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// onThread runs f on a thread that ends with it: f may take it to other namespaces.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if unix.Gettid() == unix.Getpid() {
			// The main thread does not end, and is what /proc says of the process: hold it, take another.
			defer runtime.UnlockOSThread()
			onThread(f)
			return
		}
		f()
	}()
	<-done
}
