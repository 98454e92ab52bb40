package xsk

import (
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// channels is struct ethtool_channels.
type channels struct {
	cmd                                 uint32
	maxRx, maxTx, maxOther, maxCombined uint32
	rx, tx, other, combined             uint32
}

// Queues returns how many queues an interface has that packets come in by: each needs a Socket, or its packets go to
// the kernel. It is 1 where the driver does not tell.
func Queues(ifindex int) int {
	i, err := net.InterfaceByIndex(ifindex)
	if err != nil {
		return 0
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 1
	}
	defer unix.Close(fd)
	ch := channels{cmd: unix.ETHTOOL_GCHANNELS}
	ifreq := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		rest [16]byte
	}{data: unsafe.Pointer(&ch)}
	copy(ifreq.name[:unix.IFNAMSIZ-1], i.Name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&ifreq)))
	if errno != 0 {
		return 1
	}
	return max(1, int(ch.rx+ch.combined))
}
