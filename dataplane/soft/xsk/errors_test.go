package xsk_test

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"weft/dataplane/soft/internal/vethtest"
	"weft/dataplane/soft/xsk"
)

// dropCapability takes one from the test's thread, which ends with the test.
func dropCapability(t *testing.T, capability int) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	data[capability/32].Effective &^= 1 << (capability % 32)
	if err := unix.Capset(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
}

// lockAtMost limits locked memory while the test runs.
func lockAtMost(t *testing.T, bytes uint64) {
	t.Helper()
	var before unix.Rlimit
	err := unix.Prlimit(0, unix.RLIMIT_MEMLOCK, nil, &before)
	if err == nil {
		err = unix.Prlimit(0, unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: bytes, Max: before.Max}, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Prlimit(0, unix.RLIMIT_MEMLOCK, &before, nil); err != nil {
			t.Error(err)
		}
	})
}

// TestErrors asserts that what keeps a socket from being opened is named, with what to do about it.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		name  string
		setUp func(t *testing.T, ifindex int) (xsk.Where, xsk.Options)
		want  error
		words []string
	}{
		{"queue in use", func(t *testing.T, ifindex int) (xsk.Where, xsk.Options) {
			m, p := vethtest.NewMemory(t, 1024)
			open(t, xsk.NewUMEM(m), p, xsk.Where{Ifindex: ifindex}, xsk.Options{Ring: 64})
			return xsk.Where{Ifindex: ifindex}, xsk.Options{}
		}, xsk.ErrQueueInUse, []string{"queue 0 of port", "end its program"}},
		{"no such queue", func(_ *testing.T, ifindex int) (xsk.Where, xsk.Options) {
			return xsk.Where{Ifindex: ifindex, Queue: 1}, xsk.Options{}
		}, xsk.ErrNoQueue, []string{"queue 1 of port", "it has 1", "ethtool -l port"}},
		{"no such interface", func(*testing.T, int) (xsk.Where, xsk.Options) {
			return xsk.Where{Ifindex: 9999}, xsk.Options{}
		}, unix.ENODEV, []string{"ifindex 9999", "namespace"}},
		{"odd ring", func(_ *testing.T, ifindex int) (xsk.Where, xsk.Options) {
			return xsk.Where{Ifindex: ifindex}, xsk.Options{Ring: 100}
		}, xsk.ErrRing, []string{"100 packets", "power of two"}},
		{"locked memory", func(t *testing.T, ifindex int) (xsk.Where, xsk.Options) {
			dropCapability(t, unix.CAP_IPC_LOCK)
			lockAtMost(t, 64<<10)
			return xsk.Where{Ifindex: ifindex}, xsk.Options{}
		}, xsk.ErrLocked, []string{"ulimit -l", "CAP_IPC_LOCK"}},
		{"capability", func(t *testing.T, ifindex int) (xsk.Where, xsk.Options) {
			dropCapability(t, unix.CAP_NET_RAW)
			return xsk.Where{Ifindex: ifindex}, xsk.Options{}
		}, unix.EPERM, []string{"queue 0 of port", "CAP_NET_RAW"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			vethtest.Enter(t)
			here, _ := vethtest.Pair(t, "port", 1)
			m, p := vethtest.NewMemory(t, 1024)
			free := p.Free()
			w, o := c.setUp(t, here.Index)
			s, err := xsk.Open(xsk.NewUMEM(m), p, w, o)
			if err == nil {
				s.Close()
				t.Fatal("it was opened")
			}
			if !errors.Is(err, c.want) {
				t.Errorf("%v: not %v", err, c.want)
			}
			for _, word := range c.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q is not in %q", word, err)
				}
			}
			if p.Free() != free {
				t.Errorf("%d frames are lost", free-p.Free())
			}
		})
	}
}

// TestSameQueue asserts that a queue has one socket, also on one memory.
func TestSameQueue(t *testing.T) {
	w := newWorker(t, 1024, xsk.Options{Ring: 64})
	for _, p := range w.ports {
		_, err := xsk.Open(w.umem, w.pool, xsk.Where{Ifindex: p.ifindex}, xsk.Options{Ring: 64})
		if !errors.Is(err, xsk.ErrQueueInUse) {
			t.Errorf("a second socket: %v", err)
		}
	}
}
