package peer

import (
	"os"
	"testing"
	"time"
)

func TestCPUTime(t *testing.T) {
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); time.Since(start) < 50*time.Millisecond; {
	}
	after, err := cpuTime(os.Getpid())
	if err != nil || after-before < 10*time.Millisecond {
		t.Errorf("%v of CPU in 50 ms of work: %v", after-before, err)
	}
	if n, err := peakMemory(os.Getpid()); err != nil || n < 1<<20 {
		t.Errorf("peak memory %d: %v", n, err)
	}
}
