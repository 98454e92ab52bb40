package fpm

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/control/api"
	"weft/test/daemons"
	"weft/test/fulltable"
	"weft/test/star"
)

// fullTable is a router whose bgpd has the Internet's table from BIRD in h2, and zebra
// all of it in the kernel.
type fullTable struct {
	*star.Network
	frr    *daemons.FRR
	v4, v6 uint64 // prefixes, with those of the network itself
}

// fullHops is how many next hops the table has, in each family.
const fullHops = 250

// birdTable is the configuration of a BIRD that announces prefixes.
func birdTable(prefixes map[int][]netip.Prefix) string {
	var b strings.Builder
	b.WriteString("router id 10.255.0.2;\nprotocol device {}\n")
	for family, all := range prefixes {
		own := star.HostAddr(2, family)
		subnet := strings.TrimSuffix(own.String(), "2")
		hops := fulltable.NextHops(len(all), uint64(family))
		fmt.Fprintf(&b, "protocol static { ipv%d;\n", family)
		for i, p := range all {
			hop := fmt.Sprint(3 + hops[i]%fullHops)
			if family == 6 {
				hop = fmt.Sprintf("%x", 3+hops[i]%fullHops)
			}
			fmt.Fprintf(&b, "route %s blackhole { bgp_next_hop = %s%s; };\n", p, subnet, hop)
		}
		fmt.Fprintf(&b, "}\nprotocol bgp { local as 65001; neighbor %s as 65001; ipv%d { import none; export all; next hop keep; }; }\n", own.Prev(), family)
	}
	return b.String()
}

func newFullTable(b *testing.B) *fullTable {
	v4, v6, err := fulltable.Prefixes()
	if err != nil {
		b.Fatal(err)
	}
	f := &fullTable{Network: star.New(b)}
	f.Wait = 5 * time.Minute
	f.frr = daemons.NewFRR(b, daemons.Node(f.Lab, "r1"))
	f.frr.Start("zebra", "", "-M", "dplane_fpm_nl")
	f.frr.Start("bgpd", fmt.Sprintf("router bgp 65001\n neighbor %s remote-as internal\n neighbor %s remote-as internal\n"+
		" address-family ipv6 unicast\n  neighbor %[2]s activate\n", star.HostAddr(2, 4), star.HostAddr(2, 6)))
	began := time.Now()
	daemons.NewBIRD(b, daemons.Node(f.Lab, "h2"), birdTable(map[int][]netip.Prefix{4: v4, 6: v6}))
	f.Until("zebra has the table in the kernel", func() bool {
		f.v4, f.v6 = f.inKernel("ip"), f.inKernel("ipv6")
		return f.v4 >= uint64(len(v4)) && f.v6 >= uint64(len(v6))
	})
	b.Logf("bgpd, zebra and the kernel have %d IPv4 and %d IPv6 routes after %.1f s", f.v4, f.v6, time.Since(began).Seconds())
	return f
}

// inKernel counts the routes of BGP that zebra has put into the kernel.
func (f *fullTable) inKernel(family string) (n uint64) {
	f.Helper()
	var summary struct {
		Routes []struct {
			Type string
			FIB  uint64
		}
	}
	if f.frr.Try(&summary, "zebra", "show "+family+" route summary json") {
		for _, r := range summary.Routes {
			if r.Type == "ibgp" {
				n = r.FIB
			}
		}
	}
	return n
}

// connect makes zebra tell its routes at a port.
func (f *fullTable) connect(port int) {
	f.Helper()
	f.frr.Configure("zebra", fmt.Sprintf("fpm address 127.0.0.1 port %d", port))
}

// discard takes the connection of zebra, and all that it tells, and returns how long
// that took. It looks at no more than the sort of messages.
func (f *fullTable) discard(port int) time.Duration {
	f.Helper()
	l := listenIn(f.Network, fmt.Sprintf("127.0.0.1:%d", port))
	defer l.Close()
	f.connect(port)
	conn, err := l.Accept()
	if err != nil {
		f.Fatal(err)
	}
	defer conn.Close()
	began := time.Now()
	if err := readRoutes(conn, f.v4+f.v6); err != nil {
		f.Fatal(err)
	}
	return time.Since(began)
}

// readRoutes reads frames until they have told so many routes.
func readRoutes(conn net.Conn, routes uint64) error {
	in := bufio.NewReaderSize(conn, 1<<17)
	var frame [1 << 16]byte
	for routes > 0 {
		if _, err := io.ReadFull(in, frame[:4]); err != nil {
			return err
		}
		payload := frame[4:binary.BigEndian.Uint16(frame[2:])]
		if _, err := io.ReadFull(in, payload); err != nil {
			return err
		}
		for len(payload) > 0 {
			n := binary.NativeEndian.Uint32(payload)
			if n < unix.SizeofNlMsghdr || int(n) > len(payload) {
				return errors.New("not a frame")
			}
			isBGP := len(payload) > 21 && payload[21] == unix.RTPROT_BGP
			if binary.NativeEndian.Uint16(payload[4:]) == unix.RTM_NEWROUTE && isBGP && routes > 0 {
				routes--
			}
			payload = payload[(n+3)&^3:]
		}
	}
	return nil
}

// install lets a new weft take all that zebra tells, and returns how long that took,
// until packets find it.
func (f *fullTable) install(b *testing.B) time.Duration {
	f.Helper()
	f.Start("--fpm", fpmAddress)
	defer func() {
		if o := f.Weft("stop"); o.Code != 0 {
			f.Errorf("%+v", o)
		}
		f.Daemon = nil // nothing to look at in the end
	}()
	conn, err := api.Dial(f.Socket())
	if err != nil {
		f.Fatal(err)
	}
	defer conn.Close()
	weft := api.NewRouterClient(conn)
	f.connect(2620)
	var took time.Duration
	f.Until("weft has all routes of FRR", func() bool {
		st, err := weft.GetStatus(b.Context(), &api.StatusRequest{})
		if err != nil {
			f.Fatal(err)
		}
		s := st.GetFpm()
		took = time.Since(time.Unix(0, s.GetSince()))
		return s.GetRoutes() >= f.v4+f.v6 && s.GetQueued() == 0
	})
	f.wantInstalled(b.Context(), weft)
	return took
}

// wantInstalled counts the routes of FRR that packets find.
func (f *fullTable) wantInstalled(ctx context.Context, weft api.RouterClient) {
	f.Helper()
	for family, want := range map[uint32]uint64{4: f.v4, 6: f.v6} {
		stream, err := weft.ListRoutes(ctx, &api.RoutesRequest{Family: family, Protocol: "bgp"})
		var found uint64
		var routes *api.Routes
		for err == nil {
			if routes, err = stream.Recv(); err == nil {
				for _, r := range routes.GetRoutes() {
					if r.GetSource() == "fpm" && r.GetSelected() && r.GetInstalled() {
						found++
					}
				}
			}
		}
		if !errors.Is(err, io.EOF) || found != want {
			f.Fatalf("%d IPv%d routes of FRR are installed, want %d; %v", found, family, want, err)
		}
	}
}

// BenchmarkFullTable has zebra tell the Internet's table over FPM to a peer that only
// reads, and to weft until packets find all of it: in turns, in the same run.
func BenchmarkFullTable(b *testing.B) {
	f := newFullTable(b)
	var discarded, installed time.Duration
	for b.Loop() {
		d, i := f.discard(2621), f.install(b)
		b.Logf("%d routes: read and discarded in %.2f s, installed in %.2f s: %.2f times", f.v4+f.v6, d.Seconds(), i.Seconds(), i.Seconds()/d.Seconds())
		discarded, installed = discarded+d, installed+i
	}
	n := float64(b.N)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(discarded.Seconds()/n, "discard-s")
	b.ReportMetric(installed.Seconds()/n, "weft-s")
	b.ReportMetric(installed.Seconds()/discarded.Seconds(), "weft/discard")
	b.ReportMetric(float64(f.v4+f.v6)*n/installed.Seconds(), "routes/s")
}
