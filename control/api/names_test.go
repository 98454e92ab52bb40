package api

import (
	"context"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
)

// TestOddName has a port whose name is not UTF-8, which Linux takes and an answer cannot carry: it is told of under another
// one, and so are all others.
func TestOddName(t *testing.T) {
	w := serve(t, 1<<20, nil)
	const odd, shown = "port\xff\x1b", "port\uFFFD\x1b"
	ip(t, "link add name "+odd+" type veth peer name odd-peer")
	t.Cleanup(func() { ip(t, "link del odd-peer") })
	ip(t, "link set odd-peer up")
	ip(t, "link set "+odd+" up")
	ip(t, "addr add 10.0.9.1/24 dev "+odd)
	ip(t, "neigh add 10.0.9.2 lladdr 02:00:00:00:01:09 nud permanent dev "+odd)
	ip(t, "route add 10.9.0.0/16 via 10.0.9.2")
	w.has("10.9.0.0/16")
	w.eventually(func() string {
		reply, err := w.client.ListPorts(context.Background(), &PortsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range reply.Ports {
			if p.Dev == shown {
				return ""
			}
		}
		return "no port " + shown
	})
	reply, err := w.client.Lookup(context.Background(), &LookupRequest{Dst: "10.0.9.7", Iif: shown})
	if err != nil {
		t.Fatal(err)
	}
	if reply.Iif != shown || reply.Dev != shown {
		t.Errorf("in by %q, out by %q", reply.Iif, reply.Dev)
	}
	for _, r := range w.routes(&RoutesRequest{Dev: shown}) {
		if r.Nexthops[0].Dev != shown {
			t.Errorf("%v", r)
		}
	}
	neighbors, err := w.client.ListNeighbors(context.Background(), &NeighborsRequest{})
	if err == nil {
		_, err = neighbors.Recv()
	}
	if err != nil {
		t.Error(err)
	}
	if _, err := proto.Marshal(&Event{Note: validUTF8("\xff")}); err != nil || utf8.ValidString(odd) {
		t.Error(err)
	}
}

// Protocols have the names that 'ip route' shows where FRR is installed.
func TestProtocolNames(t *testing.T) {
	for p, want := range map[uint8]string{4: "static", 11: "zebra", 186: "bgp", 188: "ospf", 190: "ripng", 191: "nhrp", 195: "pbr", 196: "static", 197: "openfabric", 119: "119"} {
		if got := protocolName(p); got != want {
			t.Errorf("protocol %d is %s, want %s", p, got, want)
		}
	}
}
