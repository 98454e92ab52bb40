package xdp

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/dataplane"
)

// How long a port stays closed until it is tried again. One that closes soon
// after it was opened is given longer.
const (
	retryFirst = time.Second
	retryMost  = time.Minute
	soonClosed = 10 * time.Second
)

// egress is whether frames may be redirected to a port: whether its slot in the
// device map is filled.
type egress struct {
	open    bool
	reason  string        // why it is not open
	refused uint64        // what it had refused when it was last looked at
	since   time.Time     // when it was opened or closed
	wait    time.Duration // until it is tried again
}

// peerShare bounds what asking veths' peers takes: so many times as long passes
// until they are asked again. Two in other network namespaces take some 0.2 ms.
var peerShare time.Duration = 2000

// peersLatest is when they are asked again however long it took: a few ms more, for which the kernel had something else to
// do, are not to make minutes.
const peersLatest = 5 * time.Second

// errRefused wraps the error of a port that did not take a frame.
var errRefused = errors.New("frames redirected to it are lost")

// Check looks whether ports have refused frames since the last call, and hands
// to the kernel what is for those that have: packets that would leave by such a
// port punt for erif_disabled. It tries such ports again from time to time, and
// opens those that take frames. It asks the peers of veths, too, whether they
// leave checksums to hardware, and Linux, every other second, what has come in by
// each port (PortStatus.Unaccounted). It costs a few loads a port while nothing changes,
// some microseconds for each veth, and some 30 ms for each port that is tried.
func (e *Engine) Check() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.beside != nil {
		return nil
	}
	var errs []error
	for _, p := range e.ports {
		if p.root != p {
			continue
		}
		if err := e.checkEgress(p, time.Now()); err != nil {
			errs = append(errs, fmt.Errorf("check port %d (%s): %w", p.Number, p.Name, err))
		}
	}
	if start := time.Now(); !start.Before(e.nextPeers) {
		e.lookAtPeers(start, e.portsWithPeers()...)
		e.nextPeers = start.Add(min(peerShare*time.Since(start), peersLatest))
	}
	if err := e.fitInTime(time.Now()); err != nil {
		errs = append(errs, fmt.Errorf("make programs fit the ports: %w", err))
	}
	if !time.Now().Before(e.nextLook) {
		if err := e.lookAtAccounts(); err != nil {
			errs = append(errs, err)
		}
		e.nextLook = time.Now().Add(lookEvery)
	}
	return errors.Join(errs...)
}

func (e *Engine) checkEgress(p *port, now time.Time) error {
	t := e.mem.transmit(p.Number)
	refused := atomic.LoadUint64(&t.Refused)
	switch {
	case p.egress.open && refused != p.egress.refused:
		return e.closeEgress(p, e.reasonRefused(p, unix.Errno(atomic.LoadUint32(&t.Error))), now)
	case !p.egress.open && now.Sub(p.egress.since) >= p.egress.wait:
		return e.openEgress(p, now)
	}
	return nil
}

// openEgress lets frames be redirected to a port, if it takes them. It is no
// error when it does not.
func (e *Engine) openEgress(p *port, now time.Time) error {
	wait := p.egress.wait
	if err := e.try(p); errors.Is(err, errRefused) {
		return e.closeEgress(p, err.Error(), now)
	} else if err != nil {
		return err
	}
	// gofail: var egressTried struct{}
	p.egress = egress{open: true, since: now, wait: wait, refused: atomic.LoadUint64(&e.mem.transmit(p.Number).Refused)}
	for _, v := range e.vlansBy(p) {
		if err := e.fillSlot(v); err != nil {
			return err
		}
	}
	return e.fillSlot(p)
}

// fillSlot lets frames be redirected to a port: they go out by the one at its root.
func (e *Engine) fillSlot(p *port) error {
	if err := e.state.TxPorts.Put(p.Number, uint32(p.root.Ifindex)); err != nil {
		return fmt.Errorf("open device map for it: %w", err)
	}
	return nil
}

// vlansBy returns the VLANs whose frames go out by a port.
func (e *Engine) vlansBy(root *port) (all []*port) {
	for _, p := range e.ports {
		if p.root == root && p != root {
			all = append(all, p)
		}
	}
	return all
}

func (e *Engine) closeEgress(p *port, reason string, now time.Time) error {
	wait := retryFirst
	if p.egress.open && now.Sub(p.egress.since) < soonClosed {
		wait = min(max(2*p.egress.wait, retryFirst), retryMost)
	}
	p.egress = egress{reason: reason, since: now, wait: wait}
	var errs []error
	for _, v := range e.vlansBy(p) {
		errs = append(errs, e.clearEgress(&v.Port))
	}
	// gofail: var egressClose struct{}
	return errors.Join(append(errs, e.clearEgress(&p.Port))...)
}

func (e *Engine) clearEgress(p *dataplane.Port) error {
	if err := e.state.TxPorts.Delete(p.Number); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("close device map for it: %w", err)
	}
	return nil
}

// reasonRefused says what an operator can do about it.
func (e *Engine) reasonRefused(p *port, errno unix.Errno) string {
	err := fmt.Errorf("%w: %w", errRefused, errno)
	if p.veth && (errno == unix.ENXIO || errno == unix.EOPNOTSUPP) { // older and newer kernels
		// Where GRO was switched on while the link was down, "on" alone changes nothing.
		return fmt.Sprintf("%[1]s: its peer is down, or has neither NAPI nor an XDP program: ethtool -K %[2]s gro off && ethtool -K %[2]s gro on",
			err, vethPeer(p.Ifindex))
	}
	return err.Error()
}

// vethPeer names the other end, if it is in this network namespace.
func vethPeer(ifindex int) string {
	l, err := netlink.LinkByIndex(ifindex)
	if err == nil && l.Attrs().NetNsID < 0 {
		if l, err = netlink.LinkByIndex(l.Attrs().ParentIndex); err == nil {
			return l.Attrs().Name
		}
	}
	return "PEER"
}

// adoptEgress finds out whether the port was open when it was left. One that was
// closed is tried at the next Check; one that has refused frames since is closed.
func (e *Engine) adoptEgress(p *port) error {
	var ifindex uint32
	err := e.state.TxPorts.Lookup(p.Number, &ifindex)
	switch {
	case err == nil && int(ifindex) != p.Ifindex: // of a port that had the number
		p.egress.reason = errRefused.Error()
		return e.clearEgress(&p.Port)
	case err == nil:
		p.egress = egress{open: true, since: time.Now()}
	case errors.Is(err, ebpf.ErrKeyNotExist):
		p.egress.reason = errRefused.Error()
	default:
		return fmt.Errorf("look into the device map: %w", err)
	}
	return nil
}

// status adds what the port's egress is to what is known of it.
func (e *Engine) status(p *port) dataplane.PortStatus {
	s := p.PortStatus
	s.Partial, s.IngressReason = p.root.Partial, p.root.ingressReason()
	s.Egress, s.EgressReason = dataplane.KernelEgress, p.root.egress.reason
	if p.root.egress.open {
		s.Egress = dataplane.NativeEgress
	}
	t := e.mem.transmit(p.Number)
	s.EgressLost = atomic.LoadUint64(&t.Dropped) + e.earlier.lost(p.Number)
	s.EgressErrno = unix.Errno(atomic.LoadUint32(&t.Error))
	s.Unaccounted, s.UnaccountedReason = p.account.unaccounted, p.account.reason
	return s
}
