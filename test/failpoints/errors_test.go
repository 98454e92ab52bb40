package failpoints

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/test/proof"
	"weft/test/star"
)

// fault is one call that fails.
type fault struct {
	name  string
	nth   int
	errno unix.Errno
}

func (f fault) String() string {
	return fmt.Sprintf("%s %d %s", f.name, f.nth, unix.ErrnoName(f.errno))
}

// errnos are what calls fail with. Sockets that do not block fail with neither EAGAIN
// nor EINTR while there is something to do: the runtime would wait for the kernel to
// say so, which it has said. bind(2) is spared: where it fails, vishvananda/netlink v1.3.1 closes the
// socket twice, the second time by its file's finalizer, and with it whatever has its
// number then.
var errnos = map[string][]unix.Errno{
	"bpf":        {unix.ENOMEM, unix.EBUSY, unix.E2BIG, unix.EINTR, unix.EAGAIN, unix.EPERM},
	"socket":     {unix.ENOMEM, unix.EINTR, unix.EPERM, unix.EMFILE},
	"setsockopt": {unix.ENOMEM, unix.EINTR, unix.EPERM},
	"sendto":     {unix.ENOMEM, unix.EBUSY, unix.EPERM},
	"sendmsg":    {unix.ENOMEM, unix.EBUSY, unix.EPERM},
	"recvfrom":   {unix.ENOMEM, unix.EPERM, unix.ENOBUFS},
	"recvmsg":    {unix.ENOMEM, unix.EPERM, unix.ENOBUFS},
	"ioctl":      {unix.ENOMEM, unix.EBUSY, unix.EINTR, unix.EPERM},
	"flock":      {unix.ENOMEM, unix.EINTR},
}

// inSoak is more than the faults of a start. While routes come by the ten thousands
// there are as many calls alike.
const inSoak = 1200

// faults returns all faults of the calls that were counted, or some of them.
func faults(t testing.TB, counts map[string]int, some int) (all []fault) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		for n := range counts[name] {
			for _, errno := range errnos[name] {
				all = append(all, fault{name, n + 1, errno})
			}
		}
	}
	if os.Getenv("WEFT_SOAK") != "" {
		some = inSoak
	}
	if len(all) <= some {
		return all
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("%d of %d faults, seed %d", some, len(all), seed)
	random := rand.New(rand.NewPCG(seed, 0))
	// Half of them are of bpf(): it is what a router of BPF programs lives by.
	var chosen []fault
	for len(chosen) < some {
		f := all[random.IntN(len(all))]
		if (f.name == "bpf" || len(chosen) >= some/2) && !slices.Contains(chosen, f) {
			chosen = append(chosen, f)
		}
	}
	return chosen
}

// patient is a router whose daemon has a supervisor.
type patient struct {
	*router
	supervisor *supervisor
	traffic    *star.Stream
}

func newPatient(t testing.TB) *patient {
	t.Helper()
	p := &patient{router: &router{Network: star.New(t)}}
	p.furnish()
	p.traffic = p.stream()
	return p
}

// forwards tells whether the daemon has filled the FIB and taken all ports.
func (p *patient) forwards() bool {
	var s star.Status
	if !p.Try(&s, "status") || s.State != "forwarding" || s.PID != p.Daemon.Pid {
		return false
	}
	ports := p.Ports()
	for _, one := range ports {
		if one.Egress != "native" {
			return false
		}
	}
	return len(ports) >= 3
}

// start starts a daemon, some call of which may fail, and waits until it forwards. It
// returns false when the daemon has refused instead, with a reason.
func (p *patient) start(fail func(*call) unix.Errno) bool {
	p.Helper()
	at := len(p.DaemonLog())
	p.supervisor = supervise(p.Network, fail)
	for deadline := time.Now().Add(20 * time.Second); !p.ended(); time.Sleep(10 * time.Millisecond) {
		if p.forwards() {
			p.supervisor.spare()
			crashed(p, p.DaemonLog()[at:])
			return true
		}
		if time.Now().After(deadline) {
			p.Fatalf("the daemon neither forwards nor ends\n%s", p.DaemonLog()[at:])
		}
	}
	log := p.DaemonLog()[at:]
	crashed(p, log)
	lines := strings.Split(strings.TrimSpace(log), "\n")
	last := lines[len(lines)-1]
	_, failed := p.supervisor.seen()
	if code := p.Ended(); code <= 0 || !strings.HasPrefix(last, "weft: run: ") || len(failed) == 0 ||
		!strings.Contains(last, failed[0].errno.Error()) && !strings.Contains(last, misread) {
		p.Errorf("exit code %d, failed was %v: the reason is missing\n%s", code, failed, log)
	}
	return false
}

// misread is what cilium/ebpf says when the map fails by which it finds out whether
// the kernel has maps that can be mapped.
const misread = "map spec is incompatible with existing map"

// under runs f under traffic, of which nothing may be lost.
func (p *patient) under(f func()) {
	p.Helper()
	p.traffic.Begin()
	f()
	p.traffic.Stop()
	if lost := p.traffic.Sent() - p.traffic.Arrived(); lost != 0 {
		p.Errorf("%d packets are lost", lost)
		p.traffic.LogDrops()
	}
}

// A call fails at a first start, whichever: the daemon forwards all the same, or ends
// with a reason and leaves nothing.
func TestErrorsAtFirstStart(t *testing.T) {
	p := newPatient(t)
	p.start(nil)
	counts, _ := p.supervisor.seen()
	stopped(p.router)
	refused, all := 0, faults(t, counts, 8)
	for _, f := range all {
		t.Log(f)
		p.under(func() {
			if p.start(nth(f.name, f.nth, f.errno)) {
				p.wantState()
				stopped(p.router)
			} else {
				refused++
			}
			p.WantNothing(star.Objects{})
		})
		if t.Failed() {
			t.Fatalf("at %s", f)
		}
	}
	p.start(nil)
	p.wantState()
	p.Before = p.Accounts()
	p.record("at a first start", len(all), refused)
}

// A call fails when a daemon takes over: it does so all the same, or ends with a
// reason, and what forwarded goes on.
func TestErrorsAtTakeover(t *testing.T) {
	p := newPatient(t)
	p.start(nil)
	p.Before = p.Accounts()
	p.kill()
	p.start(nil)
	counts, _ := p.supervisor.seen()
	p.kill()
	refused, all := 0, faults(t, counts, 8)
	for _, f := range all {
		t.Log(f)
		p.under(func() {
			if p.start(nth(f.name, f.nth, f.errno)) {
				p.wantState()
				p.kill()
			} else {
				refused++
			}
		})
		if len(p.Objects().Programs) == 0 {
			t.Error("nothing forwards any more")
		}
		if t.Failed() {
			t.Fatalf("at %s", f)
		}
	}
	p.start(nil)
	p.wantState()
	p.record("at a takeover", len(all), refused)
}

func (p *patient) record(when string, count, refused int) {
	p.Helper()
	proof.Record(p, proof.Result{
		Kind: proof.Failpoint, Name: "R30", Count: uint64(count), Packets: p.traffic.WantAll(),
		What: fmt.Sprintf("system calls that fail %s: borne, or refused with a reason (%d)", when, refused),
	})
}

// works are what the daemon does while calls fail. Those of a question may fail, too,
// and so does the question then.
var works = []struct {
	name  string
	some  int  // faults in a short run
	fresh bool // it happens to each daemon once
	begin func(r *router)
	done  func(r *router) bool
	undo  func(r *router)
}{{
	name: "a port comes", some: 5, begin: (*router).later,
	done: func(r *router) bool {
		var list star.PortList
		return r.Try(&list, "ports") && slices.ContainsFunc(list.Ports, func(p star.Port) bool { return p.Ifname == "later" })
	},
	undo: func(r *router) { r.IP("r1", "link del later") },
}, {
	name: "routes change", some: 6, begin: func(r *router) {
		r.IP("r1", "route add 10.200.0.0/24 via 10.2.0.7")
		r.IP("r1", "nexthop replace id 60 group 50,3/51,2")
	},
	done: func(r *router) bool {
		var answers []star.Lookup
		return r.Try(&answers, "routes", "get", "10.200.0.1", "explain") && answers[0].Prefix == "10.200.0.0/24"
	},
	undo: func(r *router) {
		r.IP("r1", "route del 10.200.0.0/24")
		r.IP("r1", "nexthop replace id 60 group 50/51")
	},
}, {
	name: "the image grows", some: 2, fresh: true, begin: func(r *router) { r.fill(40000) },
	done: func(r *router) bool {
		var s star.Status
		return r.Try(&s, "status") && s.FIB.IPv4Routes > 40000 && s.FIB.NotInstalled == 0
	},
	undo: (*router).empty,
}}

// A call fails while the daemon works: it tries again, and forwards meanwhile.
func TestErrorsAtWork(t *testing.T) {
	for _, w := range works {
		t.Run(w.name, func(t *testing.T) {
			p := newPatient(t)
			do := func(f func(*call) unix.Errno) (counts map[string]int, failed []call) {
				if w.fresh {
					p.start(nil)
				}
				p.under(func() {
					p.supervisor.set(f)
					w.begin(p.router)
					for deadline := time.Now().Add(20 * time.Second); !w.done(p.router); {
						if p.ended() || time.Now().After(deadline) {
							crashed(t, p.DaemonLog())
							_, failed = p.supervisor.seen()
							t.Fatalf("it is not done after 20 s; failed have %v\n%s", failed, p.DaemonLog())
						}
					}
					counts, failed = p.supervisor.seen()
					p.supervisor.spare()
				})
				p.wantState()
				w.undo(p.router)
				p.CatchUp()
				if w.fresh {
					stopped(p.router)
				}
				return counts, failed
			}
			if !w.fresh {
				p.start(nil)
				p.Before = p.Accounts()
			}
			counts, _ := do(nil)
			all := faults(t, counts, w.some)
			hit := 0
			for _, f := range all {
				_, failed := do(nth(f.name, f.nth, f.errno))
				hit += len(failed)
				if t.Failed() {
					t.Fatalf("at %s: %v", f, failed)
				}
			}
			t.Logf("%d of %d faults have happened", hit, len(all))
			p.record("while "+w.name, hit, 0)
		})
	}
}
