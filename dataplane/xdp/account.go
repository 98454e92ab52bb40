package xdp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"weft/dataplane"
)

// lookEvery is the time between two looks at what Linux says of ports. A packet that
// one of both has counted the other has counted by the next look: some drivers tell
// their counters once a second.
var lookEvery = 2 * time.Second

// account is what Linux and weft have counted of what came in by a port. They are
// not read at one moment, and Linux has begun earlier: but at a look Linux has
// counted what weft had counted at the look before, and the reverse. So the
// difference of both lies between two bounds, and only packets that got away
// uncounted raise it.
type account struct {
	looked      bool
	linux, weft int64 // at the last look
	bounded     bool
	most        int64 // that the difference can be unless packets get away from now on
	unaccounted uint64
	reason      string
}

// take takes what both count now, and tells how many packets have got away that
// were not known of.
func (a *account) take(linux, weft int64) (grown uint64) {
	least, most := a.linux-weft, linux-a.weft
	switch {
	case !a.looked:
	case !a.bounded:
		a.bounded, a.most = true, most
	case least > a.most:
		grown = uint64(least - a.most)
		a.unaccounted += grown
		a.most = least
	default:
		a.most = min(a.most, most)
	}
	a.looked, a.linux, a.weft = true, linux, weft
	return grown
}

// restart is for when what weft has counted goes back, or is not to be compared.
// What was found stays.
func (a *account) restart() { a.looked, a.bounded = false, false }

// lookAtAccounts compares the counters of all ports with Linux's.
func (e *Engine) lookAtAccounts() error {
	linux, err := receivedByLinux()
	if err != nil {
		return fmt.Errorf("read what Linux has received: %w", err)
	}
	weft := map[*port]int64{} // by the port at the root: its VLANs' frames are its frames
	for _, p := range e.ports {
		c := e.counted(p.Number)
		weft[p.root] += int64(c.Received().Packets)
	}
	for p, counted := range weft {
		a := &p.account
		r, ok := linux[uint32(p.Ifindex)]
		switch {
		case !ok: // the interface is gone
			a.restart()
		case p.Mode == dataplane.TC && merges(p.Ifindex):
			a.restart()
			if a.unaccounted == 0 {
				a.reason = fmt.Sprintf("not known: GRO merges packets before tc counts them: 'ethtool -K %s gro off' ends that", p.Name)
			}
		default:
			if a.take(r.packets, counted+r.dropped) > 0 {
				a.reason = e.whyUnaccounted(p)
			} else if a.unaccounted == 0 {
				a.reason = ""
			}
		}
	}
	return nil
}

// received is what the driver of an interface says: packets that came in, and those
// of them that it had to drop before any program saw them.
type received struct{ packets, dropped int64 }

// Where struct rtnl_link_stats64 of linux/if_link.h has them, in 64-bit words.
const (
	rxPackets = 0
	rxDropped = 6
)

// receivedByLinux reads the statistics of all interfaces of the network namespace,
// in one dump: some 2 µs each.
func receivedByLinux() (map[uint32]received, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETSTATS, unix.NLM_F_DUMP)
	request.AddData(&statsMessage{filter: 1 << (unix.IFLA_STATS_LINK_64 - 1)})
	messages, err := request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWSTATS)
	if err != nil && !errors.Is(err, nl.ErrDumpInterrupted) { // each message is right by itself
		return nil, err
	}
	all := map[uint32]received{}
	for _, m := range messages {
		if ifindex, r, ok := decodeStats(m); ok {
			all[ifindex] = r
		}
	}
	return all, nil
}

// statsMessage is struct if_stats_msg of linux/if_link.h.
type statsMessage struct{ ifindex, filter uint32 }

const statsMessageSize = 12

func (m *statsMessage) Len() int { return statsMessageSize }

func (m *statsMessage) Serialize() []byte {
	b := binary.NativeEndian.AppendUint32(make([]byte, 4), m.ifindex)
	return binary.NativeEndian.AppendUint32(b, m.filter)
}

// decodeStats finds the statistics in an answer.
func decodeStats(message []byte) (ifindex uint32, r received, ok bool) {
	if len(message) < statsMessageSize {
		return 0, r, false
	}
	attributes, err := nl.ParseRouteAttr(message[statsMessageSize:])
	if err != nil {
		return 0, r, false
	}
	for _, a := range attributes {
		if a.Attr.Type != unix.IFLA_STATS_LINK_64 || len(a.Value) < (rxDropped+1)*8 {
			continue
		}
		word := func(n int) int64 { return int64(binary.NativeEndian.Uint64(a.Value[n*8:])) }
		return binary.NativeEndian.Uint32(message[4:]), received{word(rxPackets), word(rxDropped)}, true
	}
	return 0, r, false
}

// merges tells whether Linux makes one packet of several before a program of tc
// sees them. An interface that does not answer counts as one where it does.
func merges(ifindex int) bool {
	_, gro, ok := ethtool(ifindex, unix.ETHTOOL_GGRO)
	return !ok || gro != 0
}

// ethtool asks an interface of the thread's network namespace for its name and one
// value.
func ethtool(ifindex int, command uint32) (name string, value uint32, ok bool) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", 0, false
	}
	defer unix.Close(fd)
	named := struct { // struct ifreq
		name  [unix.IFNAMSIZ]byte
		index int32
		_     [20]byte
	}{index: int32(ifindex)}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCGIFNAME, uintptr(unsafe.Pointer(&named))); errno != 0 {
		return "", 0, false
	}
	answer := struct{ command, data uint32 }{command, 0}
	request := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{named.name, unsafe.Pointer(&answer), [16]byte{}}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return "", 0, false
	}
	return unix.ByteSliceToString(named.name[:]), answer.data, true
}

// whyUnaccounted looks for what let packets by.
func (e *Engine) whyUnaccounted(p *port) string {
	const again = "'weft stop', then 'weft run' puts weft's there again"
	ifindex, err := attachedTo(p.link)
	if err != nil {
		return fmt.Sprintf("its program is not to be found: %v: %s", err, again)
	}
	if ifindex == 0 {
		return "weft's program was taken off it: " + again
	}
	info, err := p.link.Info()
	if err != nil {
		return fmt.Sprintf("its program is not to be found: %v: %s", err, again)
	}
	if id := programID(e.progs.of(p.Mode, p.Engine)); info.Program != id {
		return fmt.Sprintf("program %d is there in the place of weft's (%d): %s", info.Program, id, again)
	}
	return fmt.Sprintf("something takes packets before weft's program sees them, or its counters were changed: 'bpftool net show dev %s' lists programs", p.Name)
}

func programID(p *ebpf.Program) ebpf.ProgramID {
	info, err := p.Info()
	if err != nil {
		return 0
	}
	id, _ := info.ID()
	return id
}
