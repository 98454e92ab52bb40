package benchreport

import (
	"os"
	"regexp"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Environment says where and how the figures were taken.
type Environment struct {
	Kernel    string   `json:"kernel"`
	CPU       string   `json:"cpu"`
	Go        string   `json:"go"`
	Date      string   `json:"date"` // RFC 3339
	Rounds    int      `json:"rounds"`
	PinnedCPU int      `json:"pinned_cpu"`
	Notes     []string `json:"notes,omitempty"`
}

// Here describes this machine, now.
func Here(rounds, pinnedCPU int) Environment {
	var u unix.Utsname
	kernel := "unknown"
	if unix.Uname(&u) == nil {
		kernel = unix.ByteSliceToString(u.Release[:])
	}
	cpu := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := regexp.MustCompile(`(?m)^model name\s*: (.*)$`).FindSubmatch(text); m != nil {
			cpu = strings.TrimSpace(string(m[1]))
		}
	}
	return Environment{
		Kernel: kernel, CPU: cpu, Go: runtime.Version(), Date: time.Now().Format(time.RFC3339),
		Rounds: rounds, PinnedCPU: pinnedCPU,
	}
}
