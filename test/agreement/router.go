package agreement

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/test/model"
)

// maxPorts is how many ports a State may have. They are p1 to p6.
const maxPorts = 6

// wireMTU lets the far ends of all ports send and take whatever a port does.
const wireMTU = 65535

func portName(n int) string { return fmt.Sprintf("p%d", n+1) }
func wireName(n int) string { return fmt.Sprintf("q%d", n+1) }

// portNumber is the reverse of portName.
func portNumber(name string) (int, error) {
	n, err := strconv.Atoi(strings.TrimPrefix(name, "p"))
	if err != nil || n < 1 || n > maxPorts || portName(n-1) != name {
		return 0, fmt.Errorf("port %q: want p1 to p%d", name, maxPorts)
	}
	return n - 1, nil
}

// routerSettings make a namespace a router that does no more than it is told, and
// answers at once.
var routerSettings = []string{
	"ipv4/ip_forward=1",
	"ipv6/conf/all/forwarding=1",
	"ipv6/conf/default/forwarding=1",
	"ipv6/conf/default/accept_dad=0",
	"ipv6/conf/default/addr_gen_mode=1", // none: addresses are the State's
	"ipv6/conf/default/accept_redirects=0",
	"ipv6/conf/default/mldv2_unsolicited_report_interval=100000000",
	"ipv6/auto_flowlabels=0",
	"ipv6/route/mtu_expires=0", // nothing is learned from errors
	"ipv6/icmp/ratelimit=0",
	"ipv4/icmp_msgs_per_sec=1000000", // of both families
	"ipv4/icmp_msgs_burst=1000000",
	"ipv6/ip6frag_time=36000", // no answer comes late
	"ipv4/conf/all/rp_filter=0",
	"ipv4/conf/default/rp_filter=0",
	"ipv4/conf/all/send_redirects=0",
	"ipv4/conf/default/send_redirects=0",
	"ipv4/conf/all/accept_redirects=0",
	"ipv4/conf/default/accept_redirects=0",
	"ipv4/conf/all/log_martians=0",
	"ipv4/icmp_ratelimit=0",
	"ipv4/icmp_ratemask=0",
	"ipv4/ipfrag_time=36000",
}

// wireSettings make a namespace silent.
var wireSettings = []string{
	"ipv4/ip_forward=0",
	"ipv6/conf/all/disable_ipv6=1",
	"ipv6/conf/default/disable_ipv6=1",
}

func applySettings(settings []string) error {
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		if err := sysctl(name, value); err != nil {
			return err
		}
	}
	return nil
}

// addPorts makes the ports in the thread's namespace, all down, and the far ends of
// their wires in another one.
func addPorts(wires int) error {
	for n := range maxPorts {
		v := &netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: portName(n)}, PeerName: wireName(n), PeerMTU: wireMTU, PeerNamespace: netlink.NsFd(wires),
		}
		if err := netlink.LinkAdd(v); err != nil {
			return fmt.Errorf("make port %s: %w", portName(n), err)
		}
	}
	return nil
}

// reset brings the thread's namespace to where addPorts left it. What goes with a
// link Linux does not tell of each: so routes and addresses go first.
func reset() error {
	err := errors.Join(ip(nil, "route", "flush", "table", "main"), ip(nil, "-6", "route", "flush", "table", "main"))
	var commands []string
	for n := range maxPorts {
		commands = append(commands, "addr flush dev "+portName(n), "link set "+portName(n)+" down")
	}
	return errors.Join(err, ip(commands, "-batch", "-"))
}

// crowdedMost is how long is waited for room in what all namespaces share: the tables
// of neighbors, and the memory for ICMP errors that wait for them.
const crowdedMost = 10 * time.Second

// become brings the thread's namespace from any State to another one.
func become(s *model.State) error {
	for start := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		err := errors.Join(reset(), apply(s))
		if err == nil || !strings.Contains(err.Error(), "No buffer space") || time.Since(start) > crowdedMost {
			return err
		}
	}
}

// apply gives the thread's namespace, which is as after reset, a State.
func apply(s *model.State) error {
	if err := ip(linkCommands(s), "-batch", "-"); err != nil {
		return err
	}
	for _, p := range s.Ports {
		if err := applyForwarding(&p); err != nil {
			return err
		}
	}
	if err := ip(addressCommands(s), "-batch", "-"); err != nil {
		return err
	}
	if err := awaitAddresses(s); err != nil {
		return err
	}
	return ip(ruleCommands(s), "-batch", "-")
}

// awaitAddresses waits for the routes of IPv6 addresses, which a thread of the kernel
// adds when it has the time.
func awaitAddresses(s *model.State) error {
	want := map[netip.Prefix]bool{}
	for _, p := range s.Ports {
		for _, a := range p.Addrs {
			if a.Addr().Is6() {
				want[netip.PrefixFrom(a.Addr(), 128)] = true
			}
			if a.Addr().Is6() && p.IPv6 && a.Bits() < 127 { // RFC 4291 2.6.1
				want[netip.PrefixFrom(a.Masked().Addr(), 128)] = true
			}
		}
	}
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		routes, err := netlink.RouteListFiltered(unix.AF_INET6, &netlink.Route{Table: unix.RT_TABLE_LOCAL}, netlink.RT_FILTER_TABLE)
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			return fmt.Errorf("list the routes of addresses: %w", err)
		}
		have := map[netip.Prefix]bool{}
		for _, r := range routes {
			a, _ := netip.AddrFromSlice(r.Dst.IP)
			have[netip.PrefixFrom(a, 128)] = true
		}
		missing := 0
		for p := range want {
			if !have[p] {
				missing++
			}
		}
		if missing == 0 {
			return nil
		}
		if time.Since(start) > awaitAtMost {
			return fmt.Errorf("after %v %d IPv6 addresses still have no route", awaitAtMost, missing)
		}
	}
}

// applyForwarding: a port that is too small for IPv6 (RFC 8200 5) has no settings of it.
func applyForwarding(p *model.Port) error {
	value := map[bool]string{false: "0", true: "1"}
	// A neighbor that is not known fails at once, in silence. While one is waited for it
	// holds what is sent to it; ICMP errors that are held use up the memory for all.
	neighbors := func(family string) error { return sysctl(family+"/neigh/"+p.Name+"/mcast_solicit", "0") }
	err := errors.Join(sysctl("ipv4/conf/"+p.Name+"/forwarding", value[p.IPv4]), neighbors("ipv4"))
	if p.MTU < minMTU6 {
		return err
	}
	return errors.Join(err, sysctl("ipv6/conf/"+p.Name+"/forwarding", value[p.IPv6]), neighbors("ipv6"))
}

// linkCommands makes all links of a State, up, in the words of ip(8).
func linkCommands(s *model.State) (commands []string) {
	for _, p := range s.Ports {
		commands = append(commands, fmt.Sprintf("link set %s address %s mtu %d up", p.Name, mac(p.MAC), p.MTU))
	}
	return commands
}

// addressCommands gives links their addresses.
func addressCommands(s *model.State) (commands []string) {
	for _, p := range s.Ports {
		for _, a := range p.Addrs {
			if a.Addr().Is6() {
				commands = append(commands, fmt.Sprintf("addr add %s dev %s nodad", a, p.Name))
			} else {
				commands = append(commands, fmt.Sprintf("addr add %s dev %s", a, p.Name))
			}
		}
	}
	return commands
}

// ruleCommands is all else of a State. The order is that in which things need each
// other: ports go down last, as they were up when their routes came.
func ruleCommands(s *model.State) (commands []string) {
	add := func(format string, args ...any) { commands = append(commands, fmt.Sprintf(format, args...)) }
	for _, n := range s.Neighbors {
		switch n.State {
		case model.Permanent:
			add("neigh replace %s lladdr %s nud permanent dev %s", n.Addr, mac(n.MAC), n.Port)
		case model.Failed:
			add("neigh replace %s nud failed dev %s", n.Addr, n.Port)
		}
	}
	for i := range s.Routes {
		add("route add %s", routeWords(&s.Routes[i]))
	}
	for _, p := range s.Ports {
		if p.Down {
			add("link set %s down", p.Name)
		}
	}
	return commands
}

// routeWords is a route as behind `ip route add`. Gateways are on the link whatever
// longer prefixes say.
func routeWords(r *model.Route) string {
	var b strings.Builder
	if r.Kind != model.Unicast {
		fmt.Fprintf(&b, "%s ", r.Kind)
	}
	b.WriteString(r.Prefix.String())
	if r.Metric != 0 {
		fmt.Fprintf(&b, " metric %d", r.Metric)
	}
	if r.MTU != 0 {
		fmt.Fprintf(&b, " mtu %d", r.MTU)
	}
	if r.Kind != model.Unicast {
		return b.String()
	}
	for _, h := range r.Hops {
		if len(r.Hops) > 1 {
			b.WriteString(" nexthop")
		}
		if h.Gateway.IsValid() {
			fmt.Fprintf(&b, " via%s %s", familyWord(h.Gateway, r.Prefix), h.Gateway)
		}
		fmt.Fprintf(&b, " dev %s", h.Port)
		if len(r.Hops) > 1 {
			fmt.Fprintf(&b, " weight %d", h.Weight)
		}
		if h.Gateway.IsValid() {
			b.WriteString(" onlink")
		}
	}
	return b.String()
}

// familyWord is for gateways of another family than the route (RFC 8950).
func familyWord(gateway netip.Addr, to netip.Prefix) string {
	if gateway.Is6() && to.Addr().Is4() {
		return " inet6"
	}
	return ""
}

func mac(m [6]byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// newRouter makes a router's namespace and the one its wires lead to, which may be
// the same.
func newRouter(far bool) (router, wires *namespace, err error) {
	if router, err = newNamespace(); err != nil {
		return nil, nil, err
	}
	wires = router
	if far {
		if wires, err = newNamespace(); err == nil {
			err = wires.do(func() error { return applySettings(wireSettings) })
		}
	}
	if err == nil {
		err = router.do(func() error {
			if err := applySettings(routerSettings); err != nil {
				return err
			}
			if err := addPorts(wires.fd); err != nil {
				return err
			}
			return ip([]string{"link set lo up"}, "-batch", "-")
		})
	}
	if err == nil {
		err = wires.do(setUpWires)
	}
	if err != nil {
		closeNamespaces(router, wires)
		return nil, nil, fmt.Errorf("make a router: %w", err)
	}
	return router, wires, nil
}

func closeNamespaces(router, wires *namespace) {
	if wires != nil && wires != router {
		wires.close()
	}
	router.close()
}

// setUpWires: the far ends send nothing of their own.
func setUpWires() error {
	for n := range maxPorts {
		if err := os.WriteFile(filepath.Join("/proc/sys/net/ipv6/conf", wireName(n), "disable_ipv6"), []byte("1"), 0); err != nil {
			return err
		}
		l, err := netlink.LinkByName(wireName(n))
		if err == nil {
			err = errors.Join(netlink.LinkSetARPOff(l), netlink.LinkSetUp(l))
		}
		if err == nil {
			err = setOffload(wireName(n), unix.ETHTOOL_STXCSUM, false)
		}
		if err != nil {
			return fmt.Errorf("set up wire %s: %w", wireName(n), err)
		}
	}
	return nil
}
