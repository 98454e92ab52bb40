package bgp

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strings"
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
// used, ms; peak is the most it had since the question before.
func usage() map[string]uint64 {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u) //nolint:errcheck // then it is 0
	b, _ := os.ReadFile("/proc/self/statm")
	var size, resident uint64
	fmt.Sscan(string(b), &size, &resident) //nolint:errcheck // likewise
	spent := u.Utime.Nano() + u.Stime.Nano()
	b, _ = os.ReadFile("/proc/self/status")
	var peak uint64
	if _, text, ok := strings.Cut(string(b), "VmHWM:"); ok {
		fmt.Sscan(text, &peak) //nolint:errcheck // likewise
	}
	os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) //nolint:errcheck // likewise
	return map[string]uint64{"peak": peak, "kB": resident * 4, "ms": uint64(spent / 1e6)}
}

// BenchmarkTable is how long a table takes that a neighbor sends, from the session on:
// into GoBGP alone, and into the RIB, without and with a limit of prefixes.
//
//	go test ./control/bgp -run xxx -bench Table -benchtime 1x
func BenchmarkTable(b *testing.B) {
	for _, n := range []int{100_000, 1_062_046} {
		for _, how := range []string{"alone", "fresh", "limited"} {
			b.Run(fmt.Sprintf("%d/%s", n, how), func(b *testing.B) {
				for range b.N {
					benchmarkTable(b, n, how)
				}
			})
		}
	}
}

// benchmarkPair makes two neighbors, of which the first is shut down.
func benchmarkPair(b *testing.B, how string) (from, to *router) {
	na, nb := newNamespace(b), newNamespace(b)
	wire(b, na, nb, "toB", "toA")
	ip(b, "-n "+na+" addr add 192.0.2.1/24 dev toB")
	ip(b, "-n "+nb+" addr add 192.0.2.2/24 dev toA")
	from, to = newRouter(b, na), start(b, nb, how)
	from.apply("  as: 65001\n  neighbors: [{address: 192.0.2.2, remote_as: 65002, shutdown: true}]")
	return from, to
}

func benchmarkTable(b *testing.B, n int, how string) {
	b.StopTimer()
	from, to := benchmarkPair(b, how)
	from.must(request{Inject: n})
	if how != "alone" {
		limit := map[string]string{"limited": ", maximum_prefixes: 2000000"}[how]
		to.apply("  as: 65002\n  neighbors: [{address: 192.0.2.1, remote_as: 65001" + limit + "}]")
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

// BenchmarkShow is how long it takes to tell of a full table, and how much memory that takes besides: the
// status, neighbors when paths are counted and when they were just now, all paths, and the first
// of them.
//
//	go test ./control/bgp -run xxx -bench Show -benchtime 1x
func BenchmarkShow(b *testing.B) {
	const n = 1_000_000
	from, to := benchmarkPair(b, "fresh")
	to.apply("  as: 65002\n  neighbors: [{address: 192.0.2.1, remote_as: 65001}]")
	from.must(request{Inject: n})
	from.apply("  as: 65001\n  neighbors: [{address: 192.0.2.2, remote_as: 65002}]")
	for to.must(request{Count: true}).Status.Installed < n {
		time.Sleep(200 * time.Millisecond)
	}
	for _, what := range []string{"status", "neighbors", "neighbors again", "paths", "paths again", "longer", "adj-rib-in"} {
		b.Run(what, func(b *testing.B) {
			before, took := to.must(request{Count: true}).Status.Paths, uint64(0)
			for range b.N {
				took += to.must(request{Measure: what}).Status.Paths["us"]
			}
			after := to.must(request{Count: true}).Status.Paths
			b.ReportMetric(float64(took)/1000/float64(b.N), "ms/op")
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(after["peak"])/1024-float64(before["kB"])/1024, "peak-MB-more")
		})
	}
	to.end()
	from.end()
}

// measure returns how long a question takes, us.
func measure(s *Server, what string) (map[string]uint64, error) {
	began := time.Now()
	var err error
	count, want := 0, 0
	filter := Filter{}
	switch what {
	case "status":
		_, err = s.Status()
	case "neighbors", "neighbors again":
		_, err = s.Neighbors(false)
	case "longer":
		filter, want = Filter{Prefix: netip.MustParsePrefix("20.1.0.0/16"), Longer: true}, 256
	case "adj-rib-in":
		filter, want = Filter{Table: AdjIn, Neighbor: "192.0.2.1"}, 1_000_000
	default:
		want = 1_000_000
	}
	if want > 0 {
		for _, failed := range s.Paths(filter) {
			count, err = count+1, failed
		}
		if err == nil && count != want {
			err = fmt.Errorf("%s: %d paths, want %d", what, count, want)
		}
	}
	return map[string]uint64{"us": uint64(time.Since(began).Microseconds())}, err
}
