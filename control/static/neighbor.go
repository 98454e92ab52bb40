package static

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"weft/control/config"
	"weft/control/rib"
)

// neighbor is a permanent entry of the kernel.
type neighbor struct {
	link int
	addr netip.Addr
	mac  [6]byte
}

// ndaProtocol is NDA_PROTOCOL of linux/neighbour.h: who made an entry (Linux 5.0).
const ndaProtocol = 12

// resolveNeighbors finds the links of a configuration's neighbors.
func resolveNeighbors(c *config.Config, names map[string]place) (all []neighbor, waiting []Waiting) {
	for _, n := range c.Neighbors {
		link := names[n.Dev].link
		if link == 0 {
			waiting = append(waiting, Waiting{"neighbor " + n.Addr.String(), "interface " + n.Dev})
			continue
		}
		mac, err := net.ParseMAC(n.Lladdr)
		if err != nil {
			continue // it was checked when the configuration was read
		}
		all = append(all, neighbor{link, n.Addr, [6]byte(mac)})
	}
	return all, waiting
}

// neighborWriter writes entries of weft's own.
type neighborWriter struct{ *netlink.Conn }

// writeTries is how often entries are written until it works: the kernel may lack
// memory for a moment, and what it has answered meanwhile be lost.
const writeTries = 3

// replaceNeighbors makes these the entries of weft's own, in the network namespace
// of the calling thread.
func replaceNeighbors(wanted []neighbor) (err error) {
	for range writeTries {
		var conn *netlink.Conn
		if conn, err = netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{Strict: true}); err != nil {
			err = fmt.Errorf("open netlink socket: %w", err)
			continue
		}
		err = neighborWriter{conn}.replace(wanted)
		conn.Close()
		if err == nil {
			return nil
		}
	}
	return err
}

func (w neighborWriter) replace(wanted []neighbor) error {
	there, err := w.own()
	if err != nil {
		return err
	}
	for _, n := range wanted {
		if there[n] {
			delete(there, n)
			continue
		}
		for old := range there { // replaced by what comes
			if old.link == n.link && old.addr == n.addr {
				delete(there, old)
			}
		}
		if err := w.do(unix.RTM_NEWNEIGH, netlink.Create|netlink.Replace, n); err != nil {
			return fmt.Errorf("set neighbor %s: %w", n.addr, err)
		}
	}
	for n := range there {
		if err := w.do(unix.RTM_DELNEIGH, 0, n); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove neighbor %s: %w", n.addr, err)
		}
	}
	return nil
}

func (w neighborWriter) do(kind netlink.HeaderType, flags netlink.HeaderFlags, n neighbor) error {
	a := netlink.NewAttributeEncoder()
	a.Bytes(unix.NDA_DST, n.addr.AsSlice())
	if kind == unix.RTM_NEWNEIGH {
		a.Bytes(unix.NDA_LLADDR, n.mac[:])
		a.Uint8(ndaProtocol, rib.ProtocolWeft)
	}
	attributes, err := a.Encode()
	if err != nil {
		return err
	}
	_, err = w.Execute(netlink.Message{
		Header: netlink.Header{Type: kind, Flags: netlink.Request | netlink.Acknowledge | flags},
		Data:   append(head(n.addr, n.link), attributes...),
	})
	return err
}

// head is struct ndmsg of a permanent entry.
func head(addr netip.Addr, link int) []byte {
	b := make([]byte, unix.SizeofNdMsg)
	b[0] = unix.AF_INET
	if addr.Is6() {
		b[0] = unix.AF_INET6
	}
	binary.NativeEndian.PutUint32(b[4:], uint32(link))
	binary.NativeEndian.PutUint16(b[8:], unix.NUD_PERMANENT)
	return b
}

// own returns the permanent entries that weft has made.
func (w neighborWriter) own() (map[neighbor]bool, error) {
	messages, err := w.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETNEIGH, Flags: netlink.Request | netlink.Dump}, Data: make([]byte, unix.SizeofNdMsg),
	})
	if err != nil {
		return nil, fmt.Errorf("read neighbors: %w", err)
	}
	all := map[neighbor]bool{}
	for _, m := range messages {
		if n, ok := ownEntry(m.Data); ok {
			all[n] = true
		}
	}
	return all, nil
}

func ownEntry(b []byte) (n neighbor, own bool) {
	if len(b) < unix.SizeofNdMsg || binary.NativeEndian.Uint16(b[8:])&unix.NUD_PERMANENT == 0 {
		return n, false
	}
	n.link = int(binary.NativeEndian.Uint32(b[4:]))
	a, err := netlink.NewAttributeDecoder(b[unix.SizeofNdMsg:])
	if err != nil {
		return n, false
	}
	for a.Next() {
		switch a.Type() {
		case unix.NDA_DST:
			n.addr, _ = netip.AddrFromSlice(a.Bytes())
		case unix.NDA_LLADDR:
			copy(n.mac[:], a.Bytes())
		case ndaProtocol:
			own = a.Uint8() == rib.ProtocolWeft
		}
	}
	return n, own && a.Err() == nil && n.addr.IsValid()
}
