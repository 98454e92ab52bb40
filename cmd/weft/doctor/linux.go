package doctor

import (
	"fmt"
	"net"
	"os"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Linux is the machine that the process runs on, in its network namespace.
type Linux struct{}

// Release implements Machine.
func (Linux) Release() (string, error) {
	var u unix.Utsname
	err := unix.Uname(&u)
	return unix.ByteSliceToString(u.Release[:]), err
}

// ReadFile implements Machine.
func (Linux) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }

// IsBPFFS implements Machine.
func (Linux) IsBPFFS(path string) (bool, error) {
	var st unix.Statfs_t
	err := unix.Statfs(path, &st)
	return st.Type == unix.BPF_FS_MAGIC, err
}

// PrivateMounts implements Machine.
func (Linux) PrivateMounts() (bool, error) {
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return false, err
	}
	first, err := os.Readlink("/proc/1/ns/mnt")
	return err == nil && own != first, err
}

// Memlock implements Machine.
func (Linux) Memlock() (uint64, error) {
	var r unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &r)
	return r.Cur, err
}

// AFXDP implements Machine.
func (Linux) AFXDP() error {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// Root implements Machine.
func (Linux) Root() bool { return os.Geteuid() == 0 }

// Links implements Machine.
func (Linux) Links() ([]Link, error) {
	all, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	names := map[int]string{}
	for _, nl := range all {
		names[nl.Attrs().Index] = nl.Attrs().Name
	}
	// Older kernels do not tell: XDPKnown stays false.
	features, _ := xdpFeatures()
	var links []Link
	for _, nl := range all {
		a := nl.Attrs()
		l := Link{
			Index: a.Index, Peer: a.ParentIndex, Name: a.Name, Ethernet: a.EncapType == "ether", Up: a.Flags&net.FlagUp != 0,
			MTU: a.MTU, Master: names[a.MasterIndex], Driver: driver(a.Name),
		}
		l.Offloads, l.OffloadsFailed = activeOffloads(a.Index)
		if nl.Type() != "device" {
			l.Kind = nl.Type()
		}
		if l.Kind == "tuntap" {
			l.Kind = "tun"
		}
		if a.NetNsID < 0 { // the other end is here
			l.PeerName = names[a.ParentIndex]
		}
		if a.Xdp != nil && a.Xdp.Attached {
			l.XDP, l.XDPName = int(a.Xdp.ProgId), programName(a.Xdp.ProgId)
		}
		l.XDPFeatures, l.XDPKnown = features[a.Index]
		links = append(links, l)
	}
	return links, nil
}

func driver(name string) string {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "unknown"
	}
	defer unix.Close(fd)
	d, err := unix.IoctlGetEthtoolDrvinfo(fd, name)
	if err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(d.Driver[:])
}

func programName(id uint32) string {
	prog, err := ebpf.NewProgramFromID(ebpf.ProgramID(id))
	if err != nil {
		return ""
	}
	defer prog.Close()
	i, err := prog.Info()
	if err != nil {
		return ""
	}
	return i.Name
}
