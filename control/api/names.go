package api

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
)

// validUTF8 makes a name one that an answer can carry: Linux takes names of interfaces that are not UTF-8, and one of them is to
// cost no answer.
func validUTF8(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }

// Names are those of iproute2, and of the file that FRR gives it (frr.conf of rt_protos.d,
// by which the routes of staticd are of 196): what they have none for is a number.

func protocolName(p uint8) string { return nameOr(protocols[p], int(p)) }

var protocols = map[uint8]string{
	unix.RTPROT_UNSPEC: "unspec", unix.RTPROT_REDIRECT: "redirect", unix.RTPROT_KERNEL: "kernel", unix.RTPROT_BOOT: "boot",
	unix.RTPROT_STATIC: "static", unix.RTPROT_GATED: "gated", unix.RTPROT_RA: "ra", unix.RTPROT_MRT: "mrt",
	unix.RTPROT_ZEBRA: "zebra", unix.RTPROT_BIRD: "bird", unix.RTPROT_DNROUTED: "dnrouted", unix.RTPROT_XORP: "xorp",
	unix.RTPROT_NTK: "ntk", unix.RTPROT_DHCP: "dhcp", unix.RTPROT_KEEPALIVED: "keepalived", unix.RTPROT_BABEL: "babel",
	99: "openr", unix.RTPROT_BGP: "bgp", unix.RTPROT_ISIS: "isis", unix.RTPROT_OSPF: "ospf", unix.RTPROT_RIP: "rip",
	190: "ripng", 191: "nhrp", unix.RTPROT_EIGRP: "eigrp", 193: "ldp", 194: "sharp", 195: "pbr", 196: "static", 197: "openfabric",
}

func scopeName(s uint8) string { return nameOr(scopes[s], int(s)) }

var scopes = map[uint8]string{
	unix.RT_SCOPE_UNIVERSE: "global", unix.RT_SCOPE_SITE: "site", unix.RT_SCOPE_LINK: "link", unix.RT_SCOPE_HOST: "host",
	unix.RT_SCOPE_NOWHERE: "nowhere",
}

func typeName(t uint8) string { return nameOr(types[t], int(t)) }

var types = map[uint8]string{
	unix.RTN_UNSPEC: "none", unix.RTN_UNICAST: "unicast", unix.RTN_LOCAL: "local", unix.RTN_BROADCAST: "broadcast",
	unix.RTN_ANYCAST: "anycast", unix.RTN_MULTICAST: "multicast", unix.RTN_BLACKHOLE: "blackhole",
	unix.RTN_UNREACHABLE: "unreachable", unix.RTN_PROHIBIT: "prohibit", unix.RTN_THROW: "throw", unix.RTN_NAT: "nat",
	unix.RTN_XRESOLVE: "xresolve",
}

func nameOr(name string, number int) string {
	if name == "" {
		return strconv.Itoa(number)
	}
	return name
}

// stateNames are the states of a neighbor, as ip neighbor has them.
func stateNames(state uint16) (names []string) {
	for _, s := range []struct {
		bit  uint16
		name string
	}{
		{unix.NUD_INCOMPLETE, "INCOMPLETE"}, {unix.NUD_REACHABLE, "REACHABLE"}, {unix.NUD_STALE, "STALE"},
		{unix.NUD_DELAY, "DELAY"}, {unix.NUD_PROBE, "PROBE"}, {unix.NUD_FAILED, "FAILED"},
		{unix.NUD_NOARP, "NOARP"}, {unix.NUD_PERMANENT, "PERMANENT"},
	} {
		if state&s.bit != 0 {
			names = append(names, s.name)
		}
	}
	return names
}

func macOf(n *kernel.Neighbor) string {
	if !n.HasMAC {
		return ""
	}
	return n.MAC.String()
}
