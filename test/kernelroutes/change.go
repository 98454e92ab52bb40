package kernelroutes

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
)

// Put makes routes of the main table lead to a nexthop object: it adds those that are not there, and replaces those that
// are.
func Put(ctx context.Context, prefixes []netip.Prefix, object uint32) error {
	return change(ctx, prefixes, func(b *Batch, p netip.Prefix) { b.Put(p, object) })
}

// Delete deletes routes that Add or Put have made.
func Delete(ctx context.Context, prefixes []netip.Prefix) error {
	return change(ctx, prefixes, (*Batch).Delete)
}

func change(ctx context.Context, prefixes []netip.Prefix, one func(*Batch, netip.Prefix)) error {
	b, err := Open()
	if err != nil {
		return err
	}
	defer b.Close()
	for _, p := range prefixes {
		one(b, p)
		if err := errors.Join(b.SendFull(), ctx.Err()); err != nil {
			return fmt.Errorf("change routes up to %v: %w", p, err)
		}
	}
	if err := b.Send(); err != nil {
		return fmt.Errorf("change routes: %w", err)
	}
	return nil
}
