package kernelroutes

import (
	"context"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Put makes routes of one family in the main table lead to a nexthop object: it adds those that are not there, and
// replaces those that are.
func Put(ctx context.Context, prefixes []netip.Prefix, object uint32) error {
	return change(ctx, prefixes, unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, attr{rtaNHID, native32(object)})
}

// Delete deletes routes that Add or Put have made.
func Delete(ctx context.Context, prefixes []netip.Prefix) error {
	return change(ctx, prefixes, unix.RTM_DELROUTE, 0)
}

func change(ctx context.Context, prefixes []netip.Prefix, kind, flags uint16, attrs ...attr) error {
	b, err := newBatch()
	if err != nil {
		return err
	}
	defer unix.Close(b.fd)
	for _, p := range prefixes {
		if len(b.messages) >= batchBytes {
			if err := b.send(); err != nil {
				return fmt.Errorf("change routes up to %v: %w", p, err)
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		family := byte(unix.AF_INET)
		if p.Addr().Is6() {
			family = unix.AF_INET6
		}
		// struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
		b.add(kind, []byte{family, byte(p.Bits()), 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, 0, unix.RTN_UNICAST, 0, 0, 0, 0},
			append([]attr{{unix.RTA_DST, p.Addr().AsSlice()}}, attrs...)...)
		b.setFlags(unix.NLM_F_REQUEST | flags)
	}
	if err := b.send(); err != nil {
		return fmt.Errorf("change routes: %w", err)
	}
	return nil
}
