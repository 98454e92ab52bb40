package traffic

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Commands of linux/ethtool.h.
const (
	ethtoolSetTxChecksum = 0x17
	ethtoolSetGRO        = 0x2c
)

// EnableGRO switches generic receive offload on, at an interface of the calling thread's network namespace, as 'ethtool
// -K IF gro on'. A veth gets NAPI by it, without which nothing arrives that an XDP program redirects into its peer.
func EnableGRO(name string) error { return ethtool(name, "gro on", ethtoolSetGRO, 1) }

// FillChecksums makes the kernel fill in the checksums of what it sends itself, as 'ethtool -K IF tx off': nothing does on
// the way through a router in XDP.
func FillChecksums(name string) error { return ethtool(name, "tx off", ethtoolSetTxChecksum, 0) }

// LeaveChecksums is the reverse of FillChecksums, and how veths are made.
func LeaveChecksums(name string) error { return ethtool(name, "tx on", ethtoolSetTxChecksum, 1) }

func ethtool(name, what string, command, value uint32) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request := struct{ command, value uint32 }{command, value} // struct ethtool_value
	ifreq := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		rest [16]byte
	}{data: unsafe.Pointer(&request)}
	copy(ifreq.name[:len(ifreq.name)-1], name)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&ifreq))); errno != 0 {
		return fmt.Errorf("ethtool -K %s %s: %w", name, what, errno)
	}
	return nil
}
