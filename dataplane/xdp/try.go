package xdp

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/dataplane"
)

// sender sends frames as the engine's program does: by redirecting them. What it
// does not share is the device map, so that a port can be tried before packets
// may go there.
type sender struct {
	ports *ebpf.Map
	prog  *ebpf.Program
}

// liveFrames is BPF_F_TEST_XDP_LIVE_FRAMES: what is redirected is really sent.
const liveFrames = 1 << 1

func newSender(m *memory) (_ *sender, err error) {
	s := new(sender)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	s.ports, err = ebpf.NewMap(&ebpf.MapSpec{Name: "tx_probe", Type: ebpf.DevMap, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return nil, fmt.Errorf("create map tx_probe: %w", err)
	}
	id, err := mapID(s.ports)
	if err != nil {
		return nil, err
	}
	atomic.StoreUint32(&m.transmits.TxProbe, id)
	s.prog, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "weft_probe", Type: ebpf.XDP, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{
			asm.LoadMapPtr(asm.R1, s.ports.FD()),
			asm.Mov.Imm(asm.R2, 0),
			asm.Mov.Imm(asm.R3, 0),
			asm.FnRedirectMap.Call(),
			asm.Return(),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("load program that tries ports: %w", err)
	}
	return s, nil
}

func (s *sender) close() error {
	if s == nil {
		return nil
	}
	err := s.ports.Close()
	if s.prog != nil {
		err = errors.Join(err, s.prog.Close())
	}
	return err
}

// probeFrame is one that no host takes: to a MAC that nobody has, of an EtherType
// for local experiments (IEEE 802, 9.2.3).
func probeFrame(from dataplane.MAC) []byte {
	to := dataplane.MAC{0x02, 'w', 'e', 'f', 't', '?'}
	f := append(append(make([]byte, 0, 60), to[:]...), from[:]...)
	return append(append(f, 0x88, 0xb5), "weft: can frames be redirected to here?       "...)
}

// longFrame is one that no port takes, if its MTU is below that: what the kernel
// says of it is whether it would ask the driver.
func longFrame(from dataplane.MAC) []byte {
	return append(probeFrame(from), make([]byte, longest-60)...)
}

// longest is what the kernel takes for a test run of real frames, on pages of 4 KiB.
const longest = 3400

// enough is so many frames that they cannot be taken for the kernel's own.
const enough = 64

// try sends a frame by a port and finds out what has become of it. It returns nil
// when there is no way to find out.
//
// Errors: errRefused.
func (e *Engine) try(p *port) error {
	if e.watch.err != nil && !p.veth {
		return nil
	}
	if e.sender == nil {
		s, err := newSender(e.mem)
		if err != nil {
			return err
		}
		e.sender = s
	}
	if err := e.sender.ports.Put(uint32(0), uint32(p.Ifindex)); err != nil {
		return fmt.Errorf("%w: %w", errRefused, err) // the interface is gone, or cannot
	}
	if e.watch.err != nil {
		return e.tryBlindly(p)
	}
	frame := probeFrame(p.MAC)
	if !p.veth && p.egress.reason == "" {
		// A wire's other end is not ours. A port that did refuse is another matter.
		frame = longFrame(p.MAC)
	}
	t := e.mem.transmit(p.Number)
	before, beforeError := atomic.LoadUint32(&t.Probes), atomic.LoadUint32(&t.Error)
	err := e.sender.send(frame, 1)
	if errors.Is(err, unix.EINVAL) { // before 5.18
		return nil
	}
	if err != nil || atomic.LoadUint32(&t.Probes) == before {
		return err
	}
	errno := unix.Errno(atomic.SwapUint32(&t.Error, beforeError))
	if errno == unix.EMSGSIZE {
		return nil
	}
	return refusal(e.reasonRefused(p, errno))
}

// tryBlindly is for veth where the kernel does not tell of lost frames. What a
// veth has sent is what its peer's NAPI took.
func (e *Engine) tryBlindly(p *port) error {
	before, err := sent(p.Ifindex)
	if err == nil {
		err = e.sender.send(probeFrame(p.MAC), enough)
	}
	if errors.Is(err, unix.EINVAL) {
		return nil
	}
	for range 20 {
		after, errAfter := sent(p.Ifindex)
		if err = errors.Join(err, errAfter); err != nil || after-before >= enough {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return refusal(e.reasonRefused(p, unix.ENXIO))
}

// refusal is a text that starts as errRefused does.
type refusal string

func (r refusal) Error() string   { return string(r) }
func (r refusal) Is(e error) bool { return e == errRefused }

func (s *sender) send(frame []byte, times uint32) error {
	_, err := s.prog.Run(&ebpf.RunOptions{Data: frame, Repeat: times, Flags: liveFrames})
	return err
}

func sent(ifindex int) (uint64, error) {
	l, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return 0, err
	}
	if l.Attrs().Statistics == nil {
		return 0, errors.New("the kernel has no statistics of it")
	}
	return l.Attrs().Statistics.TxPackets, nil
}
