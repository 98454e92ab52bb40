package fpm

import (
	"errors"
	"log/slog"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
)

// decoder puts what messages of one connection say into an inbox.
type decoder struct {
	log        *slog.Logger
	generation uint32
	counts     Counts // since they were last taken
	warned     bool
	route      kernel.Route // reused
}

// take takes a message. The inbox is locked.
func (d *decoder) take(b *inbox, m message) {
	d.counts.Messages++
	var err error
	switch m.kind {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		err = d.takeRoute(b, m)
	case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		err = d.takeNextHop(b, m)
	default: // RTM_NEWNEIGH of EVPN, types of patched FRR
		err = kernel.ErrForeign
	}
	switch {
	case errors.Is(err, kernel.ErrForeign):
		d.counts.Ignored++
	case err != nil:
		if d.counts.Undecodable++; !d.warned {
			d.warned = true
			d.log.Warn("message of FRR is not usable; further ones are counted only", "error", err)
		}
	}
}

func (d *decoder) takeRoute(b *inbox, m message) error {
	if err := d.route.Decode(m.payload); err != nil {
		return err
	}
	gone := m.kind == unix.RTM_DELROUTE
	if !isOurs(&d.route, gone) {
		return kernel.ErrForeign
	}
	if d.route.Protocol == unix.RTPROT_KERNEL && !gone { // see "The kernel's own routes"
		d.counts.Ignored++
		gone = true
	}
	b.put(keyOf(&d.route), newRoute(&d.route, gone, d.generation))
	return nil
}

func (d *decoder) takeNextHop(b *inbox, m message) error {
	n := nextHop{gone: m.kind == unix.RTM_DELNEXTHOP}
	if err := n.Decode(m.payload); err != nil {
		return err
	}
	b.nextHops.put(objectKey{d.generation, n.ID}, n)
	return nil
}
