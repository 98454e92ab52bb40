package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ErrNoFRR is a machine without FRR.
var ErrNoFRR = errors.New("FRR is not installed")

// Where Debian's package has FRR, and where FRR keeps what it writes while it runs: a directory for each process, which
// one that is killed leaves.
const (
	frrPrograms = "/usr/lib/frr"
	frrScratch  = "/var/tmp/frr"
	frrUser     = "frr"
)

// HasFRR finds out whether this machine has what FRR-routed labs need.
//
// Errors: ErrNoFRR.
func HasFRR() error {
	_, err := frrOwner()
	for _, program := range []string{"zebra", "bgpd"} {
		if err == nil {
			_, err = os.Stat(filepath.Join(frrPrograms, program))
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoFRR, err)
	}
	return nil
}

func frrOwner() (u *user.User, err error) { return user.Lookup(frrUser) }

// dir returns the directory of a router's configuration and of the sockets of its FRR, for vtysh's --vty_socket.
func (l *Lab) dir(node string) string { return filepath.Join(stateDir(l.prefix), node) }

// zebraConfig and bgpdConfig are what FRR is told.
//
// A bgpd that starts finds its neighbors by their router advertisements, which come each 10 s unless told otherwise. The
// kernel takes a link that goes down out of next-hop groups: zebra 8.4 does not know that, keeps a group of which it has
// no routes any more for 180 s, and uses it as it is, with a path less, when the link is back.
func (n Node) zebraConfig(peers []neighbor) string {
	var b strings.Builder
	fmt.Fprintf(&b, "hostname %s\nzebra nexthop-group keep 1\n", n.Name)
	for _, p := range peers {
		fmt.Fprintf(&b, "interface %s\n ipv6 nd ra-interval 1\n", p.dev)
	}
	return b.String()
}

func (n Node) bgpdConfig(peers []neighbor) string {
	var b strings.Builder
	fmt.Fprintf(&b, `frr defaults datacenter
hostname %s
!
router bgp %d
 bgp router-id %s
 no bgp ebgp-requires-policy
 bgp bestpath as-path multipath-relax
 bgp suppress-fib-pending
 neighbor fabric peer-group
 neighbor fabric remote-as external
 neighbor fabric timers connect 1
`, n.Name, n.AS, n.ID)
	for _, p := range peers {
		fmt.Fprintf(&b, " neighbor %s interface peer-group fabric\n", p.dev)
		if p.waits {
			fmt.Fprintf(&b, " neighbor %s passive\n", p.dev)
		}
	}
	for _, family := range []string{"ipv4", "ipv6"} {
		fmt.Fprintf(&b, " address-family %s unicast\n  redistribute connected\n  maximum-paths %d\n", family, MaxSpines)
		if family == "ipv6" {
			b.WriteString("  neighbor fabric activate\n")
		}
		b.WriteString(" exit-address-family\n")
	}
	return b.String()
}

// StartFRR starts zebra and bgpd in routers, with what they keep in files of the lab's, and returns when they run. What
// is left of such that were killed does not matter.
//
// Errors: ErrNode, ErrNoFRR.
func (l *Lab) StartFRR(ctx context.Context, routers ...string) error {
	if err := HasFRR(); err != nil {
		return err
	}
	for _, daemon := range []string{"zebra", "bgpd"} { // one after the other: bgpd looks for zebra when it starts
		started := make([]*Process, len(routers))
		for i, router := range routers {
			var err error
			if started[i], err = l.startFRR(router, daemon); err != nil {
				return fmt.Errorf("start FRR in %s: %w", router, err)
			}
		}
		for i, router := range routers {
			if err := l.awaitFRR(ctx, router, daemon, started[i]); err != nil {
				return fmt.Errorf("start FRR in %s: %w", router, err)
			}
		}
	}
	return nil
}

// frrSockets are those at which daemons listen once they run.
var frrSockets = map[string]string{"zebra": "zserv.api", "bgpd": "bgpd.vty"}

func (l *Lab) startFRR(router, daemon string) (*Process, error) {
	if err := l.has(router); err != nil {
		return nil, err
	}
	n, _ := l.node(router)
	text := map[string]string{"zebra": n.zebraConfig(l.peers(router)), "bgpd": n.bgpdConfig(l.peers(router))}[daemon]
	dir := l.dir(router)
	if err := l.makeFRRDir(dir); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, daemon+".conf")
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, err
	}
	// One that was killed has left it, and would seem to listen.
	if err := os.Remove(filepath.Join(dir, frrSockets[daemon])); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	p, err := l.Start(router, filepath.Join(frrPrograms, daemon), "-u", frrUser, "-g", frrUser, "-f", config,
		"-i", filepath.Join(dir, daemon+".pid"), "-z", filepath.Join(dir, frrSockets["zebra"]), "--vty_socket", dir,
		"-A", "127.0.0.1", "-P", "0", "--log", "stdout")
	if err != nil {
		return nil, err
	}
	return p, l.remember(daemon, p.Pid)
}

// makeFRRDir makes a directory in which FRR, which does not stay root, may write.
func (l *Lab) makeFRRDir(dir string) error {
	u, err := frrOwner()
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.Chown(dir, uid, gid)
}

func (l *Lab) awaitFRR(ctx context.Context, router, daemon string, p *Process) error {
	for {
		conn, err := net.Dial("unix", filepath.Join(l.dir(router), frrSockets[daemon]))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-p.Done:
			return fmt.Errorf("%s has ended: %w: its log is %s", daemon, p.Err(), p.Log)
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen: %w: its log is %s", daemon, ctx.Err(), p.Log)
		}
	}
}

// scratchFile lists the directories that FRR makes for its processes.
func scratchFile(prefix string) string { return filepath.Join(stateDir(prefix), "frr-scratch") }

func (l *Lab) remember(daemon string, pid int) error {
	f, err := os.OpenFile(scratchFile(l.prefix), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s.%d\n", daemon, pid)
	return errors.Join(err, f.Close())
}

// removeScratch removes what FRR's killed processes have left outside of the lab. They have all ended.
func removeScratch(prefix string) error {
	b, err := os.ReadFile(scratchFile(prefix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, name := range strings.Fields(string(b)) {
		daemon, pid, _ := strings.Cut(name, ".")
		if exe, e := os.Readlink(filepath.Join("/proc", pid, "exe")); e == nil && filepath.Base(exe) == daemon {
			continue // it is another one's, which has its number now
		}
		err = errors.Join(err, os.RemoveAll(filepath.Join(frrScratch, filepath.Base(name))))
	}
	return err
}
