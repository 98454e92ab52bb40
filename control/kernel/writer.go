package kernel

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const (
	writerBatch  = 60 << 10 // bytes sent at once
	writerBuffer = 4 << 20  // for answers: one for each message that the kernel refuses
	writerWait   = 5 * time.Second
)

// Writer changes next-hop objects and routes of the network namespace in which it
// was opened. Changes are collected, and sent by Flush. One goroutine at a time may
// use it.
type Writer struct {
	fd      int
	buf     []byte
	last    int    // where the last message begins
	first   uint32 // sequence number of the first message
	results []error
	answer  []byte
}

// OpenWriter opens a socket in the network namespace of the calling thread. To use
// it needs CAP_NET_ADMIN there.
func OpenWriter() (*Writer, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	w := &Writer{fd: fd, first: 1, answer: make([]byte, receiveBuffer)}
	// Why a message is refused in words, but not the message again.
	for _, option := range []int{unix.NETLINK_EXT_ACK, unix.NETLINK_CAP_ACK} {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, option, 1)
		}
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, writerBuffer)
	}
	if err == nil {
		wait := unix.NsecToTimeval(writerWait.Nanoseconds())
		err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set up netlink socket: %w", err)
	}
	return w, nil
}

// Close closes the socket.
func (w *Writer) Close() error { return unix.Close(w.fd) }

// How says what becomes of what is there already.
type How uint16

// Ways to set something.
const (
	Create  How = unix.NLM_F_CREATE | unix.NLM_F_EXCL    // EEXIST if it is there
	Upsert  How = unix.NLM_F_CREATE | unix.NLM_F_REPLACE // instead of what is there, at once
	nothing How = 0
)

// Refused is the kernel's answer to a change. It unwraps to the number.
type Refused struct {
	Errno unix.Errno
	Text  string // of the kernel; "": it gave none
}

func (r *Refused) Error() string {
	if r.Text == "" {
		return r.Errno.Error()
	}
	return fmt.Sprintf("%s (%s)", r.Text, r.Errno.Error())
}

// Unwrap returns the number.
func (r *Refused) Unwrap() error { return r.Errno }

// IsFull reports whether Flush is to be called before the next change.
func (w *Writer) IsFull() bool { return len(w.buf) >= writerBatch }

// Flush sends what is collected. results[i] is the answer to the change i: nil or
// a *Refused; it is valid until the next change is collected.
//
// Errors: that of the socket. It is not known then which of the changes are made.
func (w *Writer) Flush() (results []error, err error) {
	results = w.results
	if len(results) == 0 {
		return nil, nil
	}
	flags := w.buf[w.last+6:]
	binary.NativeEndian.PutUint16(flags, binary.NativeEndian.Uint16(flags)|unix.NLM_F_ACK)
	first := w.first
	w.first += uint32(len(results))
	err = unix.Sendto(w.fd, w.buf, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	w.buf, w.results = w.buf[:0], w.results[:0]
	if err != nil {
		return nil, fmt.Errorf("send %d changes: %w", len(results), err)
	}
	for done := false; !done; {
		n, _, err := unix.Recvfrom(w.fd, w.answer, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("receive the answers to %d changes: %w", len(results), err)
		}
		done = takeAnswers(w.answer[:n], first, results)
	}
	return results, nil
}

// takeAnswers reads NLMSG_ERROR messages, and reports whether the last change is
// answered: it is the one that is acknowledged in any case.
func takeAnswers(b []byte, first uint32, results []error) (done bool) {
	for len(b) >= unix.SizeofNlMsghdr {
		n := int(binary.NativeEndian.Uint32(b))
		if n < unix.SizeofNlMsghdr || n > len(b) {
			return false
		}
		i := binary.NativeEndian.Uint32(b[8:]) - first // huge: the answer to a batch that was given up
		if binary.NativeEndian.Uint16(b[4:]) == unix.NLMSG_ERROR && n >= unix.SizeofNlMsghdr+4 && int64(i) < int64(len(results)) {
			results[i] = refusal(b[unix.SizeofNlMsghdr:n], binary.NativeEndian.Uint16(b[6:]))
			done = done || int(i) == len(results)-1
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return done
}

// refusal reads struct nlmsgerr: an error, the header it is about, and attributes.
func refusal(b []byte, flags uint16) error {
	number := int32(binary.NativeEndian.Uint32(b))
	if number == 0 {
		return nil
	}
	r := &Refused{Errno: unix.Errno(-number)}
	const head = 4 + unix.SizeofNlMsghdr
	if flags&unix.NLM_F_ACK_TLVS == 0 || len(b) < head {
		return r
	}
	for a := newAttributes(b[head:]); a.next(); {
		if a.kind == unix.NLMSGERR_ATTR_MSG {
			r.Text = a.text()
		}
	}
	return r
}

// SetNextHop collects a next-hop object. Of a hop with a gateway the kernel does
// not ask whether the gateway is in a subnet of the link (RTNH_F_ONLINK).
func (w *Writer) SetNextHop(n *NextHop, how How) {
	w.begin(unix.RTM_NEWNEXTHOP, how)
	family, flags := uint8(unix.AF_UNSPEC), uint32(0)
	if !n.IsGroup() {
		family = unix.AF_INET6 // of a link alone: good for both
		if n.Hop.Gateway.IsValid() {
			family, flags = familyOf(n.Hop.Gateway), unix.RTNH_F_ONLINK
		}
	}
	w.buf = append(w.buf, family, 0, n.Protocol, 0) // struct nhmsg
	w.buf = binary.NativeEndian.AppendUint32(w.buf, flags)
	w.number(unix.NHA_ID, n.ID)
	if n.IsGroup() {
		end := w.open(unix.NHA_GROUP)
		for _, m := range n.Members {
			weight := m.Weight - 1 // above 255 from Linux 6.12 on
			w.buf = binary.NativeEndian.AppendUint32(w.buf, m.ID)
			w.buf = append(w.buf, byte(weight), byte(weight>>8), 0, 0)
		}
		end()
	} else {
		w.number(unix.NHA_OIF, uint32(n.Hop.Link))
		if n.Hop.Gateway.IsValid() {
			w.address(unix.NHA_GATEWAY, n.Hop.Gateway)
		}
	}
	w.end()
}

// DeleteNextHop collects the end of a next-hop object, and of the routes that
// name it.
func (w *Writer) DeleteNextHop(id uint32) {
	w.begin(unix.RTM_DELNEXTHOP, nothing)
	w.buf = append(w.buf, make([]byte, unix.SizeofNhmsg)...)
	w.number(unix.NHA_ID, id)
	w.end()
}

// SetRoute collects a route: Prefix, Table, Type, Protocol, Metric, MTU and
// NextHop; Hops are not sent.
func (w *Writer) SetRoute(r *Route, how How) {
	w.begin(unix.RTM_NEWROUTE, how)
	w.route(r)
	if r.NextHop != 0 {
		w.number(rtaNHID, r.NextHop)
	}
	if r.MTU != 0 {
		end := w.open(unix.RTA_METRICS)
		w.number(unix.RTAX_MTU, r.MTU)
		end()
	}
	w.end()
}

// DeleteRoute collects the end of a route, named by Prefix, Table, Type, Protocol
// and Metric: that of another protocol stays.
func (w *Writer) DeleteRoute(r *Route) {
	w.begin(unix.RTM_DELROUTE, nothing)
	w.route(r)
	w.buf[w.last+unix.SizeofNlMsghdr+6] = unix.RT_SCOPE_NOWHERE // rtm_scope: any
	w.end()
}

// route appends what a route is told by.
func (w *Writer) route(r *Route) {
	table := uint8(unix.RT_TABLE_COMPAT)
	if r.Table < 256 {
		table = uint8(r.Table)
	}
	// struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
	w.buf = append(w.buf, familyOf(r.Prefix.Addr()), uint8(r.Prefix.Bits()), 0, 0, table, r.Protocol, unix.RT_SCOPE_UNIVERSE, r.Type, 0, 0, 0, 0)
	w.address(unix.RTA_DST, r.Prefix.Addr())
	w.number(unix.RTA_PRIORITY, r.Metric)
	if r.Table >= 256 {
		w.number(unix.RTA_TABLE, r.Table)
	}
}

func familyOf(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// begin appends a header; end writes its length.
func (w *Writer) begin(kind uint16, how How) {
	w.last = len(w.buf)
	w.buf = append(w.buf, 0, 0, 0, 0)
	w.buf = binary.NativeEndian.AppendUint16(w.buf, kind)
	w.buf = binary.NativeEndian.AppendUint16(w.buf, unix.NLM_F_REQUEST|uint16(how))
	w.buf = binary.NativeEndian.AppendUint32(w.buf, w.first+uint32(len(w.results)))
	w.buf = append(w.buf, 0, 0, 0, 0)
}

func (w *Writer) end() {
	binary.NativeEndian.PutUint32(w.buf[w.last:], uint32(len(w.buf)-w.last))
	w.results = append(w.results, nil)
}

func (w *Writer) number(kind uint16, n uint32) {
	w.buf = binary.NativeEndian.AppendUint16(w.buf, attributeHeader+4)
	w.buf = binary.NativeEndian.AppendUint16(w.buf, kind)
	w.buf = binary.NativeEndian.AppendUint32(w.buf, n)
}

func (w *Writer) address(kind uint16, a netip.Addr) {
	end := w.open(kind)
	if a.Is4() {
		b := a.As4()
		w.buf = append(w.buf, b[:]...)
	} else {
		b := a.As16()
		w.buf = append(w.buf, b[:]...)
	}
	end()
}

// open begins an attribute of a length that is known when end is called.
func (w *Writer) open(kind uint16) (end func()) {
	at := len(w.buf)
	w.buf = append(w.buf, 0, 0)
	w.buf = binary.NativeEndian.AppendUint16(w.buf, kind)
	return func() { binary.NativeEndian.PutUint16(w.buf[at:], uint16(len(w.buf)-at)) }
}
