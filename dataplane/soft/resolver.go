package soft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Resolver has the kernel look for the neighbors that Workers ask for, as if it had a
// packet for them: the FIB learns of them as of all others. One goroutine at a time.
type Resolver struct{ kernel *netlink.Conn }

// NewResolver opens a socket in the network namespace of the calling thread. Needs
// CAP_NET_ADMIN.
func NewResolver() (*Resolver, error) {
	c, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{})
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket to resolve neighbors: %w", err)
	}
	return &Resolver{c}, nil
}

// Resolve has the kernel ask for a neighbor on an interface (NTF_USE, Linux 2.6), unless
// it knows it or asks already. It does not wait for the answer. One that does not answer
// is failed for the kernel then, and can be asked for again.
func (r *Resolver) Resolve(ifindex int, addr netip.Addr) error {
	err := r.use(ifindex, addr, netlink.Create|netlink.Excl)
	if errors.Is(err, unix.EEXIST) {
		var state uint16
		// One that is permanent would lose that by being used.
		if state, err = r.state(ifindex, addr); err == nil && state&(unix.NUD_PERMANENT|unix.NUD_NOARP) == 0 {
			err = r.use(ifindex, addr, 0)
		}
	}
	if err != nil {
		return fmt.Errorf("have the kernel resolve %s on interface %d: %w", addr, ifindex, err)
	}
	return nil
}

func (r *Resolver) use(ifindex int, addr netip.Addr, flags netlink.HeaderFlags) error {
	_, err := r.kernel.Execute(neighborMessage(unix.RTM_NEWNEIGH, netlink.Request|netlink.Acknowledge|flags, ifindex, addr, unix.NTF_USE))
	return err
}

// state is what the kernel knows of a neighbor that it has an entry of.
func (r *Resolver) state(ifindex int, addr netip.Addr) (uint16, error) {
	all, err := r.kernel.Execute(neighborMessage(unix.RTM_GETNEIGH, netlink.Request, ifindex, addr, 0))
	if err != nil {
		return 0, err
	}
	if len(all) != 1 || len(all[0].Data) < unix.SizeofNdMsg {
		return 0, fmt.Errorf("%d answers of the kernel about a neighbor", len(all))
	}
	return binary.NativeEndian.Uint16(all[0].Data[8:]), nil
}

// neighborMessage is a struct ndmsg, and the address behind it.
func neighborMessage(kind netlink.HeaderType, flags netlink.HeaderFlags, ifindex int, addr netip.Addr, ndFlags byte) netlink.Message {
	b := make([]byte, unix.SizeofNdMsg)
	b[0] = unix.AF_INET
	if addr.Is6() {
		b[0] = unix.AF_INET6
	}
	binary.NativeEndian.PutUint32(b[4:], uint32(ifindex))
	b[10] = ndFlags
	a := addr.AsSlice()
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(a)))
	b = binary.NativeEndian.AppendUint16(b, unix.NDA_DST)
	return netlink.Message{Header: netlink.Header{Type: kind, Flags: flags}, Data: append(b, a...)}
}

// Close closes the socket.
func (r *Resolver) Close() error { return r.kernel.Close() }
