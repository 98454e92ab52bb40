package failpoints

import (
	"encoding/binary"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"weft/test/proof"
	"weft/test/star"
)

// Commands and types of linux/bpf.h.
const (
	bpfProgLoad = 5
	bpfTypeXDP  = 6
)

// refusals are ways in which the kernel refuses a router's program.
var refusals = []struct {
	name  string
	fail  func(r *router) func(*call) unix.Errno
	words []string // of what the operator is told
}{
	{"verifier", refuseByVerifier, []string{"R9 !read_ok", "verifier", "nothing has changed"}},
	{"ENOMEM", refuseBy(unix.ENOMEM), []string{"cannot allocate memory", "free memory", "nothing has changed"}},
	{"EPERM", refuseBy(unix.EPERM), []string{"operation not permitted", "lockdown", "nothing has changed"}},
}

func refuseBy(errno unix.Errno) func(*router) func(*call) unix.Errno {
	return func(r *router) func(*call) unix.Errno {
		return func(c *call) unix.Errno {
			if at, _ := r.loads(c); at != 0 {
				return errno
			}
			return 0
		}
	}
}

// refuseByVerifier makes the kernel's verifier refuse them: their first instruction
// becomes r0 = r9, of a register that nobody has written.
func refuseByVerifier(r *router) func(*call) unix.Errno {
	return func(c *call) unix.Errno {
		at, _ := r.loads(c)
		if at == 0 {
			return 0
		}
		ins := []byte{0xbf, 0x90, 0, 0, 0, 0, 0, 0}
		local := []unix.Iovec{{Base: &ins[0], Len: uint64(len(ins))}}
		remote := []unix.RemoteIovec{{Base: uintptr(at), Len: len(ins)}}
		if n, err := unix.ProcessVMWritev(r.Daemon.Pid, local, remote, 0); n != len(ins) {
			r.Errorf("write to the daemon's memory: %v", err)
		}
		return 0
	}
}

// loads returns where the instructions are that a call loads, and how many, if they
// are those of a router for XDP.
func (r *router) loads(c *call) (at uint64, count uint32) {
	if c.name != "bpf" || c.args[0] != bpfProgLoad {
		return 0, 0
	}
	attr := make([]byte, 16) // union bpf_attr: prog_type, insn_cnt, insns
	local := []unix.Iovec{{Base: &attr[0], Len: uint64(len(attr))}}
	remote := []unix.RemoteIovec{{Base: uintptr(c.args[1]), Len: len(attr)}}
	if n, err := unix.ProcessVMReadv(r.Daemon.Pid, local, remote, 0); n != len(attr) {
		r.Errorf("read the daemon's memory: %v", err)
		return 0, 0
	}
	at, count = binary.NativeEndian.Uint64(attr[8:]), binary.NativeEndian.Uint32(attr[4:])
	if binary.NativeEndian.Uint32(attr) != bpfTypeXDP || count < 100 {
		return 0, 0
	}
	return at, count
}

// A daemon whose program the kernel refuses does not start, says why, and changes
// nothing: neither where none was, nor where one has been forwarding.
func TestRefusedAtStart(t *testing.T) {
	p := newPatient(t)
	for _, takeover := range []bool{false, true} {
		if takeover {
			p.start(nil)
			p.Before = p.Accounts()
			p.kill()
		}
		before := p.Objects()
		for _, c := range refusals {
			p.under(func() {
				at := len(p.DaemonLog())
				s := supervise(p.Network, nil)
				s.set(c.fail(p.router)) // a launcher does not load programs
				code := p.Ended()
				log := p.DaemonLog()[at:]
				lines := strings.Split(strings.TrimSpace(log), "\n")
				last := lines[len(lines)-1]
				if code != 1 || !strings.HasPrefix(last, "weft: run: ") {
					t.Errorf("%s: exit code %d\n%s", c.name, code, log)
				}
				for _, w := range c.words {
					if !strings.Contains(last, w) {
						t.Errorf("%s: %q is not in %s", c.name, w, last)
					}
				}
				if c.name == "verifier" && !strings.Contains(log, `verifier="`) {
					t.Errorf("the log has not what the verifier said:\n%s", log)
				}
			})
			if after := p.Objects(); !equalObjects(before, after) {
				t.Errorf("%s: pinned was %v, and is %v", c.name, before, after)
			}
			if !takeover {
				p.WantNothing(star.Objects{})
			}
		}
	}
	p.start(nil)
	p.wantState()
	p.recordRefused("at start: nothing changes, exit code and reason")
}

func equalObjects(a, b star.Objects) bool {
	if len(a.Maps) != len(b.Maps) || len(a.Programs) != len(b.Programs) {
		return false
	}
	for i := range a.Programs {
		if a.Programs[i] != b.Programs[i] {
			return false
		}
	}
	return true
}

// A new program that is needed while the daemon runs is refused: the one before
// forwards on, the status says so, and the new one comes when the kernel takes it.
func TestRefusedAtWork(t *testing.T) {
	p := newPatient(t)
	p.start(nil)
	p.Before = p.Accounts()
	for _, c := range refusals {
		p.under(func() {
			at, id := len(p.DaemonLog()), p.Status().Program.ID
			p.supervisor.set(c.fail(p.router))
			p.later() // it needs a program that looks at checksums
			var s struct {
				star.Status
				Degraded string
			}
			p.Until("the status is degraded", func() bool { p.Ask(&s, "status"); return s.State == "degraded" })
			if s.Program.ID != id || !strings.Contains(s.Degraded, c.words[0]) {
				t.Errorf("%s: degraded for %q, program %d, was %d", c.name, s.Degraded, s.Program.ID, id)
			}
			if o := p.Weft("status"); !strings.HasPrefix(o.Stdout, "!! DEGRADED: ") || !strings.Contains(o.Stdout, c.words[0]) {
				t.Errorf("%s: weft status:\n%s", c.name, o.Stdout)
			}
			if log := p.DaemonLog()[at:]; c.name == "verifier" && !strings.Contains(log, `verifier="`) {
				t.Errorf("the log has not what the verifier said:\n%s", log)
			}
			forwarded := p.Count("to-h1", "forwarded")
			p.Until("packets are forwarded", func() bool { return p.Count("to-h1", "forwarded") > forwarded+star.Rate/10 })
			p.supervisor.spare()
			p.Until("the new program runs", func() bool {
				s := p.Status()
				return s.State == "forwarding" && s.Program.ID != id && p.Ports()["later"].Mode == "native"
			})
			crashed(t, p.DaemonLog()[at:])
		})
		p.wantState()
		id := p.Status().Program.ID
		p.IP("r1", "link del later")
		p.Until("the program is the one without", func() bool { return p.Status().Program.ID != id })
	}
	p.recordRefused("at work: the one before forwards, status degraded, retried")
}

func (p *patient) recordRefused(what string) {
	p.Helper()
	proof.Record(p, proof.Result{
		Kind: proof.Fault, Name: "R8", Count: uint64(len(refusals)), Packets: p.traffic.WantAll(),
		What: "a program is refused (verifier, ENOMEM, EPERM) " + what,
	})
}
