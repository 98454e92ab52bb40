package afpacket

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"weft/dataplane/soft/device"
)

// header returns the header of the block that is next.
func (s *Socket) header() *unix.TpacketHdrV1 {
	const behindVersion = 8 // struct tpacket_block_desc
	return (*unix.TpacketHdrV1)(unsafe.Pointer(&s.ring[s.block*blockSize+behindVersion]))
}

// ready finds the next packet, and tells whether there is one.
func (s *Socket) ready() bool {
	for s.left == 0 && s.ring != nil {
		h := s.header()
		if atomic.LoadUint32(&h.Block_status)&unix.TP_STATUS_USER == 0 {
			return false
		}
		s.left, s.at = h.Num_pkts, uint32(s.block*blockSize)+h.Offset_to_first_pkt
		if s.left == 0 {
			s.giveBack()
		}
	}
	return s.left > 0
}

// giveBack makes the block the kernel's, and goes on with the next.
func (s *Socket) giveBack() {
	atomic.StoreUint32(&s.header().Block_status, unix.TP_STATUS_KERNEL)
	s.block++
	if s.block == s.blocks {
		s.block = 0
	}
}

// Receive implements device.Queue.
func (s *Socket) Receive(d []device.Descriptor) (n int) {
	for n < len(d) && s.ready() {
		h := (*unix.Tpacket3Hdr)(unsafe.Pointer(&s.ring[s.at]))
		if h.Len == h.Snaplen && s.vnet(h).gsoType == 0 {
			if s.pool.Get(s.frame[:]) == 0 {
				break // it can wait
			}
			d[n] = device.Descriptor{Address: s.frame[0], Length: s.copy(h), Port: s.port}
			n++
		}
		s.at += h.Next_offset
		if s.left--; s.left == 0 {
			s.giveBack()
		}
	}
	if n > 0 {
		s.received.Add(uint64(n))
	}
	return n
}

// copy brings a packet into the frame that was got, and returns its length.
func (s *Socket) copy(h *unix.Tpacket3Hdr) uint32 {
	const macs = 12
	packet := s.ring[s.at+uint32(h.Mac):][:h.Snaplen]
	frame := s.mem.Bytes()[s.frame[0]:][:s.mem.Room(s.frame[0])]
	tag := 0
	if h.Status&unix.TP_STATUS_VLAN_VALID != 0 && len(packet) >= macs {
		tag = tagLen
		tpid := uint16(unix.ETH_P_8021Q)
		if h.Status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
			tpid = h.Hv1.Vlan_tpid
		}
		tci := uint16(h.Hv1.Vlan_tci)
		copy(frame, packet[:macs])
		copy(frame[macs:], []byte{byte(tpid >> 8), byte(tpid), byte(tci >> 8), byte(tci)})
		copy(frame[macs+tagLen:], packet[macs:])
	} else {
		copy(frame, packet)
	}
	if v := s.vnet(h); v.flags&needsChecksum != 0 {
		fillChecksum(frame[:tag+len(packet)], tag+int(v.start), int(v.offset))
	}
	return uint32(tag + len(packet))
}

// vnetHeader is struct virtio_net_hdr, which stands in front of a packet.
type vnetHeader struct {
	flags, gsoType     uint8
	headerLen, gsoSize uint16
	start, offset      uint16 // of the checksum: what it is the sum of begins there, and it stands so far behind
}

const needsChecksum = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM

func (s *Socket) vnet(h *unix.Tpacket3Hdr) *vnetHeader {
	return (*vnetHeader)(unsafe.Pointer(&s.ring[s.at+uint32(h.Mac)-uint32(unsafe.Sizeof(vnetHeader{}))]))
}

// Transmit implements device.Queue.
func (s *Socket) Transmit(d []device.Descriptor) int {
	n := min(len(d), batch-len(s.queued))
	for _, one := range d[:n] {
		i := len(s.queued)
		s.iovecs[i].Base, s.iovecs[i].Len = &s.mem.Bytes()[one.Address], uint64(one.Length)
		s.queued = append(s.queued, one.Address)
	}
	if n > 0 {
		s.transmitted.Add(uint64(n))
	}
	return n
}

// Flush implements device.Queue.
func (s *Socket) Flush() {
	if len(s.queued) == 0 {
		return
	}
	s.wakeups.Add(1)
	sent, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.out), uintptr(unsafe.Pointer(&s.messages[0])), uintptr(len(s.queued)),
		unix.MSG_DONTWAIT, 0, 0)
	switch errno {
	case 0:
		s.done(int(sent))
	case unix.EAGAIN, unix.EINTR: // the send buffer is full
	case unix.ENOBUFS, unix.EMSGSIZE: // of the first
		s.refused.Add(1)
		s.done(1)
	default:
		s.errno.Store(uintptr(errno))
		s.refused.Add(uint64(len(s.queued)))
		s.done(len(s.queued))
	}
}

// done puts the first n frames that were queued into the pool.
func (s *Socket) done(n int) {
	for _, address := range s.queued[:n] {
		s.pool.Put(address)
	}
	rest := copy(s.queued, s.queued[n:])
	copy(s.iovecs, s.iovecs[n:n+rest])
	s.queued = s.queued[:rest]
}

// Pending implements device.Queue.
func (s *Socket) Pending() int { return len(s.queued) }

// FD implements device.Queue.
func (s *Socket) FD() int { return s.fd }

// Arm implements device.Queue.
func (s *Socket) Arm() bool { return s.ready() }

// Stats implements device.Queue.
func (s *Socket) Stats() device.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open && s.fd >= 0 {
		// What is read is 0 again.
		if k, err := unix.GetsockoptTpacketStatsV3(s.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			s.drops += uint64(k.Drops)
		}
	}
	stats := device.Stats{
		Received: s.received.Load(), Transmitted: s.transmitted.Load(), LostNoFrame: s.drops, LostTransmit: s.refused.Load(),
		Wakeups: s.wakeups.Load(),
	}
	if errno := unix.Errno(s.errno.Load()); errno != 0 {
		stats.Error = errno
	}
	return stats
}
