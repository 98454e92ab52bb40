package agreement

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/test/lab"
	"weft/test/model"
)

// Linux is the kernel's own forwarding. A frame that is written to the far end of a
// port's wire has been routed, and has arrived at the far end of another one, before
// the call returns: all of it is one softirq.
type Linux struct {
	router, wires *namespace
	ring          *ring
	send          [maxPorts]int // sockets
	number        map[int]int   // ports by the ifindex of their far end
	s             *model.State
	errors        *lab.AllErrors
}

// NewLinux makes a router in a namespace, without a State yet.
func NewLinux() (_ *Linux, err error) {
	l := &Linux{number: map[int]int{}}
	for n := range l.send {
		l.send[n] = -1
	}
	if l.router, l.wires, err = newRouter(true); err != nil {
		return nil, err
	}
	if l.errors, err = lab.LiftErrors(); err == nil {
		err = l.wires.do(l.open)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Linux) open() (err error) {
	if l.ring, err = newRing(); err != nil {
		return err
	}
	for n := range l.send {
		far, err := netlink.LinkByName(wireName(n))
		if err != nil {
			return err
		}
		l.number[far.Attrs().Index] = n
		if l.send[n], err = newSender(far.Attrs().Index); err != nil {
			return err
		}
	}
	return nil
}

// Name implements Forwarder.
func (l *Linux) Name() string { return "linux" }

// Set implements Forwarder.
func (l *Linux) Set(s *model.State) error {
	l.s = s
	err := errors.Join(l.errors.Again(), l.router.do(func() error { return become(s) }))
	if err != nil {
		return fmt.Errorf("linux: set a state: %w", err)
	}
	return nil
}

// Forward implements Forwarder.
func (l *Linux) Forward(packets []Packet, answers []Answer) error {
	return l.wires.do(func() error {
		l.drain()
		for i, p := range packets {
			answers[i] = Answer{}
			if err := l.forward(p, &answers[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (l *Linux) forward(p Packet, a *Answer) error {
	n, err := portNumber(l.s.Ports[p.Port].Name)
	if err != nil {
		return err
	}
	_, err = unix.Write(l.send[n], p.Frame)
	for tries := 0; errors.Is(err, unix.ENOBUFS) && tries < 100; tries++ { // the other end's backlog is full: softirqs are late
		time.Sleep(10 * time.Millisecond)
		_, err = unix.Write(l.send[n], p.Frame)
	}
	if err != nil {
		return fmt.Errorf("linux: send %d bytes to %s: %w", len(p.Frame), l.s.Ports[p.Port].Name, err)
	}
	l.collect(a)
	return nil
}

// collect adds what has arrived to an answer.
func (l *Linux) collect(a *Answer) {
	for frame, ifindex, ok := l.ring.take(); ok; frame, ifindex, ok = l.ring.take() {
		if !isAsking(frame) {
			a.Linux.Sent = append(a.Linux.Sent, model.Sent{Ports: []string{portName(l.number[ifindex])}, Frame: slices.Clone(frame)})
		}
		l.ring.release()
	}
}

// Patient does what Forward does with one packet, and waits for what comes late.
func (l *Linux) Patient(p Packet) (a Answer, err error) {
	if err := l.errors.Again(); err != nil {
		return a, err
	}
	err = l.wires.do(func() error {
		time.Sleep(patience) // for what earlier packets have left
		l.drain()
		if err := l.forward(p, &a); err != nil {
			return err
		}
		time.Sleep(patience)
		l.collect(&a)
		return nil
	})
	return a, err
}

// patience is much longer than a softirq takes that is put off to ksoftirqd.
const patience = 20 * time.Millisecond

func (l *Linux) drain() {
	for _, _, ok := l.ring.take(); ok; _, _, ok = l.ring.take() {
		l.ring.release()
	}
}

// isAsking tells frames by which the router looks after itself: ARP and neighbor
// discovery, group membership, redirects. What it forwards is never among them: that
// goes to one host, and has a hop limit below 255.
func isAsking(f []byte) bool {
	if len(f) < l3 || f[0]&1 != 0 {
		return true
	}
	switch uint16(f[12])<<8 | uint16(f[13]) {
	case unix.ETH_P_ARP:
		return true
	case unix.ETH_P_IPV6:
		return len(f) >= l3+40 && f[l3+7] == 255
	}
	return false
}

// Close implements Forwarder.
func (l *Linux) Close() error {
	for _, fd := range l.send {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	if l.ring != nil {
		l.ring.close()
	}
	closeNamespaces(l.router, l.wires)
	if l.errors != nil {
		return l.errors.Restore()
	}
	return nil
}
