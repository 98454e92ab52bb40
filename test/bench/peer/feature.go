package peer

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"weft/bpf"
	"weft/dataplane"
	"weft/dataplane/filter"
	"weft/dataplane/trace"
	"weft/test/traffic"
)

// toggle switches something of weft on and returns what switches it off. It is called on a thread in the router's
// namespace.
type toggle struct {
	early bool // before the ports are attached
	on    func(*weft) (off func() error, err error)
}

var (
	vlans    = toggle{on: (*weft).addVLAN}
	partial  = toggle{early: true, on: (*weft).leaveChecksums}
	capture  = toggle{on: (*weft).armCapture}
	checks   = toggle{on: (*weft).checkPorts}
	tcInputs = toggle{early: true, on: (*weft).useTC}
)

// Features are weft_xdp with something switched on, alone, and at last all that can be together: what they cost is its
// tax.
var Features = []System{
	feature("vlan", "a VLAN is a port", 0, vlans),
	feature("partial", "hosts leave checksums to hardware", 0, partial),
	feature("capture", "a capture is armed whose filter matches nothing", 0, capture),
	feature("checks", "ports and the ledger of packets are checked each 200 ms, as by the daemon", 0, checks),
	feature("ecmp2", "routes have 2 next hops", 2),
	feature("ecmp16", "routes have 16 next hops", 16),
	feature("ecmp256", "routes have 256 next hops", 256),
	{
		Name: "weft_xdp+chunked", Title: "+chunked", Note: "the image is in elements, as for kernels that cannot have it whole",
		make: func(n *Network) (engine, error) {
			return newWeft(n, func() (*bpf.Image, error) { return bpf.NewChunkedImage(2) })
		},
	},
	feature("tc", "ports are in mode tc, as without native XDP", 0, tcInputs),
	feature("all", "vlan, partial, capture, checks and ecmp16", 16, vlans, partial, capture, checks),
}

// feature is weft_xdp with toggles.
func feature(name, note string, width int, toggles ...toggle) System {
	return System{
		Name: "weft_xdp+" + name, Title: "+" + name, Note: note, variant: variant{width: width},
		make: func(n *Network) (engine, error) {
			w, err := n.once("weft_xdp", makeWeft)
			if err != nil {
				return nil, err
			}
			return &featured{weft: w.(*weft), toggles: toggles}, nil
		},
	}
}

// featured is weft's, which another has made and closes.
type featured struct {
	*weft
	toggles []toggle
	off     []func() error
}

func (f *featured) attach() error {
	err := f.switchOn(true)
	if err == nil {
		err = f.weft.attach()
	}
	if err == nil {
		err = f.switchOn(false)
	}
	if err != nil {
		return errors.Join(err, f.detach())
	}
	return nil
}

func (f *featured) switchOn(early bool) error {
	for _, t := range f.toggles {
		if t.early != early {
			continue
		}
		off, err := t.on(f.weft)
		if err != nil {
			return err
		}
		f.off = append(f.off, off)
	}
	return nil
}

func (f *featured) detach() (err error) {
	for _, off := range slices.Backward(f.off) {
		err = errors.Join(err, off())
	}
	f.off = nil
	return errors.Join(err, f.weft.detach())
}

// unforwarded leaves out packets that look as if their checksum were left to hardware: one of 65,536 does.
func (f *featured) unforwarded() (uint64, error) {
	return unforwarded(f.engine, dataplane.ChecksumPartial), nil
}

func (*featured) close() error { return nil }

// portVLAN is the number of a VLAN on the port that packets come in by.
const portVLAN = 4

func (w *weft) addVLAN() (func() error, error) {
	err := w.engine.SetPort(dataplane.Port{
		Number: portVLAN, Ifindex: bpf.MaxIfindex - 1, Name: "vlan", MAC: inMAC, IPv4: true, IPv6: true,
		Parent: portIn, VLAN: 100, TPID: unix.ETH_P_8021Q,
	})
	return func() error { return w.engine.RemovePort(portVLAN) }, err
}

func (w *weft) leaveChecksums() (func() error, error) {
	set := func(f func(string) error) error {
		return inNamespace(w.n.generator, func() error { return f("eth0") })
	}
	return func() error { return set(traffic.FillChecksums) }, set(traffic.LeaveChecksums)
}

func (w *weft) armCapture() (func() error, error) {
	nothing, err := filter.Parse("udp dst port 1")
	if err != nil {
		return nil, err
	}
	session, err := w.engine.StartTrace(trace.Selection{Filter: nothing})
	return func() error { return w.engine.StopTrace(session) }, err
}

func (w *weft) useTC() (func() error, error) {
	w.want = dataplane.TC
	return func() error { w.want = ""; return nil }, nil
}

const checkEvery = 200 * time.Millisecond

// checkPorts has the engine look after its ports as in the daemon, on another thread.
func (w *weft) checkPorts() (func() error, error) {
	ctx, cancel := context.WithCancel(w.n.context)
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // not unlocked: the thread ends in the router's namespace
		done <- w.n.InRouter(func() (err error) {
			for tick := time.NewTicker(checkEvery); err == nil; {
				select {
				case <-ctx.Done():
					return nil
				case <-tick.C:
					err = w.engine.Check()
				}
			}
			return err
		})
	}()
	return func() error { cancel(); return <-done }, nil
}
