package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
)

// headers is what there is to say of a frame's headers. Of a frame that is too
// short, what could be read.
type headers struct {
	dmac, smac   net.HardwareAddr
	vlans        []uint16
	etherType    uint16
	network, end int // where the network header begins, and where it ends
	version      int
	src, dst     string
	ttl          uint8
	length       int // of the IP packet, bytes
	protocol     uint8
	sport, dport uint16
	checksum     string // "ok", "wrong"; "": there is none
}

func decode(frame []byte) *headers {
	h := &headers{end: len(frame)}
	if len(frame) < 14 {
		return h
	}
	h.dmac, h.smac = net.HardwareAddr(frame[:6]), net.HardwareAddr(frame[6:12])
	at := 12
	h.etherType = binary.BigEndian.Uint16(frame[at:])
	for (h.etherType == 0x8100 || h.etherType == 0x88a8) && len(frame) >= at+6 {
		h.vlans = append(h.vlans, binary.BigEndian.Uint16(frame[at+2:])&0xfff)
		at += 4
		h.etherType = binary.BigEndian.Uint16(frame[at:])
	}
	h.network = at + 2
	h.end = h.network
	switch ip := frame[h.network:]; {
	case h.etherType == 0x0800 && len(ip) >= 20:
		h.ipv4(ip)
	case h.etherType == 0x86dd && len(ip) >= 40:
		h.ipv6(ip)
	}
	return h
}

func (h *headers) ipv4(ip []byte) {
	n := min(max(int(ip[0]&15)*4, 20), len(ip))
	h.version, h.ttl, h.protocol, h.length = 4, ip[8], ip[9], int(binary.BigEndian.Uint16(ip[2:]))
	h.src, h.dst = netip.AddrFrom4([4]byte(ip[12:16])).String(), netip.AddrFrom4([4]byte(ip[16:20])).String()
	h.end += n
	sum := uint32(0)
	for i := 0; i+1 < n; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	h.checksum = "wrong"
	if sum == 0xffff {
		h.checksum = "ok"
	}
	h.transport(ip[n:])
}

func (h *headers) ipv6(ip []byte) {
	h.version, h.ttl, h.protocol, h.length = 6, ip[7], ip[6], 40+int(binary.BigEndian.Uint16(ip[4:]))
	h.src, h.dst = netip.AddrFrom16([16]byte(ip[8:24])).String(), netip.AddrFrom16([16]byte(ip[24:40])).String()
	h.end += 40
	h.transport(ip[40:])
}

func (h *headers) transport(b []byte) {
	if (h.protocol == 6 || h.protocol == 17) && len(b) >= 4 {
		h.sport, h.dport = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	}
}

func (h *headers) tags() string {
	s := ""
	for _, id := range h.vlans {
		s += fmt.Sprintf(" vlan %d", id)
	}
	return s
}

// link is the Ethernet header in words.
func (h *headers) link() string {
	if h.dmac == nil {
		return fmt.Sprintf("%d bytes, no Ethernet header", h.end)
	}
	return fmt.Sprintf("%s -> %s%s type 0x%04x", h.smac, h.dmac, h.tags(), h.etherType)
}

// ip is the network header in words.
func (h *headers) ip() string {
	if h.version == 0 {
		return h.link()
	}
	name := fmt.Sprintf("proto %d", h.protocol)
	switch h.protocol {
	case 1, 58:
		name = "icmp"
	case 6:
		name = "tcp"
	case 17:
		name = "udp"
	}
	src, dst := h.src, h.dst
	if h.sport|h.dport != 0 {
		src = net.JoinHostPort(src, fmt.Sprint(h.sport))
		dst = net.JoinHostPort(dst, fmt.Sprint(h.dport))
	}
	s := fmt.Sprintf("ipv%d %s %s -> %s ttl %d len %d", h.version, name, src, dst, h.ttl, h.length)
	if h.checksum != "" {
		s += " checksum " + h.checksum
	}
	return s
}
