package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/test/fulltable"
	"weft/test/kernelroutes"
	"weft/test/lab"
)

// The router has a subnet with sixteen neighbors at h2, as at an exchange point. All of them are h2.
const neighbors = 16

var (
	gatewaysIPv4 = netip.MustParseAddr("172.16.0.0")
	gatewaysIPv6 = netip.MustParseAddr("2001:db8:f::")
)

// table is the Internet's routes and destinations in it.
type table struct {
	v4, v6       []netip.Prefix
	destinations []netip.Addr // each in a random IPv4 prefix
	loaded       atomic.Int64 // routes in the kernel
}

func readTable(most int) (*table, error) {
	v4, v6, err := fulltable.Prefixes()
	if err != nil {
		return nil, err
	}
	t := &table{v4: v4[:min(most, len(v4))], v6: v6[:min(most, len(v6))]}
	r := rand.New(rand.NewPCG(1, 1))
	for range fulltable.TraceLen {
		p := t.v4[r.IntN(len(t.v4))]
		a := p.Addr().As4()
		host := r.Uint32() & uint32(uint64(1)<<(32-p.Bits())-1)
		for i := range a {
			a[i] |= byte(host >> (24 - 8*i))
		}
		t.destinations = append(t.destinations, netip.AddrFrom4(a))
	}
	return t, nil
}

func (t *table) len() int { return len(t.v4) + len(t.v6) }

// addNeighbors gives the router its subnet and neighbors. They are permanent: a flood gives nobody time to ask.
func (t *table) addNeighbors(l *lab.Lab, mac [6]byte) error {
	return l.In("r1", func() error {
		link, err := netlink.LinkByName("to-h2")
		if err != nil {
			return fmt.Errorf("find to-h2: %w", err)
		}
		for _, cidr := range []string{"172.16.0.254/24", "2001:db8:f::ff/64"} {
			a, err := netlink.ParseAddr(cidr)
			if err != nil {
				return err
			}
			if a.IP.To4() == nil {
				a.Flags = unix.IFA_F_NODAD
			}
			if err := netlink.AddrAdd(link, a); err != nil {
				return fmt.Errorf("add address %s: %w", cidr, err)
			}
		}
		for n := range neighbors {
			for _, gateways := range []netip.Addr{gatewaysIPv4, gatewaysIPv6} {
				ip := gateways.AsSlice()
				ip[len(ip)-1] = byte(n + 1)
				err := netlink.NeighAdd(&netlink.Neigh{
					LinkIndex: link.Attrs().Index, IP: ip, HardwareAddr: mac[:], State: netlink.NUD_PERMANENT,
				})
				if err != nil {
					return fmt.Errorf("add neighbor %v: %w", ip, err)
				}
			}
		}
		return nil
	})
}

// load puts all routes into the router's kernel.
func (t *table) load(ctx context.Context, l *lab.Lab) error {
	return l.In("r1", func() error {
		index, err := ifindex("to-h2")
		if err != nil {
			return err
		}
		for _, f := range []struct {
			prefixes []netip.Prefix
			gateways netip.Addr
		}{{t.v4, gatewaysIPv4}, {t.v6, gatewaysIPv6}} {
			hops := make([]uint32, len(f.prefixes))
			for i := range hops {
				hops[i] = 1 + rand.Uint32N(neighbors)
			}
			before := t.loaded.Load()
			err := kernelroutes.AddTelling(ctx, index, f.prefixes, hops, f.gateways, func(n int) {
				t.loaded.Store(before + int64(n))
			})
			if err != nil && !errors.Is(err, context.Canceled) {
				return fmt.Errorf("load the kernel's table: %w", err)
			} else if err != nil {
				return err
			}
		}
		return nil
	})
}
