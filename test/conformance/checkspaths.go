package conformance

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/dataplane"
	"weft/fib"
)

// flow is the n-th of many, with a sequence number in its payload.
func flow(n, sequence int, dst string) packet {
	src := source(n&0x7fff, netip.MustParseAddr(dst).Is6())
	udp := datagram(netip.MustParseAddr(src), netip.MustParseAddr(dst), 8)
	binary.BigEndian.PutUint16(udp, flowPort(n))
	binary.BigEndian.PutUint32(udp[udpLen:], uint32(n))
	binary.BigEndian.PutUint32(udp[udpLen+4:], uint32(sequence))
	return packet{src: src, dst: dst, payload: udp}
}

// flowPort makes flows differ whose sources are the same.
func flowPort(n int) uint16 { return uint16(20000 + n%40000) }

// flowsStayInOrder sends flows over two paths: each packet arrives, each flow by one
// path, in order.
func flowsStayInOrder(ctx context.Context, n *Network) error {
	const flows, packets = 64, 32
	for _, dst := range []string{"10.8.0.1", "2001:db8:18::1"} {
		var frames [][]byte
		for sequence := range packets {
			for i := range flows {
				frames = append(frames, portNamed(west).in(flow(i, sequence, dst).bytes()))
			}
		}
		out, err := n.burst(ctx, frames)
		if err != nil {
			return err
		}
		var next [flows]int
		var by [flows]string
		for name, got := range out {
			for _, f := range got {
				at := len(f) - 8
				i, sequence := binary.BigEndian.Uint32(f[at:]), int(binary.BigEndian.Uint32(f[at+4:]))
				if by[i] != "" && by[i] != name || sequence != next[i] {
					return fmt.Errorf("flow %d to %s: packet %d by %s, want %d by %s", i, dst, sequence, name, next[i], by[i])
				}
				by[i], next[i] = name, sequence+1
			}
		}
		for i, seen := range next {
			if seen != packets {
				return fmt.Errorf("flow %d to %s: %d of %d packets arrived", i, dst, seen, packets)
			}
		}
	}
	return nil
}

// spread tells where flows go: by the FIB's own reading of the image, which for some
// of them is compared with the program.
func (n *Network) spread(flows int, dst string) ([]string, error) {
	first, err := n.weft.engine.Run(portNamed(west).in(flow(0, 0, dst).bytes()), n.number(west))
	if err != nil || first.Reason != dataplane.Forwarded {
		return nil, fmt.Errorf("packet to %s: %s: %w", dst, first.Reason, err)
	}
	names := map[uint32]string{}
	for _, p := range n.weft.engine.Ports() {
		names[p.Number] = p.Name
	}
	by := make([]string, flows)
	for i := range flows {
		next := n.weft.image.Next(fib.GroupID(first.Group), flowHash(i, dst, n.weft.image.HashSeed()))
		a, _ := n.weft.image.Adjacency(next.Adjacency)
		by[i] = names[a.Port]
		if i%997 != 0 {
			continue
		}
		if _, name, err := n.way(flow(i, 0, dst).bytes()); err != nil || name != by[i] {
			return nil, fmt.Errorf("flow %d to %s goes by %q, the image says %q: %w", i, dst, name, by[i], err)
		}
	}
	return by, nil
}

// flowHash is that of flow n.
func flowHash(n int, dst string, seed uint32) uint32 {
	d := netip.MustParseAddr(dst)
	s := netip.MustParseAddr(source(n&0x7fff, d.Is6()))
	ports := uint32(flowPort(n))<<16 | 7777
	if d.Is4() {
		a, b := s.As4(), d.As4()
		return fib.FlowHash4(binary.BigEndian.Uint32(a[:]), binary.BigEndian.Uint32(b[:]), ports, unix.IPPROTO_UDP, seed)
	}
	halves := func(a netip.Addr) fib.Addr6 {
		b := a.As16()
		return fib.Addr6{Hi: binary.BigEndian.Uint64(b[:8]), Lo: binary.BigEndian.Uint64(b[8:])}
	}
	return fib.FlowHash6(halves(s), halves(d), 0x12345, ports, unix.IPPROTO_UDP, seed)
}

// untilSpread waits until flows go by so many paths.
func (n *Network) untilSpread(ctx context.Context, dst string, paths int) error {
	return n.poll(ctx, func() (string, error) {
		names := map[string]bool{}
		for i := range 64 {
			r, name, err := n.way(flow(i, 0, dst).bytes())
			if err != nil || r != dataplane.Forwarded {
				return fmt.Sprintf("packet to %s: %s", dst, r), err
			}
			names[name] = true
		}
		if len(names) != paths {
			return fmt.Sprintf("packets to %s go by %d paths, want %d", dst, len(names), paths), nil
		}
		return "", nil
	})
}

// shares counts flows by paths of equal and of other weights.
func shares(ctx context.Context, n *Network) error {
	const flows = 100_000
	err := n.routes(siteRoute{prefix: "10.24.0.0/16", via: []string{east, wide, narrow, lazy}},
		siteRoute{prefix: "10.25.0.0/16", via: []string{east, wide}, weights: []int{1, 3}})
	if err != nil {
		return err
	}
	for dst, paths := range map[string]int{"10.24.0.1": 4, "10.25.0.1": 2} {
		if err := n.untilSpread(ctx, dst, paths); err != nil {
			return err
		}
	}
	for _, c := range []struct {
		dst  string
		want map[string]float64
	}{
		{"10.8.0.1", map[string]float64{east: 0.5, wide: 0.5}},
		{"2001:db8:18::1", map[string]float64{east: 0.5, wide: 0.5}},
		{"10.24.0.1", map[string]float64{east: 0.25, wide: 0.25, narrow: 0.25, lazy: 0.25}},
		{"10.25.0.1", map[string]float64{east: 0.25, wide: 0.75}},
	} {
		by, err := n.spread(flows, c.dst)
		if err != nil {
			return err
		}
		count := map[string]int{}
		for _, name := range by {
			count[name]++
		}
		for name, share := range c.want {
			if want := share * flows; float64(count[name]) < 0.95*want || float64(count[name]) > 1.05*want {
				return fmt.Errorf("%s: %d of %d flows go by %s, want %.0f within 5 %%", c.dst, count[name], flows, name, want)
			}
		}
	}
	return nil
}

// pathGoes takes one of four paths away, and counts flows of the others that move.
func pathGoes(ctx context.Context, n *Network) error {
	const flows = 10_000
	const dst = "10.26.0.1"
	four := siteRoute{prefix: "10.26.0.0/16", via: []string{east, wide, narrow, lazy}}
	if err := n.routes(four); err != nil {
		return err
	}
	if err := n.untilSpread(ctx, dst, 4); err != nil {
		return err
	}
	before, err := n.spread(flows, dst)
	if err != nil {
		return err
	}
	err = n.in(func() error {
		if err := netlink.RouteDel(&netlink.Route{Dst: ipNet(four.prefix)}); err != nil {
			return err
		}
		four.via = []string{east, wide, lazy}
		return n.addRoute(four)
	})
	if err != nil {
		return err
	}
	if err := n.untilSpread(ctx, dst, 3); err != nil {
		return err
	}
	after, err := n.spread(flows, dst)
	if err != nil {
		return err
	}
	others, moved := 0, 0
	for i := range before {
		if before[i] == narrow {
			continue
		}
		others++
		if after[i] != before[i] {
			moved++
		}
	}
	if 2*moved > others {
		return fmt.Errorf("%d of %d flows of other paths have moved", moved, others)
	}
	return nil
}

// fragmentsStayTogether asks for fragments of one datagram.
func fragmentsStayTogether(_ context.Context, n *Network) error {
	for i := range 64 {
		first := ""
		for _, fragment := range []uint16{0x2000, 0x2000 | 8, 16} {
			p := flow(i, 0, "10.8.0.1")
			p.fragment = fragment
			_, name, err := n.way(p.bytes())
			switch {
			case err != nil:
				return err
			case first == "":
				first = name
			case name != first || name == "":
				return fmt.Errorf("fragments of one datagram go by %s and by %s", first, name)
			}
		}
	}
	return nil
}

// labelsSpread asks for packets that differ by the flow label only.
func labelsSpread(_ context.Context, n *Network) error {
	count := map[string]int{}
	for label := range uint32(64) {
		_, name, err := n.way(packet{src: source(1, true), dst: "2001:db8:18::1", protocol: 59, payload: []byte{}, label: label + 1}.bytes())
		if err != nil {
			return err
		}
		count[name]++
	}
	if count[east] < 8 || count[wide] < 8 {
		return fmt.Errorf("64 flow labels: %d go by %s, %d by %s", count[east], east, count[wide], wide)
	}
	return nil
}

// noPolarization holds that flows which one seed puts into one half are put into both
// by another seed.
func noPolarization(context.Context, *Network) error {
	const flows = 100_000
	first, both := 0, 0
	for i := range uint32(flows) {
		src, ports := 0x0a640000+i, 0x4e201e61+i<<16
		if fib.FlowHash4(src, 0x0a080001, ports, 17, 0x5eed) < 1<<31 {
			first++
			if fib.FlowHash4(src, 0x0a080001, ports, 17, 0xfeed) < 1<<31 {
				both++
			}
		}
	}
	if share := float64(both) / float64(first); share < 0.475 || share > 0.525 {
		return fmt.Errorf("of %d flows in one half, %d are in one half again", first, both)
	}
	return nil
}
