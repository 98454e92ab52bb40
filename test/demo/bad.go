package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"weft/test/traffic"
)

// badPackets is how many there are of each kind.
const badPackets = 1000

// sendBadPackets sends, from h1, packets that no router may forward.
func (s *show) sendBadPackets() error {
	spec, err := s.spec()
	if err != nil {
		return err
	}
	spec.Dst = spec.Dst[:1]
	return s.lab.In("h1", func() error {
		if spec.Ifindex, err = ifindex("eth0"); err != nil {
			return err
		}
		g, err := traffic.NewGenerator(spec)
		if err != nil {
			return err
		}
		defer g.Close()
		var bad [][]byte
		for _, spoil := range []func(ip []byte){
			func(ip []byte) { ip[8] = 1; setChecksum(ip) },
			func(ip []byte) { ip[10] ^= 0xff },
			func(ip []byte) { copy(ip[12:], netip.MustParseAddr("127.0.0.1").AsSlice()); setChecksum(ip) },
			func(ip []byte) { copy(ip[16:], netip.MustParseAddr("10.99.99.99").AsSlice()); setChecksum(ip) },
		} {
			frame := append([]byte{}, g.Frame(0)...)
			spoil(frame[14:34])
			bad = append(bad, frame)
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("send bad packets: %w", err)
		}
		defer unix.Close(fd)
		for range badPackets {
			for _, frame := range bad {
				if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: spec.Ifindex}); err != nil {
					return fmt.Errorf("send bad packets: %w", err)
				}
			}
		}
		return nil
	})
}

// setChecksum computes an IPv4 header's checksum (RFC 1071).
func setChecksum(ip []byte) {
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], traffic.Checksum(ip))
}
