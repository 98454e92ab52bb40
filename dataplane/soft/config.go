package soft

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"weft/bpf"
	"weft/dataplane"
	"weft/dataplane/packet"
	"weft/fib"
)

// Config is what packets are forwarded by. It is not changed once a Worker has it: a
// change is another one (Worker.Set).
type Config struct {
	Image      *fib.Image
	Ports      []Port
	Interfaces []Interface   // of ports and others, in the kernel's order
	Limits     packet.Limits // of ICMP errors: see packet.DefaultLimits
}

// Port is a port as the loop needs it.
type Port struct {
	dataplane.Port
	Partial bool // frames may come in whose L4 checksums were left to hardware
	Tap     bool // it is received from by AF_PACKET: the kernel has its packets, too, and keeps some of them
}

// Interface is what ICMP errors are made from, of one interface.
type Interface struct {
	Port      uint32         // number of the port that it is; 0: it is none
	MTU       int            // bytes of an IP packet
	Addresses []netip.Prefix // its own, in the kernel's order
}

const maxPorts = uint32(bpf.MaxPorts)

const (
	forwardsIPv4 = 1 << iota
	forwardsIPv6
	isPartial
	isTap
)

// port is a Port as the stages look at it. That of number 0 is what is no port: it
// forwards nothing.
type port struct {
	mac    uint64 // as it lies in a frame, in the low 48 bits
	number uint32
	flags  uint32
	vrf    uint32
	root   uint32 // the port that its frames come in and go out by: itself, unless it is a VLAN
	tpid   uint16
	vlans  *[4096]uint16 // ports by identifier; nil: it has none
	table  fib.Table
	below  uint32     // number of the port that it is a VLAN on; 0: none
	itself *Interface // one without an address if none is known
}

// state is a Config made ready. Slots of numbers that are no port are zero.
type state struct {
	image *fib.Image
	ports []port
	vlans bool // any port is one

	interfaces []Interface
	limits     packet.Limits
}

var noInterface Interface

// newState checks a Config. Ports that it does not mention are none.
func newState(c *Config) (*state, error) {
	s := &state{image: c.Image, interfaces: c.Interfaces, limits: c.Limits}
	most := uint32(0)
	for i := range c.Ports {
		most = max(most, c.Ports[i].Number)
	}
	if most >= maxPorts {
		return nil, fmt.Errorf("port %d: want a number below %d", most, maxPorts)
	}
	s.ports = make([]port, most+1)
	var err error
	if s.ports[0].table, err = c.Image.Table(0); err != nil {
		return nil, err
	}
	s.ports[0].itself = &noInterface
	for n := range s.ports {
		s.ports[n] = s.ports[0]
	}
	for i := range c.Ports {
		p := &c.Ports[i]
		to := &s.ports[p.Number]
		if p.Number == 0 || to.number != 0 {
			return nil, fmt.Errorf("port %s: its number %d is not its own: number ports from 1 on, each another", p.Name, p.Number)
		}
		if *to, err = newPort(c.Image, p); err != nil {
			return nil, err
		}
	}
	for i := range c.Ports {
		if err := s.addVLAN(&c.Ports[i]); err != nil {
			return nil, err
		}
	}
	for i := range c.Interfaces {
		if n := c.Interfaces[i].Port; n != 0 {
			s.port(n).itself = &c.Interfaces[i]
		}
	}
	s.ports[0].itself = &noInterface
	return s, nil
}

func newPort(im *fib.Image, p *Port) (port, error) {
	t, err := im.Table(p.VRF)
	if err != nil {
		return port{}, fmt.Errorf("port %s: %w", p.Name, err)
	}
	var mac [8]byte
	copy(mac[:], p.MAC[:])
	n := port{
		mac: binary.LittleEndian.Uint64(mac[:]), number: p.Number, root: p.Number, vrf: uint32(p.VRF), tpid: p.TPID, table: t,
		below: p.Parent, itself: &noInterface,
	}
	for flag, on := range map[uint32]bool{forwardsIPv4: p.IPv4, forwardsIPv6: p.IPv6, isPartial: p.Partial, isTap: p.Tap} {
		if on {
			n.flags |= flag
		}
	}
	return n, nil
}

// addVLAN makes a port that is a VLAN known to the one that it is on.
func (s *state) addVLAN(p *Port) error {
	if p.Parent == 0 {
		return nil
	}
	if int(p.Parent) >= len(s.ports) || s.ports[p.Parent].number == 0 {
		return fmt.Errorf("port %s: VLAN %d: the port below it, %d, is none", p.Name, p.VLAN, p.Parent)
	}
	if p.VLAN < 1 || p.VLAN > 4094 {
		return fmt.Errorf("port %s: VLAN %d: want 1 to 4094", p.Name, p.VLAN)
	}
	below := &s.ports[p.Parent]
	if below.vlans == nil {
		below.vlans = new([4096]uint16)
	}
	below.vlans[p.VLAN] = uint16(p.Number)
	s.vlans = true
	n := &s.ports[p.Number]
	for range packet.MaxTags {
		if below := s.port(n.root).below; below != 0 {
			n.root = below
		}
	}
	return nil
}

// port returns the one of a number: that of number 0 if there is none.
func (s *state) port(number uint32) *port {
	if int(number) >= len(s.ports) {
		number = 0
	}
	return &s.ports[number]
}
