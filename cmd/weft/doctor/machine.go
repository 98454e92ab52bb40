package doctor

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

func rights(p *patient) []Finding {
	if p.Root() {
		return one(ok("", "runs as root"))
	}
	return one(Finding{"", "", Warn, "not root: foreign XDP programs and mounts cannot be looked at in full", "sudo weft doctor"})
}

func kernelVersion(p *patient) []Finding {
	release, err := p.Release()
	if err == nil {
		_, err = fmt.Sscanf(release, "%d.%d", &p.minor[0], &p.minor[1])
	}
	switch {
	case err != nil:
		return one(unknown("", "kernel version", err))
	case !p.atLeast(5, 15):
		return one(Finding{"", "", Fail, "Linux " + release + ": weft needs 5.15 or newer", "sudo apt install linux-image-amd64"})
	}
	return one(ok("", "Linux %s", release))
}

func (p *patient) atLeast(major, minor int) bool {
	return p.minor[0] > major || p.minor[0] == major && p.minor[1] >= minor
}

func btf(p *patient) []Finding {
	b, err := p.ReadFile("/sys/kernel/btf/vmlinux")
	if err != nil || len(b) == 0 {
		return one(Finding{"", "", Warn, "the kernel has no BTF: weft does without, tools show its maps without types", ""})
	}
	return one(ok("", "the kernel has BTF"))
}

// notHere says that sysctls of the machine are seen in its first network
// namespace only.
const notHere = "not to be seen from this network namespace"

func jit(p *patient) []Finding {
	on, err := p.setting("net/core/bpf_jit_enable")
	switch {
	case errors.Is(err, os.ErrNotExist):
		return one(ok("", "JIT: %s", notHere))
	case err != nil:
		return one(unknown("", "JIT", err))
	case on == "0":
		return one(Finding{"", "", Warn, "the BPF JIT is off: programs are interpreted, several times slower", "sudo sysctl -w net.core.bpf_jit_enable=1"})
	case on == "2":
		return one(Finding{"", "", Warn, "the BPF JIT writes what it makes to the log", "sudo sysctl -w net.core.bpf_jit_enable=1"})
	}
	return one(ok("", "the BPF JIT is on"))
}

func jitHarden(p *patient) []Finding {
	level, err := p.setting("net/core/bpf_jit_harden")
	switch {
	case errors.Is(err, os.ErrNotExist):
		return one(ok("", "hardening: %s", notHere))
	case err != nil:
		return one(unknown("", "hardening", err))
	case level == "2":
		return one(Finding{"", "", Warn, "constants of root's programs are blinded too: slower", "sudo sysctl -w net.core.bpf_jit_harden=1"})
	}
	return one(ok("", "root's programs are not slowed down by hardening"))
}

// afXDP is for the soft engine, which does without where it has to.
func afXDP(p *patient) []Finding {
	err := p.AFXDP()
	switch {
	case err == nil:
		return one(ok("", "the soft engine has AF_XDP"))
	case errors.Is(err, unix.EAFNOSUPPORT):
		return one(Finding{"", "", Warn, "the kernel has no AF_XDP (CONFIG_XDP_SOCKETS): ports of the soft engine are received from by AF_PACKET, slower", ""})
	case !p.Root():
		return one(ok("", "AF_XDP: only root can tell"))
	}
	return one(Finding{"", "", Warn, fmt.Sprintf("no AF_XDP (%v): ports of the soft engine are received from by AF_PACKET, slower", err), ""})
}

const bpffsPath = "/sys/fs/bpf"

func bpffs(p *patient) []Finding {
	mounted, err := p.IsBPFFS(bpffsPath)
	if err != nil {
		return one(unknown("", bpffsPath, err))
	}
	netns := p.netnsExec()
	private, privateErr := p.PrivateMounts()
	switch {
	case netns != "":
		return one(Finding{"", "", Fail, "'ip netns exec' made a mount namespace of its own for this process: what is pinned goes with it",
			fmt.Sprintf("sudo weft -n %s run   (outside, instead of 'ip netns exec %s weft run')", netns, netns)})
	case !mounted:
		return one(Finding{"", "", Fail, "no bpffs at " + bpffsPath + ": nothing can be pinned", "sudo mount -t bpf bpf " + bpffsPath})
	case privateErr == nil && private:
		return one(Finding{"", "", Warn, "this is not the machine's mount namespace: what is pinned here may not be seen outside", ""})
	}
	return one(ok("", "a bpffs is mounted at %s", bpffsPath))
}

// netnsExec returns the network namespace that 'ip netns exec' entered, "" if
// it did not: it mounts a new /sys and gives it that name.
func (p *patient) netnsExec() string {
	b, err := p.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		// ID parent major:minor root mount-point options [optional...] - type source options
		before, after, _ := strings.Cut(line, " - ")
		where, what := strings.Fields(before), strings.Fields(after)
		if len(where) < 5 || len(what) < 2 || where[4] != "/sys" || what[0] != "sysfs" {
			continue
		}
		if what[1] != "sysfs" && what[1] != "none" && what[1] != "sys" {
			return what[1]
		}
	}
	return ""
}

func memlock(p *patient) []Finding {
	if p.atLeast(5, 11) {
		return one(ok("", "maps are not counted as locked memory (Linux 5.11)"))
	}
	limit, err := p.Memlock()
	switch {
	case err != nil:
		return one(unknown("", "limit of locked memory", err))
	case limit < 1<<30:
		return one(Finding{"", "", Warn, fmt.Sprintf("%d KiB of memory may be locked: weft raises it as root", limit>>10), "ulimit -l unlimited"})
	}
	return one(ok("", "enough memory may be locked"))
}

func daemon(p *patient) []Finding {
	if p.daemon == nil {
		return one(ok("", "no daemon runs in this network namespace; 'sudo weft run' starts one"))
	}
	all := one(ok("", "a daemon runs: %s", p.daemon.State))
	if p.daemon.State != "forwarding" {
		all[0] = Finding{"", "", Warn, "a daemon runs, and does not forward: " + p.daemon.State, "weft status"}
	}
	for _, r := range p.daemon.Refused {
		all = append(all, Finding{"", r.Dev, Fail, "not a port: " + r.Text, ""})
	}
	return all
}
