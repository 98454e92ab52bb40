package api

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"weft/control/rib"
	"weft/dataplane"
)

func isEnd(err error) bool { return errors.Is(err, io.EOF) }

// linuxSays is what iproute2 answers for a packet: "via GATEWAY dev DEV", "dev
// DEV", "local", or the text of an error.
func linuxSays(reply *LookupReply, dst string) string {
	out, err := exec.Command("ip", "route", "get", dst, "from", reply.Src, "iif", reply.Iif).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return strings.TrimPrefix(text, "RTNETLINK answers: ")
	}
	fields := strings.Fields(strings.SplitN(text, "\n", 2)[0])
	if fields[0] == "local" {
		return "local"
	}
	answer := ""
	for i := range fields {
		if fields[i] == "via" || fields[i] == "dev" {
			answer += " " + fields[i] + " " + fields[i+1]
		}
	}
	return strings.TrimSpace(answer)
}

func TestLookup(t *testing.T) {
	w := serve(t, 1<<20, nil)
	for _, line := range []string{
		"route add 10.8.0.0/16 via 10.0.2.2", "-6 route add 2001:db8:8::/48 via 2001:db8:2::2",
		"route add 10.9.0.0/16 nexthop via 10.0.1.2 weight 3 nexthop via 10.0.2.2",
		"route add blackhole 10.10.0.0/16", "-6 route add blackhole 2001:db8:a::/48",
		"route add unreachable 10.11.0.0/16", "-6 route add unreachable 2001:db8:b::/48",
		"route add prohibit 10.12.0.0/16", "-6 route add prohibit 2001:db8:c::/48",
		"route add 10.13.0.0/16 via 10.0.2.77", // nobody is there
		"route add 10.14.0.0/16 dev lo",
	} {
		ip(t, line)
	}
	w.has("10.14.0.0/16")
	before := w.engine.Counters(1)
	const mac2 = "02:00:00:00:01:02"
	for _, c := range []struct {
		q             *LookupRequest
		reason        dataplane.Reason
		prefix, kind  string
		gateway, dev  string
		linux         string
		routeInTheRIB bool
		members       uint32
	}{
		{q: &LookupRequest{Dst: "10.8.1.1"}, reason: dataplane.Forwarded, prefix: "10.8.0.0/16", kind: "forward",
			gateway: "10.0.2.2", dev: "port2", linux: "via 10.0.2.2 dev port2", routeInTheRIB: true, members: 1},
		{q: &LookupRequest{Dst: "2001:db8:8::1"}, reason: dataplane.Forwarded, prefix: "2001:db8:8::/48", kind: "forward",
			gateway: "2001:db8:2::2", dev: "port2", linux: "via 2001:db8:2::2 dev port2", routeInTheRIB: true, members: 1},
		{q: &LookupRequest{Dst: "10.9.1.1"}, reason: dataplane.Forwarded, prefix: "10.9.0.0/16", kind: "forward", routeInTheRIB: true, members: 2},
		{q: &LookupRequest{Dst: "10.0.2.1"}, reason: dataplane.LocalRoute, prefix: "10.0.2.1/32", kind: "local", linux: "local", routeInTheRIB: true},
		{q: &LookupRequest{Dst: "2001:db8:2::1"}, reason: dataplane.LocalRoute, prefix: "2001:db8:2::1/128", kind: "local", linux: "local", routeInTheRIB: true},
		{q: &LookupRequest{Dst: "10.0.2.9"}, reason: dataplane.Glean, prefix: "10.0.2.0/24", kind: "glean", dev: "port2", linux: "dev port2", routeInTheRIB: true},
		{q: &LookupRequest{Dst: "10.0.2.2"}, reason: dataplane.Forwarded, prefix: "10.0.2.2/32", kind: "forward", gateway: "10.0.2.2",
			dev: "port2", linux: "dev port2", members: 1},
		{q: &LookupRequest{Dst: "2001:db8:2::2"}, reason: dataplane.Forwarded, prefix: "2001:db8:2::2/128", kind: "forward",
			gateway: "2001:db8:2::2", dev: "port2", members: 1},
		{q: &LookupRequest{Dst: "10.10.1.1"}, reason: dataplane.BlackholeRoute, prefix: "10.10.0.0/16", kind: "blackhole", linux: "Invalid argument", routeInTheRIB: true},
		{q: &LookupRequest{Dst: "2001:db8:a::1"}, reason: dataplane.BlackholeRoute, prefix: "2001:db8:a::/48", kind: "blackhole", linux: "Invalid argument", routeInTheRIB: true},
		{q: &LookupRequest{Dst: "10.11.1.1"}, reason: dataplane.RejectRoute, prefix: "10.11.0.0/16", kind: "reject", linux: "No route to host", routeInTheRIB: true},
		{q: &LookupRequest{Dst: "2001:db8:b::1"}, reason: dataplane.RejectRoute, prefix: "2001:db8:b::/48", kind: "reject", routeInTheRIB: true},
		{q: &LookupRequest{Dst: "10.12.1.1"}, reason: dataplane.RejectRoute, prefix: "10.12.0.0/16", kind: "reject", linux: "Permission denied", routeInTheRIB: true},
		{q: &LookupRequest{Dst: "2001:db8:c::1"}, reason: dataplane.RejectRoute, prefix: "2001:db8:c::/48", kind: "reject", linux: "Permission denied", routeInTheRIB: true},
		{q: &LookupRequest{Dst: "192.0.2.99"}, reason: dataplane.IPv4LPMMiss, linux: "Network is unreachable"},
		{q: &LookupRequest{Dst: "2001:db8:ffff::1"}, reason: dataplane.IPv6LPMMiss, linux: "Network is unreachable"},
		{q: &LookupRequest{Dst: "10.8.1.1", Ttl: 1}, reason: dataplane.TTLValueIsTooSmall, prefix: "10.8.0.0/16", kind: "forward", routeInTheRIB: true, members: 1},
		{q: &LookupRequest{Dst: "2001:db8:8::1", Ttl: 1}, reason: dataplane.TTLValueIsTooSmall, prefix: "2001:db8:8::/48", kind: "forward", routeInTheRIB: true, members: 1},
		{q: &LookupRequest{Dst: "10.8.1.1", Length: 1501}, reason: dataplane.MTUValueIsTooSmall, prefix: "10.8.0.0/16", kind: "forward",
			gateway: "10.0.2.2", dev: "port2", routeInTheRIB: true, members: 1},
		{q: &LookupRequest{Dst: "10.8.1.1", Length: 1500, Protocol: 6, Sport: 1, Dport: 179}, reason: dataplane.Forwarded, prefix: "10.8.0.0/16",
			kind: "forward", gateway: "10.0.2.2", dev: "port2", linux: "via 10.0.2.2 dev port2", routeInTheRIB: true, members: 1},
		{q: &LookupRequest{Dst: "10.13.1.1"}, reason: dataplane.UnresolvedNeigh, prefix: "10.13.0.0/16", kind: "forward",
			gateway: "10.0.2.77", dev: "port2", linux: "via 10.0.2.77 dev port2", routeInTheRIB: true, members: 1},
		{q: &LookupRequest{Dst: "10.14.1.1"}, reason: dataplane.PuntRoute, prefix: "10.14.0.0/16", kind: "punt", routeInTheRIB: true},
	} {
		got, err := w.client.Lookup(context.Background(), c.q)
		if err != nil {
			t.Errorf("%v: %v", c.q, err)
			continue
		}
		if got.Reason != c.reason.String() || got.Verdict != c.reason.Verdict().String() || got.Prefix != c.prefix || got.GroupKind != c.kind || got.Members != c.members {
			t.Errorf("%v: %s for %s, %s, a group %s of %d; want %s, %s, %s of %d",
				c.q, got.Verdict, got.Reason, got.Prefix, got.GroupKind, got.Members, c.reason, c.prefix, c.kind, c.members)
		}
		if c.dev != "" && (got.Dev != c.dev || got.Gateway != c.gateway) {
			t.Errorf("%v: via %q dev %q, want %q, %q", c.q, got.Gateway, got.Dev, c.gateway, c.dev)
		}
		if (got.Route != nil) != c.routeInTheRIB || got.Route != nil && got.Route.Dst != c.prefix {
			t.Errorf("%v: route %v", c.q, got.Route)
		}
		if !got.Kernel.Agrees {
			t.Errorf("%v: Linux does not agree: %v", c.q, got.Kernel)
		}
		if says := linuxSays(got, c.q.Dst); c.linux != "" && says != c.linux {
			t.Errorf("%v: Linux says %q, want %q", c.q, says, c.linux)
		}
		if got.Iif != "port1" || got.Mode != "native" || got.Nanoseconds <= 0 || got.Generation == 0 || len(got.Packet) < 60 {
			t.Errorf("%v: in by %s (%s), %d ns, generation %d, %d bytes", c.q, got.Iif, got.Mode, got.Nanoseconds, got.Generation, len(got.Packet))
		}
		if want := map[bool]string{true: "10.0.1.2", false: "2001:db8:1::2"}[strings.Contains(c.q.Dst, ".")]; got.Src != want {
			t.Errorf("%v: from %s, want %s", c.q, got.Src, want)
		}
		forwarded := c.reason == dataplane.Forwarded
		if forwarded && c.members == 1 && (got.Lladdr != mac2 || got.Mtu != 1500 || !bytes.Equal(got.Result[:6], []byte{2, 0, 0, 0, 1, 2})) {
			t.Errorf("%v: to %s, mtu %d: %x", c.q, got.Lladdr, got.Mtu, got.Result[:14])
		}
		if forwarded == bytes.Equal(got.Packet, got.Result) {
			t.Errorf("%v: came in as %x, left as %x", c.q, got.Packet, got.Result)
		}
		if len(got.Steps) == 0 && got.Prefix != "" {
			t.Errorf("%v: no steps", c.q)
		}
	}
	after := w.engine.Counters(1)
	if since := after.Since(&before); since.Of(dataplane.Forward).Packets != 0 {
		t.Error("made packets were counted as traffic")
	}
}

// Flows spread over the members as their weights say; each answer is one of them.
func TestLookupSpreads(t *testing.T) {
	w := serve(t, 1<<20, nil)
	ip(t, "route add 10.9.0.0/16 nexthop via 10.0.1.2 weight 3 nexthop via 10.0.2.2")
	w.has("10.9.0.0/16")
	by := map[string]int{}
	for port := range uint32(400) {
		got, err := w.client.Lookup(context.Background(), &LookupRequest{Dst: "10.9.1.1", Sport: 1000 + port})
		if err != nil {
			t.Fatal(err)
		}
		if !got.Kernel.Agrees {
			t.Errorf("%v", got.Kernel)
		}
		by[got.Gateway+" "+got.Dev]++
	}
	if n := by["10.0.1.2 port1"]; len(by) != 2 || n < 240 || n > 360 {
		t.Errorf("400 flows: %v, want 300 to the first", by)
	}
}

// Where Linux decides by what weft does not look at, the answer says so.
func TestLookupDisagrees(t *testing.T) {
	w := serve(t, 1<<20, nil)
	ip(t, "route add 10.8.0.0/16 via 10.0.1.2")
	ip(t, "route add 10.9.0.0/16 via 10.0.2.2")
	w.has("10.8.0.0/16")
	w.has("10.9.0.0/16")
	err := w.follower.Do(context.Background(), func(r *rib.RIB) { // the image is spoilt
		to, _ := r.Answer(rib.KeyOf(0, netip.MustParsePrefix("10.9.0.0/16")))
		table, err := r.Image().Table(0)
		if err == nil {
			err = table.Insert(netip.MustParsePrefix("10.8.0.0/16"), to)
		}
		if err != nil {
			t.Error(err)
		}
		r.Image().Publish()
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.client.Lookup(context.Background(), &LookupRequest{Dst: "10.8.1.1", Src: "10.0.1.66"})
	if err != nil {
		t.Fatal(err)
	}
	if got.Kernel.Agrees || got.Kernel.Why != "via 10.0.1.2 dev port1" || got.Kernel.Gateway != "10.0.1.2" {
		t.Errorf("%v", got.Kernel)
	}
}

// Who offers the routes of a prefix, and which was chosen, is told.
func TestLookupOfSeveralSources(t *testing.T) {
	w := serve(t, 1<<20, nil)
	ip(t, "route add 10.8.0.0/16 via 10.0.1.2 metric 100")
	w.has("10.8.0.0/16")
	set := func(source rib.Source, preference uint32, gateway string) {
		if err := w.follower.Update(context.Background(), func(r *rib.RIB) {
			if err := r.Set(&rib.Route{
				Prefix: netip.MustParsePrefix("10.8.0.0/16"), Source: source, Protocol: rib.ProtocolWeft, Preference: preference,
				Hops: []rib.Hop{{Gateway: netip.MustParseAddr(gateway)}},
			}); err != nil {
				t.Error(err)
			}
		}, nil); err != nil {
			t.Fatal(err)
		}
	}
	set(rib.Static, 1, "192.0.2.1") // nothing leads there
	set(rib.BGP, 20, "10.0.2.2")
	got, err := w.client.Lookup(context.Background(), &LookupRequest{Dst: "10.8.1.1"})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, c := range got.Candidates {
		told = append(told, fmt.Sprintf("%s %s %d %v %v: %s", c.Source, c.Protocol, c.Metric, c.Eligible, c.Selected, c.Why))
	}
	want := "static 119 1 false false: no route leads to gateway 192.0.2.1\n" +
		"bgp bgp 20 true true: preference 20, the next has 100\n" +
		"kernel boot 100 true false: preference 100, the best has 20"
	if all := strings.Join(told, "\n"); all != want {
		t.Errorf("candidates\n%s\nwant\n%s", all, want)
	}
	if got.Route == nil || got.Route.Source != "bgp" || got.Dev != "port2" || got.Gateway != "10.0.2.2" || len(got.Route.Resolved) != 1 {
		t.Errorf("route %v, dev %s, gateway %s", got.Route, got.Dev, got.Gateway)
	}
	if all := w.routes(&RoutesRequest{Prefix: "10.8.0.0/16"}); len(all) != 1 || all[0].Source != "bgp" || all[0].Protocol != "bgp" || !all[0].Installed {
		t.Errorf("%v", all)
	}
}

func TestLookupRefuses(t *testing.T) {
	w := serve(t, 1<<20, nil)
	for _, c := range []struct {
		q    *LookupRequest
		code codes.Code
		part string
	}{
		{&LookupRequest{}, codes.InvalidArgument, `destination ""`},
		{&LookupRequest{Dst: "fe80::1%port1"}, codes.InvalidArgument, "destination"},
		{&LookupRequest{Dst: "10.0.0.0/8"}, codes.InvalidArgument, "destination"},
		{&LookupRequest{Dst: "10.0.0.1", Src: "2001:db8::1"}, codes.InvalidArgument, "source"},
		{&LookupRequest{Dst: "10.0.0.1", Src: "x"}, codes.InvalidArgument, "source"},
		{&LookupRequest{Dst: "10.0.0.1", Ttl: 256}, codes.InvalidArgument, "out of range"},
		{&LookupRequest{Dst: "10.0.0.1", Sport: 65536}, codes.InvalidArgument, "out of range"},
		{&LookupRequest{Dst: "10.0.0.1", Length: 27}, codes.InvalidArgument, "28 to 9000"},
		{&LookupRequest{Dst: "2001:db8::1", Length: 47}, codes.InvalidArgument, "48 to 9000"},
		{&LookupRequest{Dst: "10.0.0.1", Length: 9001}, codes.InvalidArgument, "28 to 9000"},
		{&LookupRequest{Dst: "10.0.0.1", Iif: "peer1"}, codes.NotFound, "peer1"},
	} {
		_, err := w.client.Lookup(context.Background(), c.q)
		if status.Code(err) != c.code || !strings.Contains(err.Error(), c.part) {
			t.Errorf("%v: %v, want %v and %q", c.q, err, c.code, c.part)
		}
	}
	if got, err := w.client.Lookup(context.Background(), &LookupRequest{Dst: "10.0.2.9", Iif: "port2", Length: 9000}); err != nil || got.Iif != "port2" || len(got.Packet) != 9014 {
		t.Errorf("%v %v", got, err)
	}
	for _, p := range w.engine.Ports() {
		if err := w.engine.RemovePort(p.Number); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.client.Lookup(context.Background(), &LookupRequest{Dst: "10.0.0.1"}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("without ports: %v", err)
	}
}

// A made packet that comes in by a VLAN has its tags.
func TestProbeFrame(t *testing.T) {
	p := &probe{
		port: dataplane.PortStatus{Port: dataplane.Port{MAC: dataplane.MAC{2, 0, 0, 0, 0, 1}}}, tags: []byte{0x88, 0xa8, 0, 5, 0x81, 0, 0, 100},
		src: mustAddr("10.0.1.2"), dst: mustAddr("10.0.2.2"), protocol: protocolUDP, sport: 1, dport: 2, ttl: 64, length: 100,
	}
	f := p.frame()
	if len(f) != 14+8+100 || !bytes.Equal(f[12:22], append(p.tags, 8, 0)) || f[22] != 0x45 || checksum(f[22:42]) != 0 {
		t.Errorf("%x", f)
	}
	if n := binary.BigEndian.Uint16(f[22+24:]); n != 80 {
		t.Errorf("UDP length %d", n)
	}
}
