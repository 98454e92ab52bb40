package daemon

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// lackedCapabilities names the capabilities that this process needs and lacks.
// CAP_SYS_ADMIN stands for those that came out of it.
func lackedCapabilities() (names []string, err error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return nil, fmt.Errorf("read capabilities: %w", err)
	}
	has := func(c int) bool { return data[c/32].Effective&(1<<(c%32)) != 0 }
	for _, c := range []struct {
		number  int
		name    string
		implied bool
	}{
		{unix.CAP_BPF, "CAP_BPF", has(unix.CAP_SYS_ADMIN)},
		{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN", false},
		{unix.CAP_PERFMON, "CAP_PERFMON", has(unix.CAP_SYS_ADMIN)},
	} {
		if !has(c.number) && !c.implied {
			names = append(names, c.name)
		}
	}
	return names, nil
}

// permitted finds out whether this process may do what a daemon does.
func permitted() error {
	lacked, err := lackedCapabilities()
	if err != nil {
		return err
	}
	if len(lacked) > 0 {
		return fmt.Errorf("%w: lacks %s", ErrPermission, strings.Join(lacked, ", "))
	}
	return nil
}
