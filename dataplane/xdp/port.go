package xdp

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/bpf"
	"weft/dataplane"
)

// SetPort implements dataplane.Engine. A port that is new is attached, in the
// first of the modes native, tc and generic that works; one that is known changes
// in place, and must keep its ifindex, mode and what VLAN it is. The parent of a VLAN is set before.
//
// Errors: ErrPort, ErrForeign. Nothing has changed then.
func (e *Engine) SetPort(p dataplane.Port) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	err := e.check(&p)
	if err == nil {
		if old := e.ports[p.Number]; old != nil {
			if err := e.change(old, p); err != nil {
				return fmt.Errorf("set port %d (%s): %w", p.Number, p.Name, err)
			}
			return nil
		}
		e.beside.taken(&p, &e.earlier)
		if p.Parent != 0 {
			err = e.attachVLAN(&p)
		} else {
			err = e.attach(&p)
		}
	}
	if err != nil {
		return fmt.Errorf("set port %d (%s): %w", p.Number, p.Name, err)
	}
	return nil
}

func (e *Engine) check(p *dataplane.Port) error {
	switch old := e.ports[p.Number]; {
	case e.closed:
		return ErrClosed
	case p.Number == 0 || p.Number >= e.mem.limit():
		return fmt.Errorf("%w: number %d, want 1 to %d", ErrPort, p.Number, e.mem.limit()-1)
	case p.Ifindex <= 0 || p.Ifindex >= bpf.MaxIfindex:
		return fmt.Errorf("%w: ifindex %d, want 1 to %d", ErrPort, p.Ifindex, bpf.MaxIfindex-1)
	case p.VRF < 0 || p.VRF >= e.image.VRFs():
		return fmt.Errorf("%w: VRF %d, the image has %d", ErrPort, p.VRF, e.image.VRFs())
	case p.MAC[0]&1 != 0:
		return fmt.Errorf("%w: MAC %s is a group's", ErrPort, net.HardwareAddr(p.MAC[:]))
	case old != nil && old.Ifindex != p.Ifindex:
		return fmt.Errorf("%w: ifindex %d, but the port is attached to %d: remove it first", ErrPort, p.Ifindex, old.Ifindex)
	case p.Want != "" && !isMode(p.Want):
		return fmt.Errorf("%w: mode %q, want one of %v", ErrPort, p.Want, modes)
	case old != nil && p.Want != "" && old.Mode != p.Want:
		return fmt.Errorf("%w: mode %s, but the port is attached in mode %s: remove it first", ErrPort, p.Want, old.Mode)
	case old != nil && (old.Parent != p.Parent || old.VLAN != p.VLAN || old.TPID != p.TPID):
		return fmt.Errorf("%w: VLAN %d of port %d, but it is VLAN %d of port %d: remove it first", ErrPort, p.VLAN, p.Parent, old.VLAN, old.Parent)
	}
	for _, other := range e.ports {
		if other.Ifindex == p.Ifindex && other.Number != p.Number {
			return fmt.Errorf("%w: ifindex %d is port %d", ErrPort, p.Ifindex, other.Number)
		}
	}
	return e.checkVLAN(p)
}

// entry is a port as the program wants it.
func (e *Engine) entry(p *port) bpf.Port {
	b := bpf.Port{Mac: p.MAC, Vrf: uint16(p.VRF), Number: uint16(p.Number)}
	b.Counters = p.Number * uint32(e.mem.perPort()) * uint32(len(bpf.Row{})) * counterSize
	if p.IPv4 {
		b.Flags |= bpf.PortIPv4
	}
	if p.IPv6 {
		b.Flags |= bpf.PortIPv6
	}
	if p.Parent != 0 {
		b.Flags |= bpf.PortVLAN
	}
	if p.TPID == unix.ETH_P_8021AD {
		b.Flags |= bpf.Port8021AD
	}
	if p.root.Partial {
		b.Flags |= bpf.PortPartial
	}
	b.Flags |= uint16(p.trunk) << bpf.PortTrunkShift
	return b
}

// fromEntry is the reverse of entry, as far as an entry says it.
func (p *port) fromEntry(b bpf.Port) {
	p.MAC, p.VRF = b.Mac, int(b.Vrf)
	p.IPv4, p.IPv6 = b.Flags&bpf.PortIPv4 != 0, b.Flags&bpf.PortIPv6 != 0
	p.Partial = b.Flags&bpf.PortPartial != 0
}

// enter writes a known port's entry, and the others that new maps lack.
func (e *Engine) enter(p *port) error {
	e.mem.setPort(p.Number, e.entry(p))
	if e.beside == nil || p.root != p || e.mem.ports.ByIfindex[p.Ifindex] == uint16(p.Number) {
		return nil
	}
	e.mem.ports.Egress[p.Number] = uint32(p.Ifindex)
	e.mem.ports.ByIfindex[p.Ifindex] = uint16(p.Number)
	p.egress = egress{}
	return errors.Join(e.fit(), e.openEgress(p, time.Now()))
}

const counterSize = 16 // asserted by package bpf

// attach makes a port in the order in which packets need it, and undoes all of
// it when a step fails.
func (e *Engine) attach(p *dataplane.Port) (err error) {
	nl, err := netlink.LinkByIndex(p.Ifindex)
	if err != nil {
		return fmt.Errorf("%w: ifindex %d: %w", ErrPort, p.Ifindex, err)
	}
	if err := refuseForeign(nl); err != nil {
		return err
	}
	clear(e.mem.portRows(p.Number))
	*e.mem.transmit(p.Number) = bpf.Transmit{}
	made := &port{PortStatus: dataplane.PortStatus{Port: *p}, veth: nl.Type() == "veth"}
	made.root = made
	if made.veth && p.Want != dataplane.TC {
		made.peer = &peer{}
		e.lookAtPeers(time.Now(), made)
	}
	e.mem.setPort(p.Number, e.entry(made))
	e.mem.ports.Egress[p.Number] = uint32(p.Ifindex)
	e.mem.ports.ByIfindex[p.Ifindex] = uint16(p.Number)
	// gofail: var attachEntered struct{}
	if err = e.fit(); err == nil {
		err = e.attachLink(made)
	}
	// gofail: var attachLinked struct{}
	if err == nil && made.Mode == dataplane.TC {
		made.peer = nil
		e.setPartial(made, false) // Check makes the programs fit
	}
	if err == nil {
		err = e.openEgress(made, time.Now())
		if err == nil {
			// gofail: var attachOpened struct{}
			err = e.pin(made)
		}
		if err != nil {
			err = errors.Join(err, made.link.Close())
		}
	}
	if err != nil {
		return errors.Join(err, e.forget(p))
	}
	// gofail: var attachPinned struct{}
	e.ports[p.Number] = made
	return nil
}

// refuseForeign names the program that an interface has. Any is foreign: the
// engine attaches to an interface once.
func refuseForeign(nl netlink.Link) error {
	x := nl.Attrs().Xdp
	if x == nil || !x.Attached {
		return nil
	}
	name := ""
	if prog, err := ebpf.NewProgramFromID(ebpf.ProgramID(x.ProgId)); err == nil {
		if info, err := prog.Info(); err == nil {
			name = fmt.Sprintf(" (%s)", info.Name)
		}
		prog.Close()
	}
	return fmt.Errorf("%w: id %d%s on %s", ErrForeign, x.ProgId, name, nl.Attrs().Name)
}

// RemovePort implements dataplane.Engine. Adjacencies that still lead to it
// punt from then on.
//
// Errors: ErrNoPort.
func (e *Engine) RemovePort(number uint32) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.ports[number]
	if p == nil && e.beside.forget(number) {
		return nil
	}
	if p == nil {
		return fmt.Errorf("remove port %d: %w", number, ErrNoPort)
	}
	if err := e.removePort(p); err != nil {
		return fmt.Errorf("remove port %d (%s): %w", number, p.Name, err)
	}
	return nil
}

func (e *Engine) removePort(p *port) error {
	var errs []error
	for _, v := range e.vlansOf(p.Number) {
		errs = append(errs, e.removePort(v))
	}
	if p.Parent != 0 {
		return errors.Join(append(errs, e.detachVLAN(p))...)
	}
	// gofail: var removeBegun struct{}
	delete(e.ports, p.Number)
	return errors.Join(append(errs, e.detach(p), e.forget(&p.Port))...)
}

// detach takes the program off a port. A link of an interface that is gone has
// ended by itself.
func (e *Engine) detach(p *port) error {
	err := e.pins.unpinLink(p.Number)
	// gofail: var detachUnpinned struct{}
	return errors.Join(err, p.link.Close())
}

// forget removes a port's entries, in the reverse order of attach.
func (e *Engine) forget(p *dataplane.Port) error {
	e.mem.ports.ByIfindex[p.Ifindex] = 0
	// gofail: var forgetEntered struct{}
	e.mem.ports.Egress[p.Number] = 0
	e.mem.setPort(p.Number, bpf.Port{})
	// gofail: var forgetCleared struct{}
	return e.clearEgress(p)
}

// adopt takes over the ports that are pinned. Names and families stay as they
// are in the entries until the caller sets the ports again.
func (e *Engine) adopt(links map[uint32]link.Link) error {
	for number := range links {
		if !e.hasRoom(number) {
			closeLinks(links)
			return fmt.Errorf("adopt port %d: %w: there are %d", number, ErrLayout, e.mem.limit()-1)
		}
	}
	if err := e.adoptLinks(links); err != nil {
		return err
	}
	// gofail: var adoptLinks struct{}
	for number := range links {
		if p := e.ports[number]; p != nil {
			if err := e.adoptVLANs(p); err != nil {
				return fmt.Errorf("adopt VLANs of port %d: %w", number, err)
			}
		}
	}
	if err := e.forgetOthers(); err != nil {
		return err
	}
	// gofail: var adoptEntries struct{}

	// Links without entries: a process died that forwarded by other maps.
	for n, p := range e.ports {
		e.mem.ports.ByIfindex[p.Ifindex] = uint16(n)
		e.mem.ports.Egress[n] = uint32(p.root.Ifindex)
	}
	e.lookAtPeers(time.Now(), e.portsWithPeers()...)
	if err := e.fit(); err != nil {
		return err
	}
	// gofail: var adoptUpdate struct{}
	return e.updateLinks(e.progs)
}

func (e *Engine) hasRoom(number uint32) bool { return number != 0 && number < e.mem.limit() }

// adoptLinks makes pinned links ports. It owns them.
func (e *Engine) adoptLinks(links map[uint32]link.Link) error {
	var errs []error
	for number, l := range links {
		p, err := e.adoptPort(number, l)
		if err != nil {
			errs = append(errs, fmt.Errorf("adopt port %d: %w", number, err), l.Close())
		} else if p != nil {
			e.ports[number] = p
		}
	}
	return errors.Join(errs...)
}

// forgetOthers removes entries without a link: a process died on its way into or
// out of attach.
func (e *Engine) forgetOthers() error {
	for ifindex, number := range e.mem.ports.ByIfindex {
		n := uint32(number)
		p := e.ports[n]
		switch {
		case n >= e.mem.limit(): // nobody's: what it stands for is not known
			e.mem.ports.ByIfindex[ifindex] = 0
		case n != 0 && p != nil && p.Ifindex != ifindex: // the number is another interface's now
			e.mem.ports.ByIfindex[ifindex] = 0
		case n != 0 && p == nil:
			if err := e.forget(&dataplane.Port{Number: n, Ifindex: ifindex}); err != nil {
				return err
			}
		}
	}
	for n := uint32(1); n < e.mem.limit(); n++ {
		if e.mem.ports.Port[n].Number != 0 && e.ports[n] == nil {
			if err := e.forget(&dataplane.Port{Number: n}); err != nil {
				return err
			}
		}
	}
	return nil
}

// adoptPort returns nil for a port whose interface is gone.
func (e *Engine) adoptPort(number uint32, l link.Link) (*port, error) {
	if !e.hasRoom(number) {
		return nil, errors.Join(l.Unpin(), l.Close()) // Linux's, until it gets a number that there is
	}
	entry := e.mem.ports.Port[number]
	p := &port{link: l}
	p.root, p.Number = p, number
	p.fromEntry(entry)
	info, err := l.Info()
	if err != nil {
		return nil, err
	}
	if p.Ifindex, err = attachedTo(l); err != nil {
		return nil, err
	}
	p.Mode = dataplane.NativeXDP
	if info.TCX() != nil {
		p.Mode = dataplane.TC
	}
	nl, err := netlink.LinkByIndex(p.Ifindex)
	if p.Ifindex == 0 || errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, e.detach(p)
	}
	if err != nil {
		return nil, fmt.Errorf("ask for its interface: %w", err)
	}
	p.Name, p.veth = nl.Attrs().Name, nl.Type() == "veth"
	if err := e.adoptEgress(p); err != nil {
		return nil, err
	}
	if p.Mode == dataplane.TC {
		return p, e.needTC()
	}
	if p.veth {
		p.peer = &peer{}
	}
	if xdp := nl.Attrs().Xdp; xdp != nil && xdp.AttachMode == attachedSKB {
		p.Mode = dataplane.GenericXDP
	}
	return p, nil
}

// attachedSKB is XDP_ATTACHED_SKB of linux/if_link.h.
const attachedSKB = 2
