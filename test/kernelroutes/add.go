package kernelroutes

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// Add adds nexthop objects for the next hops in hops, 1 to 255, and routes of one family, to the main table of the calling thread's
// network namespace. hops[i] is the next hop of prefixes[i]; next hop n is the gateway whose last byte is n, the others
// are those of gateways. The objects' numbers are n for IPv4 and 256 + n for IPv6.
//
// It talks netlink itself: the kernel takes 4 us a route in a batch, against 16 us with a system call and an answer for
// each, as ip -batch does.
func Add(ctx context.Context, ifindex int, prefixes []netip.Prefix, hops []uint32, gateways netip.Addr) error {
	return AddTelling(ctx, ifindex, prefixes, hops, gateways, func(int) {})
}

// AddTelling is Add, and tells how many routes are in: after each batch, some hundred times for a full table.
func AddTelling(ctx context.Context, ifindex int, prefixes []netip.Prefix, hops []uint32, gateways netip.Addr, tell func(int)) error {
	b, err := Open()
	if err != nil {
		return err
	}
	defer b.Close()
	family, firstID := byte(unix.AF_INET), uint32(0)
	if gateways.Is6() {
		family, firstID = unix.AF_INET6, 256
	}
	for n := range slices.Max(hops) + 1 {
		if n == 0 {
			continue
		}
		gateway := gateways.AsSlice()
		gateway[len(gateway)-1] = byte(n)
		// struct nhmsg: family, scope, protocol, reserved, flags
		b.add(unix.RTM_NEWNEXTHOP, []byte{family, 0, unix.RTPROT_STATIC, 0, 0, 0, 0, 0},
			attr{unix.NHA_ID, native32(firstID + n)}, attr{unix.NHA_OIF, native32(uint32(ifindex))}, attr{unix.NHA_GATEWAY, gateway})
	}
	for i, p := range prefixes {
		if len(b.messages) >= batchBytes {
			if err := b.Send(); err != nil {
				return fmt.Errorf("add routes up to %v: %w", p, err)
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			tell(i)
		}
		b.route(unix.RTM_NEWROUTE, p, attr{rtaNHID, native32(firstID + hops[i])})
	}
	if err := b.Send(); err != nil {
		return fmt.Errorf("add routes: %w", err)
	}
	tell(len(prefixes))
	return nil
}
