package agreement

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setOffload switches an offload of an interface, by a command of ethtool.
func setOffload(name string, command uint32, on bool) error {
	value := struct{ command, data uint32 }{command, 0}
	if on {
		value.data = 1
	}
	request := struct { // struct ifreq
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&value)}
	copy(request.name[:], name)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return fmt.Errorf("set offload %#x of %s: %w", command, name, errno)
	}
	return nil
}
