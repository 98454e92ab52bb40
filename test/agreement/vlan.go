package agreement

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/dataplane"
)

// In a Variant with VLANs each port of the State has one on it, which is what the
// port would be: a packet that comes in with its tag goes where one without goes from
// the port, and what is punted has its tag still. The kernel need not know of VLANs
// for that: an engine asks only whether their interfaces are there.

const (
	vlanProtocol = unix.ETH_P_8021Q
	vlanFirst    = 100 // identifier of the VLAN on the port with number 0
	tagLen       = 4
	tagAt        = 12
)

// setVLANs makes the VLANs. Interfaces that are there anyway stand for theirs.
func (e *Engine) setVLANs() error {
	for i, parent := range e.numbers {
		p := &e.s.Ports[i]
		if parent == 0 {
			continue
		}
		n, err := portNumber(p.Name)
		if err != nil {
			return err
		}
		l, err := netlink.LinkByName(wireName(n))
		if err != nil {
			return err
		}
		if err := e.engine.SetPort(dataplane.Port{
			Number: maxPorts + parent, Ifindex: l.Attrs().Index, Name: "vlan of " + p.Name, MAC: p.MAC, IPv4: p.IPv4, IPv6: p.IPv6,
			Parent: parent, VLAN: uint16(vlanFirst + parent), TPID: vlanProtocol,
		}); err != nil {
			return err
		}
	}
	return nil
}

// forwardTagged is forward for a packet with the tag of its port's VLAN.
func (e *Engine) forwardTagged(p Packet, a *Answer) error {
	return e.taggedBy(p, a, e.engine.Run)
}

// taggedBy is forwardTagged, by one way to run a frame.
func (e *Engine) taggedBy(p Packet, a *Answer, run func(frame []byte, port uint32) (dataplane.Result, error)) error {
	if slices.Contains(tagProtocols, binary.BigEndian.Uint16(p.Frame[tagAt:])) {
		*a = Answer{Left: "it has tags of its own, which are looked at then"}
		return nil
	}
	parent := e.numbers[p.Port]
	tag := binary.BigEndian.AppendUint32(nil, vlanProtocol<<16|(vlanFirst+parent))
	r, err := run(slices.Insert(slices.Clone(p.Frame), tagAt, tag...), parent)
	if err != nil {
		return err
	}
	if r.Ingress != maxPorts+parent {
		return fmt.Errorf("counted for port %d, want %d", r.Ingress, maxPorts+parent)
	}
	if r.Reason.Verdict() == dataplane.Punt {
		if len(r.Packet) < tagAt+tagLen || !bytes.Equal(r.Packet[tagAt:tagAt+tagLen], tag) {
			return fmt.Errorf("punted for %s without its tag: %x", r.Reason, r.Packet)
		}
		r.Packet = slices.Delete(slices.Clone(r.Packet), tagAt, tagAt+tagLen)
	}
	*a = e.answer(&r)
	return nil
}
