package doctor

import (
	"fmt"
	"strings"
)

func forwarding(p *patient) []Finding {
	var all []Finding
	forwards := 0
	for _, l := range p.links {
		v4, err4 := p.setting("net/ipv4/conf/" + l.Name + "/forwarding")
		v6, err6 := p.setting("net/ipv6/conf/" + l.Name + "/forwarding")
		var on []string
		if err4 == nil && v4 == "1" {
			on = append(on, "IPv4")
		}
		if err6 == nil && v6 == "1" {
			on = append(on, "IPv6")
		}
		if len(on) == 0 {
			all = append(all, Finding{"", l.Name, Warn, "forwards neither IPv4 nor IPv6, so it is no port",
				fmt.Sprintf("sudo sysctl -w net.ipv4.conf.%s.forwarding=1 net.ipv6.conf.%s.forwarding=1", l.Name, l.Name)})
			continue
		}
		forwards++
		all = append(all, ok(l.Name, "forwards %s", strings.Join(on, " and ")))
	}
	switch {
	case len(p.links) == 0:
		return one(Finding{"", "", Fail, "no Ethernet interface is up that could be a port", "ip link"})
	case forwards == 0:
		all = append(one(Finding{"", "", Fail, "no interface forwards", "sudo sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"}), all...)
	}
	return all
}

// rpFilter warns of the strict filter: XDP does not know it.
func rpFilter(p *patient) []Finding {
	global, err := p.setting("net/ipv4/conf/all/rp_filter")
	if err != nil {
		return one(unknown("", "rp_filter", err))
	}
	var all []Finding
	for _, l := range p.links {
		own, err := p.setting("net/ipv4/conf/" + l.Name + "/rp_filter")
		if err != nil {
			all = append(all, unknown(l.Name, "rp_filter", err))
		} else if max(global, own) == "1" {
			all = append(all, Finding{"", l.Name, Warn,
				"rp_filter is strict: Linux drops packets whose way back is another; weft forwards them",
				fmt.Sprintf("sudo sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.%s.rp_filter=0   (or filter with nftables in front)", l.Name)})
		}
	}
	if len(all) == 0 {
		all = one(ok("", "no interface filters by the way back"))
	}
	return all
}

func nativeXDP(p *patient) []Finding {
	var all []Finding
	for _, l := range p.links {
		switch {
		case !l.isWire():
			continue
		case !l.XDPKnown:
			all = append(all, ok(l.Name, "driver %s: this kernel does not tell what XDP it has (Linux 6.3 does)", l.Driver))
		case l.XDPFeatures&actBasic == 0:
			all = append(all, Finding{"", l.Name, Warn, "driver " + l.Driver + " has no XDP of its own: weft takes packets behind it, slower", ""})
		case l.XDPFeatures&actRedirect == 0:
			all = append(all, Finding{"", l.Name, Warn, "driver " + l.Driver + " cannot redirect in XDP: weft takes packets behind it, slower", ""})
		default:
			all = append(all, ok(l.Name, "driver %s has XDP", l.Driver))
		}
	}
	return all
}

// egress finds interfaces that lose what is redirected to them.
func egress(p *patient) []Finding {
	var all []Finding
	told := map[string]bool{}
	for _, l := range p.links {
		if !l.isWire() || !l.XDPKnown || l.XDPFeatures&actNdoXmit != 0 {
			continue
		}
		f := Finding{"", l.Name, Warn, "driver " + l.Driver + " takes no frames from XDP: they leave through Linux, slower", ""}
		if l.Kind == "veth" {
			f.Text = "its other end has neither an XDP program nor NAPI, so it takes no frames from XDP: they leave through Linux, slower"
			// Where GRO was switched on while the link was down, "on" alone changes nothing.
			f.Mend = "sudo ethtool -K PEER gro off && sudo ethtool -K PEER gro on   (at the other end)"
			if l.PeerName != "" {
				f.Mend = fmt.Sprintf("sudo ethtool -K %[1]s gro off && sudo ethtool -K %[1]s gro on", l.PeerName)
			}
		}
		told[l.Name] = true
		all = append(all, f)
	}
	if p.daemon != nil {
		for _, r := range p.daemon.Slow {
			if !told[r.Dev] {
				all = append(all, Finding{"", r.Dev, Warn, "frames leave through Linux: " + r.Text, ""})
			}
		}
	}
	if len(all) == 0 && len(p.links) > 0 {
		all = one(ok("", "no interface is known to lose frames that XDP sends"))
	}
	return all
}

// ourProgram is the name of weft's XDP program.
const ourProgram = "weft"

func foreignXDP(p *patient) []Finding {
	var all []Finding
	for _, l := range p.links {
		switch {
		case l.XDP == 0 || l.XDPName == ourProgram:
		case l.XDPName == "":
			all = append(all, Finding{"", l.Name, Warn, fmt.Sprintf("has XDP program %d; only root can tell whether it is weft's", l.XDP), "sudo weft doctor"})
		default:
			all = append(all, Finding{"", l.Name, Fail, fmt.Sprintf("has XDP program %d (%s), which is not weft's: weft does not replace it", l.XDP, l.XDPName),
				fmt.Sprintf("sudo ip link set dev %s xdp off", l.Name)})
		}
	}
	if len(all) == 0 {
		all = one(ok("", "no interface has a foreign XDP program"))
	}
	return all
}

func offloads(p *patient) []Finding {
	var all []Finding
	if p.daemon != nil {
		for _, r := range p.daemon.Partial {
			all = append(all, Finding{"", r.Dev, Warn, r.Text, ""})
		}
	}
	for _, l := range p.links {
		if l.OffloadsFailed != nil {
			all = append(all, unknown(l.Name, "offloads", l.OffloadsFailed))
			continue
		}
		for _, o := range l.Offloads {
			if f := p.offload(&l, o); f.Level != "" {
				all = append(all, f)
			}
		}
	}
	if len(all) == 0 {
		all = one(ok("", "no offload is on that hurts"))
	}
	return all
}

func (p *patient) offload(l *Link, name string) Finding {
	off := func(feature string) string { return fmt.Sprintf("sudo ethtool -K %s %s off", l.Name, feature) }
	switch {
	case name == "rx-lro":
		return Finding{"", l.Name, Warn, "LRO puts packets together: they cannot be forwarded, and XDP is refused", off("lro")}
	case name == "rx-vlan-hw-parse" && p.hasVLANs(l):
		return Finding{"", l.Name, Warn, "the card takes VLAN tags off, so XDP does not see them", off("rxvlan")}
	case name == "rx-vlan-filter" && p.hasVLANs(l) && l.Kind == "":
		return Finding{"", l.Name, Warn, "the card drops VLANs that it was not told of", off("rx-vlan-filter")}
	}
	return Finding{}
}

func (p *patient) hasVLANs(l *Link) bool {
	for _, other := range p.links {
		if other.Kind == "vlan" && other.Peer == l.Index {
			return true
		}
	}
	return false
}

// xdpMTU is what fits into a page of 4096 bytes with headroom and what the
// kernel keeps behind a packet: where frames are not in several pages.
const xdpMTU = 3506

func mtu(p *patient) []Finding {
	var all []Finding
	for _, l := range p.links {
		if l.isWire() && l.MTU > xdpMTU && l.XDPKnown && l.XDPFeatures&actBasic != 0 && l.XDPFeatures&actRxSG == 0 {
			all = append(all, Finding{"", l.Name, Warn,
				fmt.Sprintf("MTU %d is more than driver %s takes with XDP in one page (about %d)", l.MTU, l.Driver, xdpMTU),
				fmt.Sprintf("sudo ip link set dev %s mtu 3498", l.Name)})
		}
	}
	if len(all) == 0 && len(p.links) > 0 {
		all = one(ok("", "no MTU is too large for XDP"))
	}
	return all
}
