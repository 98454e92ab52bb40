package doctor

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// machine is one that is not there.
type machine struct {
	release string
	files   map[string]string
	noBPFFS bool
	private bool
	memlock uint64
	user    bool
	links   []Link
	chains  []string
	rules   []string
	err     error
	noXSK   error
}

func (m *machine) Release() (string, error) { return m.release, m.err }
func (m *machine) ReadFile(path string) ([]byte, error) {
	if s, there := m.files[path]; there {
		return []byte(s), nil
	}
	return nil, os.ErrNotExist
}
func (m *machine) IsBPFFS(string) (bool, error) { return !m.noBPFFS, nil }
func (m *machine) PrivateMounts() (bool, error) { return m.private, nil }
func (m *machine) Memlock() (uint64, error)     { return m.memlock, nil }
func (m *machine) Root() bool                   { return !m.user }
func (m *machine) AFXDP() error                 { return m.noXSK }
func (m *machine) Links() ([]Link, error)       { return m.links, m.err }
func (m *machine) Chains() ([]string, error)    { return m.chains, m.err }
func (m *machine) Rules() ([]string, error)     { return m.rules, m.err }

// healthy lacks nothing.
func healthy() *machine {
	m := &machine{
		release: "6.18.0",
		files: map[string]string{
			"/sys/kernel/btf/vmlinux": "btf", "/proc/sys/net/core/bpf_jit_enable": "1\n", "/proc/sys/net/core/bpf_jit_harden": "0\n",
			"/proc/sys/net/ipv4/conf/all/rp_filter": "0\n",
			"/proc/self/mountinfo":                  "24 1 0:22 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n",
		},
	}
	m.link(Link{Index: 2, Name: "eth0", Driver: "ice", MTU: 9000, XDPFeatures: actBasic | actRedirect | actNdoXmit | actRxSG})
	m.link(Link{Index: 3, Name: "v0", Kind: "veth", Driver: "veth", MTU: 1500, XDPFeatures: actBasic | actRedirect | actNdoXmit | actRxSG})
	return m
}

// link adds an interface that forwards.
func (m *machine) link(l Link) {
	l.Ethernet, l.Up, l.XDPKnown = true, true, true
	m.links = append(m.links, l)
	m.files["/proc/sys/net/ipv4/conf/"+l.Name+"/forwarding"] = "1\n"
	m.files["/proc/sys/net/ipv6/conf/"+l.Name+"/forwarding"] = "1\n"
	m.files["/proc/sys/net/ipv4/conf/"+l.Name+"/rp_filter"] = "0\n"
}

func TestHealthy(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Examine(healthy(), &Daemon{State: "forwarding"}) {
		if seen[f.Check] = true; f.Level != OK || f.Mend != "" {
			t.Errorf("%+v", f)
		}
	}
	for _, c := range checks {
		if !seen[c.name] {
			t.Errorf("check %s says nothing", c.name)
		}
	}
}

// TestSick makes one thing bad after the other.
func TestSick(t *testing.T) {
	for _, c := range []struct {
		name           string
		harm           func(*machine)
		check, subject string
		level          Level
		text, mend     string // what they contain
	}{
		{"user", func(m *machine) { m.user = true }, "rights", "", Warn, "not root", "sudo weft doctor"},
		{"old kernel", func(m *machine) { m.release = "5.10.0-9-amd64" }, "kernel", "", Fail, "5.15", "apt"},
		{"odd kernel", func(m *machine) { m.release = "custom" }, "kernel", "", Warn, "cannot be told", ""},
		{"no BTF", func(m *machine) { delete(m.files, "/sys/kernel/btf/vmlinux") }, "btf", "", Warn, "no BTF", ""},
		{"no AF_XDP", func(m *machine) { m.noXSK = unix.EAFNOSUPPORT }, "af_xdp", "", Warn, "CONFIG_XDP_SOCKETS", ""},
		{"AF_XDP refused", func(m *machine) { m.noXSK = unix.EPERM }, "af_xdp", "", Warn, "not permitted", ""},
		{"no JIT", func(m *machine) { m.files["/proc/sys/net/core/bpf_jit_enable"] = "0\n" }, "jit", "", Warn, "off", "sysctl -w net.core.bpf_jit_enable=1"},
		{"loud JIT", func(m *machine) { m.files["/proc/sys/net/core/bpf_jit_enable"] = "2\n" }, "jit", "", Warn, "log", "bpf_jit_enable=1"},
		{"hardened", func(m *machine) { m.files["/proc/sys/net/core/bpf_jit_harden"] = "2\n" }, "jit_harden", "", Warn, "blinded", "bpf_jit_harden=1"},
		{"no bpffs", func(m *machine) { m.noBPFFS = true }, "bpffs", "", Fail, "no bpffs", "mount -t bpf bpf /sys/fs/bpf"},
		{"ip netns exec", func(m *machine) {
			m.noBPFFS = true
			m.files["/proc/self/mountinfo"] = "24 1 0:22 / /sys rw,nosuid - sysfs blue rw\n"
		}, "bpffs", "", Fail, "ip netns exec", "weft -n blue run"},
		{"private mounts", func(m *machine) { m.private = true }, "bpffs", "", Warn, "not be seen outside", ""},
		{"little memory", func(m *machine) { m.release, m.memlock = "5.10.1", 64<<10 }, "memlock", "", Warn, "64 KiB", "ulimit -l unlimited"},
		{"no links", func(m *machine) { m.links = nil }, "forwarding", "", Fail, "no Ethernet interface", "ip link"},
		{"cannot list", func(m *machine) { m.err = errors.New("denied") }, "links", "", Fail, "denied", ""},
		{"one does not forward", func(m *machine) {
			m.files["/proc/sys/net/ipv4/conf/eth0/forwarding"] = "0\n"
			delete(m.files, "/proc/sys/net/ipv6/conf/eth0/forwarding")
		}, "forwarding", "eth0", Warn, "neither", "net.ipv4.conf.eth0.forwarding=1"},
		{"none forwards", func(m *machine) {
			for path := range m.files {
				if strings.HasSuffix(path, "/forwarding") {
					m.files[path] = "0\n"
				}
			}
		}, "forwarding", "", Fail, "no interface forwards", "net.ipv4.ip_forward=1"},
		{"strict filter", func(m *machine) { m.files["/proc/sys/net/ipv4/conf/v0/rp_filter"] = "1\n" }, "rp_filter", "v0", Warn, "strict", "conf.v0.rp_filter=0"},
		{"filter", func(m *machine) { m.chains = []string{"nftables filter FORWARD"} }, "netfilter", "", Warn, "filter FORWARD", "nft list ruleset"},
		{"rule", func(m *machine) { m.rules = []string{"ip rule 100"} }, "ip_rule", "", Warn, "ip rule 100", "ip rule show"},
		{"no native XDP", func(m *machine) { m.links[0].XDPFeatures = 0 }, "xdp", "eth0", Warn, "driver ice has no XDP", ""},
		{"no redirect", func(m *machine) { m.links[0].XDPFeatures = actBasic }, "xdp", "eth0", Warn, "cannot redirect", ""},
		{"veth without NAPI here", func(m *machine) {
			m.links[1].XDPFeatures &^= actNdoXmit
			m.links[1].PeerName = "v1"
		}, "egress", "v0", Warn, "NAPI", "ethtool -K v1 gro on"},
		{"veth without NAPI there", func(m *machine) { m.links[1].XDPFeatures &^= actNdoXmit }, "egress", "v0", Warn, "NAPI", "-K PEER gro on"},
		{"foreign", func(m *machine) { m.links[0].XDP, m.links[0].XDPName = 77, "xdp_filter" }, "foreign_xdp", "eth0", Fail, "77 (xdp_filter)", "ip link set dev eth0 xdp off"},
		{"unknown program", func(m *machine) { m.links[0].XDP = 77 }, "foreign_xdp", "eth0", Warn, "only root", "sudo weft doctor"},
		{"LRO", func(m *machine) { m.links[0].Offloads = []string{"rx-gro", "rx-lro"} }, "offloads", "eth0", Warn, "LRO", "ethtool -K eth0 lro off"},
		{"VLAN tags off", func(m *machine) {
			m.links[0].Offloads = []string{"rx-vlan-hw-parse"}
			m.link(Link{Index: 9, Peer: 2, Name: "eth0.7", Kind: "vlan"})
		}, "offloads", "eth0", Warn, "takes VLAN tags off", "ethtool -K eth0 rxvlan off"},
		{"offloads unknown", func(m *machine) { m.links[0].OffloadsFailed = errors.New("not supported") }, "offloads", "eth0", Warn, "cannot be told: not supported", ""},
		{"jumbo in one page", func(m *machine) { m.links[0].XDPFeatures &^= actRxSG }, "mtu", "eth0", Warn, "MTU 9000", "mtu 3498"},
	} {
		m := healthy()
		c.harm(m)
		found := false
		for _, f := range Examine(m, nil) {
			if f.Check != c.check || f.Subject != c.subject {
				continue
			}
			if found = true; f.Level != c.level || !strings.Contains(f.Text, c.text) || !strings.Contains(f.Mend, c.mend) || c.mend == "" && f.Mend != "" {
				t.Errorf("%s: %+v", c.name, f)
			}
		}
		if !found {
			t.Errorf("%s: nothing found", c.name)
		}
	}
}

// TestHarmless holds what is no fault.
func TestHarmless(t *testing.T) {
	m := healthy()
	m.links[0].Offloads = []string{"rx-vlan-hw-parse", "rx-vlan-filter"} // no VLAN on it
	m.links[0].XDP, m.links[0].XDPName = 5, ourProgram
	m.links = append(m.links,
		Link{Name: "lo"}, Link{Name: "down0", Ethernet: true}, Link{Name: "br0", Kind: "bridge", Ethernet: true, Up: true},
		Link{Name: "slave0", Ethernet: true, Up: true, Master: "br0"})
	for _, name := range []string{"bpf_jit_enable", "bpf_jit_harden"} {
		delete(m.files, "/proc/sys/net/core/"+name) // as in a network namespace
	}
	for _, f := range Examine(m, nil) {
		if f.Level != OK {
			t.Errorf("%+v", f)
		}
	}
}

func TestDaemonSays(t *testing.T) {
	d := &Daemon{State: "loading", Slow: []Remark{{"v0", "no NAPI"}}, Partial: []Remark{{"v0", "9 packets left to Linux"}}, Refused: []Remark{{"eth9", "foreign program"}}}
	want := map[string]Level{"daemon ": Warn, "daemon eth9": Fail, "egress v0": Warn, "offloads v0": Warn}
	for _, f := range Examine(healthy(), d) {
		if level, there := want[f.Check+" "+f.Subject]; there {
			if delete(want, f.Check+" "+f.Subject); f.Level != level {
				t.Errorf("%+v, want %s", f, level)
			}
		} else if f.Level != OK {
			t.Errorf("%+v", f)
		}
	}
	if len(want) > 0 {
		t.Errorf("not found: %v", want)
	}
}

// TestLinux looks at this machine, whatever it is.
func TestLinux(t *testing.T) {
	links, err := Linux{}.Links()
	if err != nil || len(links) == 0 {
		t.Fatalf("%d links, %v", len(links), err)
	}
	for _, l := range links {
		if l.Name == "lo" && l.Ethernet || l.Name == "" || l.Index == 0 {
			t.Errorf("%+v", l)
		}
		if l.OffloadsFailed == nil && len(l.Offloads) == 0 {
			t.Errorf("%s has no offload at all: the answer is read wrongly", l.Name)
		}
	}
	for _, f := range Examine(Linux{}, nil) {
		if f.Check == "" || f.Level == "" || f.Text == "" {
			t.Errorf("%+v", f)
		}
	}
}
