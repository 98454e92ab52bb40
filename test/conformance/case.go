package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/dataplane"
)

// Case is a named frame, and what becomes of it.
type Case struct {
	Name   string // begins with ipv4/, ipv6/ or eth/
	Port   string // that it comes in by; "": west
	Frame  []byte
	Reason dataplane.Reason
	Sent   []Sent // what comes out of the router for it; none: nothing

	// resolves is the address that Linux asks for, before it can send what it holds.
	resolves string
}

// Sent is a frame that comes out.
type Sent struct {
	Port string
	What string             // for people
	Is   func([]byte) error // says what is wrong with a frame
	Once bool               // it may come fewer times than the case: at least once
}

// Copies is how many times a case is sent. Linux answers so many packets of a host
// at once.
const Copies = 4

// Try sends a case, and returns what is not as it should be: the counters, what came
// out, or that packets are unaccounted for.
func (n *Network) Try(ctx context.Context, c *Case) error {
	in := portNamed(c.Port)
	if err := n.drain(); err != nil {
		return err
	}
	before := n.counters()
	for range Copies {
		if err := n.wires[in.name].send(c.Frame); err != nil {
			return err
		}
	}
	seen := newSightings(c.Sent)
	if err := n.passed(ctx, seen); err != nil {
		return err
	}
	if c.resolves != "" {
		// What waits is given up, and answered.
		if err := n.forget(c.resolves); err != nil {
			return err
		}
		if err := n.passed(ctx, seen); err != nil {
			return err
		}
	}
	if err := n.await(ctx, seen); err != nil {
		return err
	}
	want := map[string]*dataplane.Counters{}
	for i := range sitePorts {
		want[sitePorts[i].name] = new(dataplane.Counters)
		want[sitePorts[i].name][dataplane.ARP] = fenceCount(seen.fences)
	}
	want[in.name][c.Reason].Add(dataplane.Counter{Packets: Copies, Bytes: Copies * uint64(len(c.Frame))})
	return errors.Join(n.moved(before, want), seen.wrong())
}

// counters reads those of all ports, by name.
func (n *Network) counters() map[string]*dataplane.Counters {
	all := map[string]*dataplane.Counters{}
	for _, p := range n.weft.engine.Ports() {
		c := n.weft.engine.Counters(p.Number)
		all[p.Name] = &c
	}
	stray := n.weft.engine.Counters(0)
	all[""] = &stray
	return all
}

// moved compares what counters did with what they should have done, and holds that
// every packet is accounted for.
func (n *Network) moved(before, want map[string]*dataplane.Counters) error {
	var errs []error
	for name, now := range n.counters() {
		var none dataplane.Counters
		should := want[name]
		if should == nil {
			should = &none
		}
		got := now.Since(before[name])
		for r := range dataplane.Reasons() {
			if got[r] != should[r] {
				errs = append(errs, fmt.Errorf("port %q counted %d packets, %d bytes for %s, want %d and %d",
					name, got[r].Packets, got[r].Bytes, r, should[r].Packets, should[r].Bytes))
			}
		}
		sum := got.Of(dataplane.Forward)
		sum.Add(got.Of(dataplane.Punt))
		sum.Add(got.Of(dataplane.Drop))
		if received := got.Received(); received != sum || received != should.Received() {
			errs = append(errs, fmt.Errorf("port %q: %d packets received, %d accounted for, %d sent",
				name, received.Packets, sum.Packets, should.Received().Packets))
		}
	}
	return errors.Join(errs...)
}

// drain forgets what came out before.
func (n *Network) drain() error {
	for _, w := range n.wires {
		if _, err := w.receive(n.buf); err != nil {
			return err
		}
	}
	return nil
}

// passed waits until the router has done with all that was sent: by each wire it has
// answered a question that came behind that.
func (n *Network) passed(ctx context.Context, seen *sightings) error {
	seen.fences++
	for i := range sitePorts {
		p := &sitePorts[i]
		if err := n.wires[p.name].send(fence(p)); err != nil {
			return err
		}
		answered := seen.answered[p.name] + 1
		err := n.collect(ctx, seen, func() bool { return seen.answered[p.name] == answered })
		if err != nil {
			return fmt.Errorf("wait for an answer by %s: %w", p.name, err)
		}
	}
	return nil
}

// await waits for what must come out yet.
func (n *Network) await(ctx context.Context, seen *sightings) error {
	err := n.collect(ctx, seen, seen.complete)
	if errors.Is(err, errLate) {
		return nil // seen.wrong tells what is missing
	}
	return err
}

var errLate = errors.New("nothing came in time")

// collect takes what comes out until there is enough.
func (n *Network) collect(ctx context.Context, seen *sightings, enough func() bool) error {
	for deadline := time.Now().Add(patience); !enough(); {
		if time.Now().After(deadline) {
			return errLate
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		fds := make([]unix.PollFd, 0, len(n.wires))
		for _, w := range n.wires {
			fds = append(fds, unix.PollFd{Fd: int32(w.fd), Events: unix.POLLIN})
		}
		if _, err := unix.Poll(fds, 100); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for frames: %w", err)
		}
		for name, w := range n.wires {
			frames, err := w.receive(n.buf)
			for _, f := range frames {
				seen.take(name, f)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// fence is a question that Linux answers at once: who has the router's address?
func fence(p *port) []byte {
	return ether(p.mac(), p.far(), unix.ETH_P_ARP,
		arp{operation: arpRequest, sha: p.far(), spa: p.host4(), tpa: p.addr4()}.bytes())
}

// fenceCount is what fences count for.
func fenceCount(fences int) dataplane.Counter {
	return dataplane.Counter{Packets: uint64(fences), Bytes: uint64(fences) * uint64(len(fence(&sitePorts[0])))}
}

// isFenceReply recognizes the answer.
func isFenceReply(p *port, frame []byte) bool {
	return len(frame) >= ethLen+28 && bytes.Equal(frame[:ethLen+28], ether(p.far(), p.mac(), unix.ETH_P_ARP,
		arp{operation: arpReply, sha: p.mac(), spa: p.addr4(), tha: p.far(), tpa: p.host4()}.bytes()))
}

// sightings are what came out of the router.
type sightings struct {
	want     []Sent
	times    []int
	strange  []error // the first of what should not have come
	stranger int     // how many more
	fences   int
	answered map[string]int

	all map[string][][]byte // instead: frames by port, when nobody knows what is to come
}

func newSightings(want []Sent) *sightings {
	return &sightings{want: want, times: make([]int, len(want)), answered: map[string]int{}}
}

func (s *sightings) take(name string, frame []byte) {
	switch {
	case isFenceReply(portNamed(name), frame):
		s.answered[name]++
		return
	case isChatter(frame):
		return
	}
	if s.all != nil {
		s.all[name] = append(s.all[name], frame)
		return
	}
	var why []string
	for i, w := range s.want {
		if w.Port != name {
			continue
		}
		err := w.Is(frame)
		if err == nil && (s.times[i] < Copies) {
			s.times[i]++
			return
		}
		if err != nil {
			why = append(why, fmt.Sprintf("not %s: %v", w.What, err))
		}
	}
	if len(s.strange) > 0 {
		s.stranger++
		return
	}
	s.strange = append(s.strange, fmt.Errorf("a frame of %d bytes came out of %s that should not: % x %s",
		len(frame), name, frame[:min(len(frame), shown)], strings.Join(why, "; ")))
}

// shown is how many bytes of a frame messages have.
const shown = 100

func (s *sightings) complete() bool {
	if s.stranger >= Copies-1 {
		return true // it does not get better
	}
	for i := range s.want {
		if s.lacks(i) {
			return false
		}
	}
	return true
}

// lacks tells whether something has not come often enough.
func (s *sightings) lacks(i int) bool {
	if s.want[i].Once {
		return s.times[i] == 0
	}
	return s.times[i] < Copies
}

func (s *sightings) wrong() error {
	errs := s.strange
	if s.stranger > 0 {
		errs = append(errs, fmt.Errorf("and %d more", s.stranger))
	}
	for i, w := range s.want {
		if s.lacks(i) {
			errs = append(errs, fmt.Errorf("%s came out of %s %d times, want %d", w.What, w.Port, s.times[i], Copies))
		}
	}
	return errors.Join(errs...)
}

// isChatter recognizes what a router says without being asked: multicast
// memberships, and the engine's probes.
func isChatter(frame []byte) bool {
	if len(frame) < ethLen {
		return false
	}
	switch etherType := uint16(frame[12])<<8 | uint16(frame[13]); etherType {
	case 0x88b5:
		return true
	case unix.ETH_P_IPV6: // MLDv2 behind a hop-by-hop header
		return len(frame) > ethLen+ip6Len+8 && frame[ethLen+6] == 0 && frame[ethLen+ip6Len+8] == 143
	}
	return false
}

// forget ends Linux's questions for an address: what waits for the answer is
// answered by an error.
func (n *Network) forget(addr string) error {
	return n.in(func() error {
		for _, p := range sitePorts {
			all, err := netlink.NeighList(n.ifindex[p.name], 0)
			if err != nil {
				return fmt.Errorf("list neighbors: %w", err)
			}
			for _, one := range all {
				if one.IP.String() == addr {
					return netlink.NeighDel(&one)
				}
			}
		}
		return fmt.Errorf("nobody asks for %s", addr)
	})
}
