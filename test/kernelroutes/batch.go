package kernelroutes

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// batchBytes is about how many bytes of messages go to the kernel in one system call.
const batchBytes = 128 << 10

// Batch is a row of netlink requests to be sent together, in the network namespace in which it was opened; the kernel
// works them off before Send returns. One goroutine at a time may use it.
type Batch struct {
	fd       int
	messages []byte
	last     int // where the last message begins
}

// Open makes an empty Batch.
func Open() (*Batch, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4*batchBytes); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &Batch{fd: fd}, nil
}

type attr struct {
	kind  uint16
	value []byte
}

func native32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

func (b *Batch) add(kind uint16, body []byte, attrs ...attr) {
	b.last = len(b.messages)
	b.messages = append(b.messages, make([]byte, unix.SizeofNlMsghdr)...)
	b.messages = append(b.messages, body...)
	for _, a := range attrs {
		b.messages = binary.NativeEndian.AppendUint16(b.messages, uint16(unix.SizeofRtAttr+len(a.value)))
		b.messages = binary.NativeEndian.AppendUint16(b.messages, a.kind)
		b.messages = append(b.messages, a.value...)
		b.messages = append(b.messages, make([]byte, -len(a.value)&3)...)
	}
	head := b.messages[b.last:]
	binary.NativeEndian.PutUint32(head, uint32(len(head)))
	binary.NativeEndian.PutUint16(head[4:], kind)
	b.setFlags(unix.NLM_F_REQUEST | unix.NLM_F_CREATE | unix.NLM_F_EXCL)
}

// setFlags sets the flags of the last message.
func (b *Batch) setFlags(flags uint16) { binary.NativeEndian.PutUint16(b.messages[b.last+6:], flags) }

// Close ends the use of the Batch.
func (b *Batch) Close() { unix.Close(b.fd) }

// Put makes a route lead to a nexthop object, whether it is there or not.
func (b *Batch) Put(p netip.Prefix, object uint32) {
	b.route(unix.RTM_NEWROUTE, p, attr{rtaNHID, native32(object)})
	b.setFlags(unix.NLM_F_REQUEST | unix.NLM_F_CREATE | unix.NLM_F_REPLACE)
}

// Delete deletes a route.
func (b *Batch) Delete(p netip.Prefix) {
	b.route(unix.RTM_DELROUTE, p)
	b.setFlags(unix.NLM_F_REQUEST)
}

// route adds a request about a route.
func (b *Batch) route(kind uint16, p netip.Prefix, attrs ...attr) {
	// struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
	b.add(kind, []byte{familyOf(p.Addr()), byte(p.Bits()), 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, 0, unix.RTN_UNICAST, 0, 0, 0, 0},
		append([]attr{{unix.RTA_DST, p.Addr().AsSlice()}}, attrs...)...)
}

// PutObject makes a nexthop object lead to a gateway on an interface, whether it is there or not.
func (b *Batch) PutObject(id uint32, ifindex int, gateway netip.Addr) {
	b.object(familyOf(gateway), attr{unix.NHA_ID, native32(id)}, attr{unix.NHA_OIF, native32(uint32(ifindex))}, attr{unix.NHA_GATEWAY, gateway.AsSlice()})
}

// PutGroup makes a nexthop object be a group of others, of equal weight, whether it is there or not. A resilient one
// has as many buckets; with 0 it is none.
func (b *Batch) PutGroup(id uint32, members []uint32, buckets uint16) {
	var group []byte
	for _, m := range members {
		group = append(append(group, native32(m)...), 0, 0, 0, 0) // struct nexthop_grp: id, weight - 1
	}
	attrs := []attr{{unix.NHA_ID, native32(id)}, {unix.NHA_GROUP, group}}
	if buckets > 0 {
		inside := binary.NativeEndian.AppendUint16(nil, unix.SizeofNlAttr+2)
		inside = binary.NativeEndian.AppendUint16(inside, nhaResGroupBuckets)
		inside = append(binary.NativeEndian.AppendUint16(inside, buckets), 0, 0)
		attrs = append(attrs, attr{unix.NHA_GROUP_TYPE, []byte{groupTypeResilient, 0}}, attr{nhaResGroup | unix.NLA_F_NESTED, inside})
	}
	b.object(unix.AF_UNSPEC, attrs...)
}

// DeleteObject deletes a nexthop object, and with it the routes through it.
func (b *Batch) DeleteObject(id uint32) {
	b.object(unix.AF_UNSPEC, attr{unix.NHA_ID, native32(id)})
	binary.NativeEndian.PutUint16(b.messages[b.last+4:], unix.RTM_DELNEXTHOP)
	b.messages[b.last+unix.SizeofNlMsghdr+2] = 0 // it takes no protocol
	b.setFlags(unix.NLM_F_REQUEST)
}

// object adds a request for a nexthop object.
func (b *Batch) object(family byte, attrs ...attr) {
	// struct nhmsg: family, scope, protocol, reserved, flags
	b.add(unix.RTM_NEWNEXTHOP, []byte{family, 0, unix.RTPROT_STATIC, 0, 0, 0, 0, 0}, attrs...)
	b.setFlags(unix.NLM_F_REQUEST | unix.NLM_F_CREATE | unix.NLM_F_REPLACE)
}

// Of linux/nexthop.h and linux/rtnetlink.h.
const (
	rtaNHID            = 30 // RTA_NH_ID: the route goes through this nexthop object
	nhaResGroup        = 12 // NHA_RES_GROUP
	nhaResGroupBuckets = 1  // NHA_RES_GROUP_BUCKETS
	groupTypeResilient = 1  // NEXTHOP_GRP_TYPE_RES
)

func familyOf(a netip.Addr) byte {
	if a.Is6() {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// SendFull sends the batch if it is large.
func (b *Batch) SendFull() error {
	if len(b.messages) < batchBytes {
		return nil
	}
	return b.Send()
}

// Send sends the batch and empties it. Only the last request asks for an acknowledgment; a refusal is answered anyway,
// and comes first.
func (b *Batch) Send() error {
	if len(b.messages) == 0 {
		return nil
	}
	flags := b.messages[b.last+6:]
	binary.NativeEndian.PutUint16(flags, binary.NativeEndian.Uint16(flags)|unix.NLM_F_ACK)
	if err := unix.Sendto(b.fd, b.messages, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send netlink batch: %w", err)
	}
	b.messages = b.messages[:0]
	answer := make([]byte, 64<<10)
	if _, _, err := unix.Recvfrom(b.fd, answer, 0); err != nil {
		return fmt.Errorf("receive netlink answer: %w", err)
	}
	// struct nlmsgerr follows the header: a negative errno, or 0.
	if errno := -int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); errno != 0 {
		return unix.Errno(errno)
	}
	return nil
}
