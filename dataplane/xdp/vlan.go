package xdp

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/bpf"
	"weft/dataplane"
)

// A VLAN that is a port has no program of its own: its frames come in by the port
// at its root, whose table of VLANs (a trunk) leads to it.

const (
	maxTags = 2
	maxVLAN = 4094 // IEEE 802.1Q, table 9-2
)

func (e *Engine) checkVLAN(p *dataplane.Port) error {
	if p.Parent == 0 {
		if p.VLAN != 0 || p.TPID != 0 {
			return fmt.Errorf("%w: VLAN %d of no port", ErrPort, p.VLAN)
		}
		return nil
	}
	parent := e.ports[p.Parent]
	switch {
	case parent == nil || p.Parent == p.Number:
		return fmt.Errorf("%w: VLAN of port %d, which is none", ErrPort, p.Parent)
	case parent.tags == maxTags:
		return fmt.Errorf("%w: its frames have more than %d tags", ErrPort, maxTags)
	case p.VLAN == 0 || p.VLAN > maxVLAN:
		return fmt.Errorf("%w: VLAN %d, want 1 to %d", ErrPort, p.VLAN, maxVLAN)
	case p.TPID != unix.ETH_P_8021Q && p.TPID != unix.ETH_P_8021AD:
		return fmt.Errorf("%w: VLAN protocol %#04x, want 0x8100 or 0x88a8", ErrPort, p.TPID)
	}
	if n := uint32(e.mem.vlans[parent.trunk].Port[p.VLAN]); n != 0 && n != p.Number {
		return fmt.Errorf("%w: VLAN %d of port %d is port %d", ErrPort, p.VLAN, p.Parent, n)
	}
	return nil
}

// attachVLAN is attach for a VLAN.
func (e *Engine) attachVLAN(p *dataplane.Port) error {
	parent := e.ports[p.Parent]
	made := newVLAN(p, parent)
	clear(e.mem.portRows(p.Number))
	*e.mem.transmit(p.Number) = bpf.Transmit{}
	e.mem.setPort(p.Number, e.entry(made))
	e.mem.ports.Egress[p.Number] = uint32(made.root.Ifindex)
	e.mem.ports.ByIfindex[p.Ifindex] = uint16(p.Number)
	err := e.fit()
	if err == nil {
		err = e.giveTrunk(parent)
	}
	if err == nil && made.root.egress.open {
		err = e.fillSlot(made)
	}
	if err != nil {
		return errors.Join(err, e.detachVLAN(made))
	}
	e.ports[p.Number] = made
	e.mem.vlans[parent.trunk].Port[p.VLAN] = uint16(p.Number)
	return nil
}

func newVLAN(p *dataplane.Port, parent *port) *port {
	return &port{
		PortStatus: dataplane.PortStatus{Port: *p, Mode: parent.Mode}, root: parent.root, tags: parent.tags + 1,
	}
}

// detachVLAN removes a VLAN's entries, in the reverse order of attachVLAN.
func (e *Engine) detachVLAN(p *port) error {
	parent := e.ports[p.Parent]
	if parent != nil && parent.trunk != 0 && e.ports[p.Number] == p {
		e.mem.vlans[parent.trunk].Port[p.VLAN] = 0
	}
	delete(e.ports, p.Number)
	p.root.account.restart() // what the VLAN has counted is no longer in it
	err := e.forget(&p.Port)
	if parent != nil {
		e.takeTrunk(parent)
	}
	return errors.Join(err, e.fit())
}

// giveTrunk gives a port a table of VLANs if it has none.
func (e *Engine) giveTrunk(p *port) error {
	if p.trunk != 0 {
		return nil
	}
	taken := make([]bool, len(e.mem.vlans))
	for _, q := range e.ports {
		taken[q.trunk] = true
	}
	taken[0] = true
	n := slices.Index(taken, false)
	if n < 0 {
		return fmt.Errorf("%w: %d ports have VLANs already: raise Trunks", ErrPort, len(taken)-1)
	}
	e.mem.vlans[n] = bpf.VLANs{}
	p.trunk = n
	e.mem.setPort(p.Number, e.entry(p))
	return nil
}

// takeTrunk takes the table from a port that has no VLANs any more.
func (e *Engine) takeTrunk(p *port) {
	if p.trunk == 0 || len(e.vlansOf(p.Number)) > 0 {
		return
	}
	p.trunk = 0
	e.mem.setPort(p.Number, e.entry(p))
}

// vlansOf returns the ports that are VLANs of a port.
func (e *Engine) vlansOf(number uint32) (all []*port) {
	for _, p := range e.ports {
		if p.Parent == number {
			all = append(all, p)
		}
	}
	return all
}

// adoptVLANs takes over the VLANs of ports that are adopted: those of one port,
// and then those of them.
func (e *Engine) adoptVLANs(parent *port) error {
	if parent.trunk = int(e.mem.ports.Port[parent.Number].Flags >> bpf.PortTrunkShift); parent.trunk == 0 {
		return nil
	}
	if parent.trunk >= len(e.mem.vlans) {
		return fmt.Errorf("%w: table %d of VLANs", ErrLayout, parent.trunk)
	}
	for vid, n := range &e.mem.vlans[parent.trunk].Port {
		number := uint32(n)
		if number == 0 {
			continue
		}
		p := e.vlanEntry(number, parent, uint16(vid))
		if p == nil {
			e.mem.vlans[parent.trunk].Port[vid] = 0
			continue
		}
		e.ports[number] = p
		if err := e.adoptVLANs(p); err != nil {
			return err
		}
	}
	e.takeTrunk(parent)
	return nil
}

// vlanEntry returns nil for a VLAN whose interface is gone.
func (e *Engine) vlanEntry(number uint32, parent *port, vid uint16) *port {
	ifindex := slices.Index(e.mem.ports.ByIfindex[:], uint16(number))
	if number >= e.mem.limit() || ifindex <= 0 || parent.tags == maxTags || e.ports[number] != nil {
		return nil
	}
	entry := e.mem.ports.Port[number]
	nl, err := netlink.LinkByIndex(ifindex)
	if err != nil || entry.Flags&bpf.PortVLAN == 0 {
		return nil
	}
	if v, ok := nl.(*netlink.Vlan); ok && v.VlanId != int(vid) {
		return nil // another interface with its number
	}
	p := newVLAN(&dataplane.Port{Number: number, Ifindex: ifindex, Parent: parent.Number, VLAN: vid, TPID: unix.ETH_P_8021Q}, parent)
	if entry.Flags&bpf.Port8021AD != 0 {
		p.TPID = unix.ETH_P_8021AD
	}
	p.fromEntry(entry)
	p.Name = nl.Attrs().Name
	return p
}
