// Package doctor looks at a machine and tells what it lacks to forward by XDP,
// and what mends it. It changes nothing, and needs no daemon.
//
// Each check is a function of a Machine, so that tests can make machines that
// are not there. What could not be looked at is told, not guessed.
package doctor

import (
	"fmt"
	"strings"
)

// Level says how bad a finding is.
type Level string

// Levels.
const (
	OK   Level = "OK"
	Warn Level = "WARN" // weft works, but not as well as it could, or not for all
	Fail Level = "FAIL" // weft does not work until it is mended
)

// Finding is what a check found.
type Finding struct {
	Check   string `json:"check"`
	Subject string `json:"subject,omitempty"` // interface; "": the machine
	Level   Level  `json:"level"`
	Text    string `json:"text"`
	Mend    string `json:"mend,omitempty"` // command
}

// Machine is what checks look at.
type Machine interface {
	// Release returns the kernel's version, "6.1.0-13-amd64".
	Release() (string, error)
	// ReadFile reads a file of /proc or /sys.
	ReadFile(path string) ([]byte, error)
	// IsBPFFS tells whether a bpffs is mounted there.
	IsBPFFS(path string) (bool, error)
	// PrivateMounts tells whether the mount namespace is another one than init's.
	PrivateMounts() (bool, error)
	// Memlock returns how many bytes may be locked.
	Memlock() (uint64, error)
	// Root tells whether the process may look at everything.
	Root() bool
	// Chains returns the names of netfilter's chains that packets pass on their way
	// through the machine.
	Chains() ([]string, error)
	// Rules returns the rules of policy routing that not every machine has.
	Rules() ([]string, error)
	// AFXDP tells whether the kernel makes sockets of AF_XDP: why not.
	AFXDP() error
	// Links returns the interfaces.
	Links() ([]Link, error)
}

// Link is an interface as checks want it.
type Link struct {
	Index, Peer    int // Peer: ifindex of a veth's other end, or of what a VLAN is on
	Name           string
	Kind           string // "veth", "vlan"...; "": hardware
	Driver         string
	PeerName       string // "": in another network namespace
	Ethernet, Up   bool
	MTU            int
	Master         string
	XDP            int      // id of the program that it has, 0: none
	XDPName        string   // "": not known
	XDPKnown       bool     // the kernel tells what the driver can do (6.3)
	XDPFeatures    uint64   // NETDEV_XDP_ACT_*
	Offloads       []string // active ones, by ethtool's names
	OffloadsFailed error
}

// Bits of XDPFeatures, as in linux/netdev.h.
const (
	actBasic    = 1
	actRedirect = 2
	actNdoXmit  = 4
	actRxSG     = 32
)

// Daemon is what a running daemon says; nil where none runs.
type Daemon struct {
	State   string
	Slow    []Remark // ports whose frames leave through Linux
	Partial []Remark // ports where packets came in whose checksum was left to hardware
	Refused []Remark
}

// Remark is what the daemon says of an interface.
type Remark struct{ Dev, Text string }

// patient is what a check gets.
type patient struct {
	Machine
	links  []Link
	daemon *Daemon
	minor  [2]int // kernel version
}

// check looks at one thing.
type check struct {
	name string
	look func(*patient) []Finding
}

// checks in the order in which they are told.
var checks = []check{
	{"rights", rights},
	{"kernel", kernelVersion},
	{"btf", btf},
	{"jit", jit},
	{"jit_harden", jitHarden},
	{"bpffs", bpffs},
	{"memlock", memlock},
	{"af_xdp", afXDP},
	{"daemon", daemon},
	{"forwarding", forwarding},
	{"rp_filter", rpFilter},
	{"netfilter", netfilter},
	{"ip_rule", policyRules},
	{"xdp", nativeXDP},
	{"egress", egress},
	{"foreign_xdp", foreignXDP},
	{"offloads", offloads},
	{"mtu", mtu},
}

// Examine runs all checks.
func Examine(m Machine, d *Daemon) []Finding {
	p := &patient{Machine: m, daemon: d}
	var all []Finding
	links, err := m.Links()
	if err != nil {
		all = append(all, Finding{"links", "", Fail, fmt.Sprintf("the interfaces cannot be listed: %v", err), ""})
	}
	for _, l := range links {
		if l.isCandidate() {
			p.links = append(p.links, l)
		}
	}
	for _, c := range checks {
		for _, f := range c.look(p) {
			f.Check = c.name
			all = append(all, f)
		}
	}
	return all
}

// isCandidate tells interfaces that could be ports.
func (l *Link) isCandidate() bool {
	switch l.Kind {
	case "", "veth", "tun", "vlan", "bond":
		return l.Ethernet && l.Up && l.Master == ""
	}
	return false
}

// isWire tells candidates that an XDP program is attached to.
func (l *Link) isWire() bool { return l.Kind != "vlan" }

func ok(subject, format string, args ...any) Finding {
	return Finding{"", subject, OK, fmt.Sprintf(format, args...), ""}
}

// one is a check's only finding.
func one(f Finding) []Finding { return []Finding{f} }

// unknown is what could not be looked at.
func unknown(subject, what string, err error) Finding {
	return Finding{"", subject, Warn, fmt.Sprintf("%s: cannot be told: %v", what, err), ""}
}

// setting reads a sysctl; "" when there is none.
func (p *patient) setting(path string) (string, error) {
	b, err := p.ReadFile("/proc/sys/" + path)
	return strings.TrimSpace(string(b)), err
}
