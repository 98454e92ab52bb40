package bgp

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/server"
	"golang.org/x/sys/unix"
)

// inject makes a router advertise n prefixes, in groups of ten that share attributes.
func inject(s *Server, n int) error {
	sp, _ := s.lock()
	var batch []*apiutil.Path
	for i := range n {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], 20<<24+uint32(i)<<8)
		p := ownPath(netip.PrefixFrom(netip.AddrFrom4(b), 24), reasonOf{network: true})
		if batch = append(batch, p); len(batch) == 10000 || i == n-1 {
			if _, err := sp.bgp.AddPath(apiutil.AddPathRequest{Paths: batch}); err != nil {
				return err
			}
			batch = nil
		}
	}
	return nil
}

// beAlone is GoBGP without weft, with one neighbor, which is asked how much it has.
func beAlone() error {
	s := gobgp.NewBgpServer()
	go s.Serve()
	ctx := context.Background()
	if err := s.StartBgp(ctx, &api.StartBgpRequest{Global: &api.Global{Asn: 65002, RouterId: "192.0.2.2", ListenPort: 179}}); err != nil {
		return err
	}
	if err := s.AddPeer(ctx, &api.AddPeerRequest{Peer: &api.Peer{Conf: &api.PeerConf{NeighborAddress: "192.0.2.1", PeerAsn: 65001}}}); err != nil {
		return err
	}
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var r request
		if in.Decode(&r) != nil {
			return nil
		}
		t, err := s.GetTable(ctx, &api.GetTableRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: &api.Family{Afi: api.Family_AFI_IP, Safi: api.Family_SAFI_UNICAST}})
		if err != nil {
			return err
		}
		if err := out.Encode(answer{Status: Status{Installed: t.NumDestination, Paths: usage()}}); err != nil {
			return err
		}
	}
}

// usage returns how much memory the process has, kB, and how much time of a core it has
// used, ms.
func usage() map[string]uint64 {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u) //nolint:errcheck // then it is 0
	b, _ := os.ReadFile("/proc/self/statm")
	var size, resident uint64
	fmt.Sscan(string(b), &size, &resident) //nolint:errcheck // likewise
	spent := u.Utime.Nano() + u.Stime.Nano()
	return map[string]uint64{"kB": resident * 4, "ms": uint64(spent / 1e6)}
}

// BenchmarkTable is how long a table takes that a neighbor sends, from the session on:
// into GoBGP alone, and into the RIB.
//
//	go test ./control/bgp -run xxx -bench Table -benchtime 1x
func BenchmarkTable(b *testing.B) {
	for _, n := range []int{100_000, 1_062_046} {
		for _, how := range []string{"alone", "fresh"} {
			b.Run(fmt.Sprintf("%d/%s", n, how), func(b *testing.B) {
				for range b.N {
					benchmarkTable(b, n, how)
				}
			})
		}
	}
}

func benchmarkTable(b *testing.B, n int, how string) {
	b.StopTimer()
	na, nb := newNamespace(b), newNamespace(b)
	wire(b, na, nb, "toB", "toA")
	ip(b, "-n "+na+" addr add 192.0.2.1/24 dev toB")
	ip(b, "-n "+nb+" addr add 192.0.2.2/24 dev toA")
	from, to := newRouter(b, na), start(b, nb, how)
	from.apply("  as: 65001\n  neighbors: [{address: 192.0.2.2, remote_as: 65002, shutdown: true}]")
	from.must(request{Inject: n})
	if how != "alone" {
		to.apply("  as: 65002\n  neighbors: [{address: 192.0.2.1, remote_as: 65001}]")
	}
	from.apply("  as: 65001\n  neighbors: [{address: 192.0.2.2, remote_as: 65002}]")
	count := func() answer { return to.must(request{Count: true}) }
	for count().Status.Installed == 0 {
		time.Sleep(time.Millisecond)
	}
	before := count().Status.Paths["ms"]
	b.StartTimer()
	for count().Status.Installed < uint64(n) {
		time.Sleep(200 * time.Millisecond)
	}
	b.StopTimer()
	after := count().Status.Paths
	b.ReportMetric(float64(after["kB"])/1024, "MB")
	b.ReportMetric(float64(after["ms"]-before)/1000, "core-s")
	to.end()
	from.end()
}
