package bgp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// advertiser sends router advertisements on one interface, and listens to those of
// others (RFC 4861). They say only that here is a router: nobody is to
// take it for a default router.
type advertiser struct {
	conn  *ipv6.PacketConn
	index int
	mac   []byte
	heard func(netip.Addr)
	ended sync.WaitGroup
	done  chan struct{}
	once  sync.Once
	ask   chan struct{} // somebody wants to know at once
}

const (
	solicitation  = 133
	advertisement = 134

	advertiseEvery = 10 * time.Second       // as FRR does
	advertiseFirst = 500 * time.Millisecond // until somebody was heard
	advertiseSoon  = 8                      // so often
	hopLimit       = 255                    // of all that has not come by a router (RFC 4861 6.1)
)

var (
	allNodes   = &net.IPAddr{IP: net.IPv6linklocalallnodes}
	allRouters = &net.IPAddr{IP: net.IPv6linklocalallrouters}
)

// advertise begins on an interface, which has a link-local address. heard is called with the
// address of each router that is heard.
func advertise(name string, mac []byte, heard func(netip.Addr)) (*advertiser, error) {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	listen := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if failed := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), name) }); failed != nil {
			return failed
		}
		return err
	}}
	socket, err := listen.ListenPacket(context.Background(), "ip6:ipv6-icmp", "::")
	if err != nil {
		return nil, fmt.Errorf("router advertisements on %s: %w", name, err)
	}
	a := &advertiser{
		conn: ipv6.NewPacketConn(socket), index: link.Index, mac: mac, heard: heard, done: make(chan struct{}), ask: make(chan struct{}, 1),
	}
	if err := a.prepare(link); err != nil {
		return nil, errors.Join(fmt.Errorf("router advertisements on %s: %w", name, err), socket.Close())
	}
	a.ended.Go(a.receive)
	a.ended.Go(a.send)
	return a, nil
}

func (a *advertiser) prepare(link *net.Interface) error {
	var filter ipv6.ICMPFilter
	filter.SetAll(true)
	filter.Accept(solicitation)
	filter.Accept(advertisement)
	return errors.Join(
		a.conn.SetICMPFilter(&filter), a.conn.SetControlMessage(ipv6.FlagHopLimit|ipv6.FlagInterface, true),
		a.conn.SetMulticastHopLimit(hopLimit), a.conn.SetMulticastInterface(link), a.conn.SetMulticastLoopback(false),
		a.conn.JoinGroup(link, allRouters),
	)
}

func (a *advertiser) stop() {
	a.once.Do(func() {
		close(a.done)
		a.conn.Close()
	})
	a.ended.Wait()
}

// send advertises until the end: soon at first, and when somebody asks.
func (a *advertiser) send() {
	for n := 0; ; n++ {
		every := advertiseEvery
		if n < advertiseSoon {
			every = advertiseFirst
			a.write(allRouters, message(solicitation, 8, a.mac))
		}
		a.write(allNodes, message(advertisement, 16, a.mac))
		wait := time.NewTimer(every)
		select {
		case <-a.done:
			wait.Stop()
			return
		case <-a.ask:
		case <-wait.C:
		}
		wait.Stop()
	}
}

// write sends, or fails: then the interface goes, and somebody else sees to it.
func (a *advertiser) write(to net.Addr, b []byte) { a.conn.WriteTo(b, nil, to) } //nolint:errcheck // see above

// message returns a message without content: all its fields are 0, lifetimes among them.
// The kernel fills in the checksum.
func message(kind byte, size int, mac []byte) []byte {
	b := make([]byte, size)
	b[0] = kind
	if len(mac) == 6 {
		b = append(append(b, 1, 1), mac...) // source link-layer address, 8 bytes
	}
	return b
}

// receive listens until the end.
func (a *advertiser) receive() {
	b := make([]byte, 1500)
	for {
		n, control, from, err := a.conn.ReadFrom(b)
		select {
		case <-a.done:
			return
		default:
		}
		if err != nil {
			if !a.pause() {
				return
			}
			continue
		}
		addr, ok := sender(from)
		if !ok || n < 8 || control == nil || control.HopLimit != hopLimit || control.IfIndex != a.index {
			continue
		}
		switch b[0] {
		case advertisement:
			a.heard(addr)
		case solicitation:
			select {
			case a.ask <- struct{}{}:
			default:
			}
		}
	}
}

// pause waits a moment after an error: the interface is down, say. false: it is the end.
func (a *advertiser) pause() bool {
	select {
	case <-a.done:
		return false
	case <-time.After(advertiseFirst):
		return true
	}
}

func sender(from net.Addr) (netip.Addr, bool) {
	ip, ok := from.(*net.IPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	addr, ok := netip.AddrFromSlice(ip.IP)
	return addr, ok && isLinkLocal(addr)
}
