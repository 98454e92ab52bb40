package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// receiveBuffer holds the largest message that the kernel sends: 32 KiB of a
// dump, or one link with hundreds of virtual functions.
const receiveBuffer = 64 << 10

// ErrInterrupted: tables changed while they were dumped (NLM_F_DUMP_INTR), so
// that something may be missing or stand twice.
var ErrInterrupted = errors.New("dump was interrupted by a change")

// Conn asks the kernel about the network namespace in which it was opened. One
// goroutine at a time may use it.
type Conn struct{ conn *netlink.Conn }

// Open opens a connection in the network namespace of the calling thread, for
// good. Needs Linux 4.20 (NETLINK_GET_STRICT_CHK).
func Open() (*Conn, error) {
	conn, err := dial(0)
	if err != nil {
		return nil, err
	}
	return &Conn{conn}, nil
}

func dial(groups uint32) (*netlink.Conn, error) {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{
		Groups: groups, Strict: true, MessageBufferSize: receiveBuffer,
	})
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	return conn, nil
}

// Close closes the connection.
func (c *Conn) Close() error { return c.conn.Close() }

// Tables.
var (
	Links         = Table{unix.RTM_GETLINK, append(make([]byte, unix.SizeofIfInfomsg), skipStatistics...)}
	Addrs         = Table{unix.RTM_GETADDR, make([]byte, unix.SizeofIfAddrmsg)}
	NeighborsIPv4 = Table{unix.RTM_GETNEIGH, ofFamily(unix.AF_INET, unix.SizeofNdMsg)}
	NeighborsIPv6 = Table{unix.RTM_GETNEIGH, ofFamily(unix.AF_INET6, unix.SizeofNdMsg)}
	NextHops      = Table{unix.RTM_GETNEXTHOP, make([]byte, unix.SizeofNhmsg)} // Linux 5.3: before, EOPNOTSUPP
	RoutesIPv4    = Table{unix.RTM_GETROUTE, ofFamily(unix.AF_INET, unix.SizeofRtMsg)}
	RoutesIPv6    = Table{unix.RTM_GETROUTE, ofFamily(unix.AF_INET6, unix.SizeofRtMsg)}
)

// Table is what Dump asks for.
type Table struct {
	kind uint16
	body []byte
}

// RoutesOf are the routes of a protocol (RTPROT_*) and a family, in all tables.
func RoutesOf(family, protocol uint8) Table {
	body := ofFamily(family, unix.SizeofRtMsg)
	body[5] = protocol // rtm_protocol
	return Table{unix.RTM_GETROUTE, body}
}

// skipStatistics is IFLA_EXT_MASK with RTEXT_FILTER_SKIP_STATS.
var skipStatistics = attribute(unix.IFLA_EXT_MASK, binary.NativeEndian.AppendUint32(nil, 1<<3))

func ofFamily(family byte, size int) []byte {
	b := make([]byte, size)
	b[0] = family
	return b
}

// attribute makes one, of a value whose length is a multiple of 4 bytes.
func attribute(kind uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(attributeHeader+len(value)))
	return append(binary.NativeEndian.AppendUint16(b, kind), value...)
}

// Dump asks for a table and calls each with the payload of every message of
// the answer, valid until each returns.
//
// Errors: ErrInterrupted, after the whole answer; those of the kernel.
func (c *Conn) Dump(t Table, each func(payload []byte)) error {
	ask := netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(t.kind), Flags: netlink.Request | netlink.Dump},
		Data:   t.body,
	}
	sent, err := c.conn.Send(ask)
	if err != nil {
		return fmt.Errorf("ask for dump %d: %w", t.kind, err)
	}
	interrupted := false
	for m, err := range c.conn.ReceiveIter() {
		if err != nil {
			return fmt.Errorf("receive dump %d: %w", t.kind, err)
		}
		if m.Header.Sequence != sent.Header.Sequence {
			continue // of a question that was given up
		}
		interrupted = interrupted || m.Header.Flags&unix.NLM_F_DUMP_INTR != 0
		each(m.Data)
	}
	if interrupted {
		return fmt.Errorf("dump %d: %w", t.kind, ErrInterrupted)
	}
	return nil
}

// UseNeighbor tells the kernel that a neighbor is in use, as one of its own
// packets would: if the entry is stale the kernel asks the neighbor whether it
// is still there, and drops the entry if it is not (NTF_USE, Linux 2.6).
//
// Errors: those of the kernel: ENOENT when the entry has gone.
func (c *Conn) UseNeighbor(link int, addr netip.Addr) error {
	body := ofFamily(unix.AF_INET, unix.SizeofNdMsg)
	if addr.Is6() {
		body[0] = unix.AF_INET6
	}
	binary.NativeEndian.PutUint32(body[4:], uint32(link))
	body[10] = unix.NTF_USE
	body = append(body, attribute(unix.NDA_DST, addr.AsSlice())...)
	_, err := c.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_NEWNEIGH, Flags: netlink.Request | netlink.Acknowledge},
		Data:   body,
	})
	if err != nil {
		return fmt.Errorf("use neighbor %s: %w", addr, err)
	}
	return nil
}
