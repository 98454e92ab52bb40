package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"weft/control/api"
	"weft/control/rib"
)

var update = flag.Bool("update", false, "write testdata anew")

// All of the kernel's tables are read again, or about to be.
var (
	running = &api.Rereading{Why: "changes were lost: the receive buffer ran over", Since: began.Add(-2 * time.Second).UnixNano(), Running: true}
	pending = &api.Rereading{Why: string(rib.LinkChanged), Since: began.Add(-100 * time.Millisecond).UnixNano()}
)

// golden are command lines by the file of what they print.
var golden = []struct {
	name string
	fake fake
	args string
}{
	{"status", fake{}, "status"},
	{"status-json", fake{}, "status -j -p"},
	{"status-loading", fake{state: "loading"}, "status"},
	{"status-kernel", fake{state: "kernel"}, "status"},
	{"status-degraded", fake{state: "degraded"}, "status"},
	{"status-no-ports", fake{noPorts: true}, "status"},
	{"status-unaccounted", fake{unaccounted: true}, "status"},
	{"status-unaccounted-json", fake{unaccounted: true}, "status -j -p"},
	{"status-fpm", fake{fpm: &api.FPM{Address: "127.0.0.1:2620", Peer: "127.0.0.1:40112", Since: began.Add(-90 * time.Second).UnixNano(),
		Routes: 10006, Stale: 12, Parked: 3, Nexthops: 14, Connections: 2, Frames: 10020, BadFrames: 1, Messages: 10026, Offloaded: 10003}}, "status"},
	{"status-fpm-nobody", fake{fpm: &api.FPM{Address: "127.0.0.1:2620", Refused: 1}}, "status"},
	{"status-fpm-json", fake{fpm: &api.FPM{Address: "127.0.0.1:2620", Peer: "127.0.0.1:40112", Since: began.UnixNano(), Routes: 7}}, "status -j"},
	{"status-rereading", fake{rereading: running}, "status"},
	{"status-rereading-pending", fake{rereading: pending}, "status"},
	{"status-rereading-json", fake{rereading: running}, "status -j -p"},
	{"status-own", fake{own: true}, "status"},
	{"status-own-json", fake{own: true}, "status -j -p"},
	{"routes-own", fake{own: true}, "routes --all"},
	{"routes-own-json", fake{own: true}, "routes --all -j -p"},
	{"ports-unaccounted", fake{unaccounted: true}, "ports"},
	{"ports", fake{}, "ports"},
	{"ports-json", fake{}, "ports --json --pretty"},
	{"ports-one", fake{}, "ports eth0"},
	{"ports-none", fake{}, "ports ehto"},
	{"routes", fake{}, "routes"},
	{"routes-all", fake{}, "routes --all"},
	{"routes-json", fake{}, "-j -p routes --all"},
	{"routes-json-lines", fake{}, "-j routes 10.0.0.0/8"},
	{"routes-ipv6", fake{}, "-6 r"},
	{"routes-none", fake{}, "routes 10.9.0.0/16"},
	{"routes-none-json", fake{}, "routes 10.9.0.0/16 -j"},
	{"routes-none-exact", fake{}, "routes 10.9.0.0/16 --exact"},
	{"routes-no-dev", fake{}, "routes dev nodev -j"},
	{"get", fake{}, "r g 10.1.2.3"},
	{"get-json", fake{}, "-j -p routes get 10.1.2.3"},
	{"get-explain", fake{}, "routes get 10.1.2.3 from 192.0.2.9 iif veth1 explain"},
	{"get-explain-json", fake{}, "routes get 10.1.2.3 explain -j -p"},
	{"get-explain-sources", fake{}, "routes get 10.4.1.1 explain"},
	{"get-explain-sources-json", fake{}, "routes get 10.4.1.1 explain -j -p"},
	{"get-soft", fake{}, "routes get 10.1.2.3 iif soft1"},
	{"get-soft-explain", fake{}, "routes get 10.1.2.3 iif soft1 ttl 1 explain"},
	{"get-soft-json", fake{}, "routes get 10.1.2.3 iif soft1 ttl 1 -j"},
	{"get-ttl", fake{}, "routes get 10.1.2.3 ttl 1 exp"},
	{"get-no-route", fake{}, "routes get 203.0.113.9"},
	{"get-no-route-json", fake{}, "routes get 203.0.113.9 -j"},
	{"get-no-route-explain", fake{}, "routes get 203.0.113.9 explain"},
	{"get-disagrees", fake{}, "routes get 192.0.2.254 explain"},
	{"get-no-port", fake{}, "routes get 10.1.2.3 iif eth7"},
	{"neighbors", fake{}, "neigh"},
	{"neighbors-json", fake{}, "-4 -j neigh show dev eth0"},
	{"neighbors-none", fake{}, "neighbors 192.0.2.77"},
	{"groups", fake{}, "groups"},
	{"groups-json", fake{}, "groups 5 -j -p"},
	{"groups-none", fake{}, "groups 99"},
	{"drops", fake{}, "drops"},
	{"drops-json", fake{}, "drops -j -p --reason unresolved_neigh"},
	{"drops-at-once", fake{}, "drops -i 0"},
	{"drops-follow", fake{}, "drops -f"},
	{"drops-follow-json", fake{}, "drops -f -j"},
	{"drops-unaccounted", fake{unaccounted: true}, "drops --reason unaccounted"},
	{"drops-unaccounted-json", fake{unaccounted: true}, "drops -j -p --reason unaccounted"},
	{"stats-unaccounted", fake{unaccounted: true}, "stats -c 1"},
	{"drops-none", fake{noPorts: true}, "drops"},
	{"drops-no-reason", fake{}, "drops --reason unresolved_neigth"},
	{"stats", fake{}, "stats"},
	{"stats-stages", fake{}, "stats --stages"},
	{"stats-stages-json", fake{}, "stats --stages --json"},
	{"stats-no-stages", fake{noPorts: true}, "stats --stages"},
	{"stats-json", fake{}, "stats -j -c 1 -i 2"},
	{"monitor", fake{}, "monitor -t"},
	{"monitor-json", fake{}, "monitor --json"},
	{"monitor-kind", fake{}, "monitor routes"},
	{"monitor-no-kind", fake{}, "monitor ruote"},
	{"trace", fake{}, "trace show"},
	{"trace-json", fake{}, "trace -j -p"},
	{"trace-none", fake{noPorts: true}, "show trace"},
	{"trace-add", fake{}, "trace add udp port 53 10 --verdict drop --dev eth0"},
	{"trace-add-json", fake{}, "trace add 10 -j"},
	{"trace-add-wrong", fake{}, "trace add hots 10.0.0.1 5"},
	{"trace-add-wrong-json", fake{}, "trace add hots 10.0.0.1 5 -j"},
	{"trace-add-no-number", fake{}, "trace add udp"},
	{"trace-clear", fake{}, "trace clear"},
	{"capture", fake{}, "capture"},
	{"capture-json", fake{}, "capture -j"},
	{"capture-sent", fake{}, "capture --sent out"},
	{"capture-reason", fake{}, "capture --reason ipv4_lpm_mis"},
	{"help-trace-add", fake{}, "trace add --help"},
	{"help-capture", fake{}, "capture --help"},
	{"verify", fake{}, "verify"},
	{"verify-differs", fake{differences: 2}, "verify"},
	{"verify-rereading", fake{rereading: pending}, "verify"},
	{"verify-rereading-json", fake{rereading: running}, "verify -j -p"},
	{"verify-differs-json", fake{differences: 2}, "verify -j -p"},
	{"conformance", fake{}, "conformance 9 1 3"},
	{"conformance-fails", fake{}, "conformance 1-3"},
	{"conformance-json", fake{}, "conformance 1-2 9 -j -p"},
	{"conformance-interrupted", fake{}, "conformance 23-25"},
	{"conformance-interrupted-json", fake{}, "conformance 23-25 -j"},
	{"conformance-no-clause", fake{}, "conformance 101"},
	{"conformance-no-range", fake{}, "conformance 9-1"},
	{"help-conformance", fake{}, "conformance --help"},
	{"config", fake{}, "config"},
	{"config-json", fake{pending: true}, "config -j -p"},
	{"config-pending", fake{pending: true}, "show config"},
	{"config-check", fake{}, "config check testdata/config/router.yaml"},
	{"config-check-json", fake{}, "config check testdata/config/router.yaml -j"},
	{"config-check-stdin", fake{}, "config check -"},
	{"config-check-wrong", fake{}, "config check testdata/config/wrong.yaml"},
	{"config-check-wrong-json", fake{}, "config check testdata/config/wrong.yaml --json"},
	{"config-check-none", fake{}, "config check testdata/config/none.yaml"},
	{"config-plan", fake{}, "config plan testdata/config/router.yaml"},
	{"config-plan-json", fake{}, "config plan testdata/config/router.yaml -j -p"},
	{"config-plan-same", fake{same: true}, "config plan testdata/config/router.yaml"},
	{"config-plan-wrong", fake{}, "config plan testdata/config/wrong.yaml"},
	{"config-apply", fake{}, "config apply testdata/config/router.yaml"},
	{"config-apply-confirm", fake{}, "config apply testdata/config/router.yaml --confirm 5m"},
	{"config-apply-confirm-json", fake{}, "config apply testdata/config/router.yaml --confirm 5m -j"},
	{"config-apply-long", fake{}, "config apply testdata/config/router.yaml --confirm 25h"},
	{"config-apply-changed", fake{err: status.Error(codes.Aborted, "the configuration has changed meanwhile: generation 5 is in force, not 4")}, "config apply testdata/config/router.yaml"},
	{"config-confirm", fake{}, "config confirm"},
	{"config-confirm-nothing", fake{err: status.Error(codes.NotFound, "nothing waits to be confirmed")}, "config confirm"},
	{"config-rollback", fake{}, "config rollback 2"},
	{"config-rollback-number", fake{}, "config rollback two"},
	{"config-show", fake{}, "config show"},
	{"config-show-json", fake{}, "config show 3 -j"},
	{"config-in-full", fake{}, "config app"},
	{"config-help", fake{}, "config --help"},
	{"ports-matched", fake{matched: true}, "ports"},
	{"ports-set", fake{}, "ports set eth0 veth* engine soft"},
	{"ports-set-json", fake{}, "ports set eth0 engine xdp -j"},
	{"ports-set-refused", fake{err: status.Error(codes.FailedPrecondition, "configuration is not taken, nothing has changed: eth0: ports cannot have this engine: no AF_XDP")}, "ports set eth0 engine soft"},
	{"ports-set-none", fake{err: status.Error(codes.NotFound, "eth7: no such port: 'weft ports' lists them, a VLAN has the engine of the port below it")}, "ports set eth7 engine soft"},
	{"ports-set-nothing", fake{}, "ports set"},
	{"ports-set-no-port", fake{}, "ports set engine soft"},
	{"ports-set-no-word", fake{}, "ports set eth0 soft"},
	{"ports-set-no-value", fake{}, "ports set eth0 engine"},
	{"ports-set-engine", fake{}, "ports set eth0 engine sotf"},
	{"ports-set-more", fake{}, "ports set eth0 engine soft eth1"},
	{"ports-set-glob", fake{}, "ports set eth[ engine soft"},
	{"ports-set-help", fake{}, "ports set --help"},
	{"routes-add", fake{}, "routes add 10.9.0.0/16 via 192.0.2.1"},
	{"routes-add-json", fake{}, "routes add 10.9.0.0/16 via 192.0.2.1 -j"},
	{"routes-add-nothing", fake{}, "routes add"},
	{"routes-add-twice", fake{}, "routes add 10.9.0.0/16 via 192.0.2.1 via 192.0.2.2"},
	{"routes-add-nexthop", fake{}, "routes add 10.9.0.0/16 via 192.0.2.1 nexthop via 192.0.2.2"},
	{"routes-add-word", fake{}, "routes add 10.9.0.0/16 vai 192.0.2.1"},
	{"routes-add-value", fake{}, "routes add 10.9.0.0/16 via"},
	{"routes-add-gateway", fake{}, "routes add 10.9.0.0/16 via host"},
	{"routes-add-weight", fake{}, "routes add 10.9.0.0/16 via 192.0.2.1 weight 300"},
	{"routes-add-there", fake{err: status.Error(codes.AlreadyExists, "10.9.0.0/16: the static route is there already: 'weft routes replace' changes it")}, "routes add 10.9.0.0/16 via 192.0.2.1"},
	{"routes-add-help", fake{}, "routes add --help"},
	{"bgp", fake{}, "bgp"},
	{"bgp-ipv6", fake{}, "-6 bgp summary"},
	{"bgp-json", fake{}, "bgp -j -p"},
	{"bgp-json-advertised", fake{}, "show bgp summary --advertised -j -p -6"},
	{"bgp-advertised", fake{}, "show bgp sum --advertised"},
	{"bgp-none", fake{noBGP: true}, "bgp"},
	{"bgp-none-json", fake{noBGP: true}, "bgp -j"},
	{"bgp-none-routes", fake{noBGP: true}, "bgp routes"},
	{"bgp-unexpected", fake{}, "bgp neigbors"},
	{"bgp-neighbors", fake{}, "bgp neighbors"},
	{"bgp-neighbors-one", fake{}, "show bgp neighbors 192.0.2.2 --advertised"},
	{"bgp-neighbors-json", fake{}, "bgp neigh 192.0.2.2 -j -p --advertised"},
	{"bgp-neighbors-json-all", fake{}, "bgp neighbors -j"},
	{"bgp-neighbors-none", fake{}, "bgp neighbors 192.0.2.77"},
	{"bgp-routes", fake{}, "bgp routes"},
	{"bgp-routes-json", fake{own: true}, "bgp routes -j"},
	{"bgp-routes-json-pretty", fake{own: true}, "-4 bgp r best -j -p"},
	{"bgp-routes-prefix", fake{}, "bgp routes 10.2.0.0/16"},
	{"bgp-routes-address", fake{}, "bgp routes 10.2.9.9"},
	{"bgp-routes-longer", fake{}, "bgp routes 10.0.0.0/8 longer"},
	{"bgp-routes-received", fake{}, "bgp routes received 192.0.2.5"},
	{"bgp-routes-received-none", fake{}, "bgp routes received 192.0.2.77"},
	{"bgp-routes-empty", fake{}, "bgp routes advertised 192.0.2.3 --family ipv4-unicast"},
	{"bgp-routes-empty-json", fake{own: true}, "bgp routes advertised 192.0.2.3 -j"},
	{"bgp-routes-none", fake{}, "bgp routes 10.9.0.0/16"},
	{"bgp-routes-none-json", fake{}, "bgp routes 10.9.0.0/16 -j"},
	{"bgp-routes-twice", fake{}, "bgp routes received 192.0.2.2 advertised 192.0.2.2"},
	{"bgp-routes-family", fake{}, "bgp routes --family ipv5"},
	{"bgp-routes-families", fake{}, "-6 bgp routes 10.0.0.0/8"},
	{"bgp-routes-word", fake{}, "bgp routes 10.0.0.0/8 longr"},
	{"bgp-routes-help", fake{}, "bgp routes --help"},
	{"bgp-help", fake{}, "bgp --help"},
	{"bgp-clear", fake{}, "bgp clear 192.0.2.2"},
	{"bgp-clear-soft", fake{}, "bgp clear * soft in"},
	{"bgp-clear-json", fake{}, "bgp clear eth0 out -j"},
	{"bgp-clear-nothing", fake{}, "bgp clear"},
	{"bgp-clear-how", fake{}, "bgp clear 192.0.2.2 hard"},
	{"bgp-clear-short", fake{}, "bgp cl 192.0.2.2"},
	{"help-exit-codes", fake{}, "help exit-codes"},
	{"help-routes", fake{}, "routes --help"},
	{"help", fake{}, "help"},
	{"usage", fake{}, "status extra"},
	{"usage-flag", fake{}, "drops --raeson x"},
	{"usage-flag-value", fake{}, "drops -i x"},
	{"usage-flag-json", fake{}, "drops --raeson x -j"},
	{"usage-command", fake{}, "sttaus"},
	{"usage-show", fake{}, "show"},
	{"usage-ambiguous", fake{}, "st"},
	{"get-short-words", fake{}, "routes get 10.1.2.3 p 6 s 1 d 2"},
	{"usage-flag-no-value", fake{}, "drops --reason"},
	{"usage-shorthand", fake{}, "drops -z"},
	{"usage-address", fake{}, "routes get 10.1.2"},
	{"usage-prefix", fake{}, "routes 10.0.0.0/33"},
	{"usage-host-bits", fake{}, "routes 10.1.0.0/8"},
	{"usage-keyword", fake{}, "routes dve eth0"},
	{"usage-missing-value", fake{}, "routes dev"},
	{"usage-twice", fake{}, "routes get 10.1.2.3 10.1.2.4"},
	{"usage-number", fake{}, "routes get 10.1.2.3 sport 70000"},
	{"usage-proto", fake{}, "routes get 10.1.2.3 proto tpc"},
	{"usage-type", fake{}, "routes type blakhole"},
	{"usage-families", fake{}, "-4 -6 routes"},
	{"usage-mode", fake{}, "run --mode nativ"},
	{"usage-glob", fake{}, "run --ports eth["},
	{"usage-engine-glob", fake{}, "run --engine soft:eth1,"},
	{"capture-no-file", fake{}, "capture -w nowhere/packets.pcapng"},
	{"usage-interval", fake{}, "stats -i 0"},
	{"usage-in-full", fake{}, "sto"},
	{"enters", fake{}, "-n blue doctor"},
	{"error-denied", fake{err: status.Error(codes.PermissionDenied, "status: only for root")}, "status"},
	{"error-internal-json", fake{err: status.Error(codes.Internal, "read counters: input/output error")}, "status -j"},
	{"error-unimplemented", fake{err: status.Error(codes.Unimplemented, "unknown method GetStatus")}, "status"},
}

func TestGolden(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range golden {
		if seen[c.name] {
			t.Errorf("two cases have the name %s", c.name)
		}
		seen[c.name] = true
		r := weft(t, &c.fake, strings.Fields(c.args)...)
		got := fmt.Sprintf("$ weft %s\n%s== stderr\n%s== exit %d\n", c.args, r.stdout, r.stderr, r.exit)
		path := filepath.Join("testdata", c.name+".txt")
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatalf("%v: run 'go test -update'", err)
		}
		if got != string(want) {
			t.Errorf("%s: not what testdata has:\n%s\nwant:\n%s", c.name, got, want)
		}
		checkJSON(t, c.name, c.args, r)
	}
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) != len(golden) {
		t.Errorf("testdata has %d files for %d cases (%v)", len(files), len(golden), err)
	}
}

// checkJSON holds for every command: with --json stdout is JSON, and an error is
// one object on stderr while stdout is empty.
func checkJSON(t *testing.T, name, args string, r result) {
	t.Helper()
	if !wantsJSON(strings.Fields(args)) {
		return
	}
	for d := json.NewDecoder(strings.NewReader(r.stdout)); ; {
		var v any
		if err := d.Decode(&v); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Errorf("%s: stdout is not JSON: %v", name, err)
			break
		}
	}
	if r.stderr == "" {
		return
	}
	var e struct {
		Error struct{ Code, Message, Hint *string }
	}
	if err := json.Unmarshal([]byte(r.stderr), &e); err != nil || e.Error.Code == nil || e.Error.Message == nil || e.Error.Hint == nil {
		t.Errorf("%s: stderr is not an error in JSON: %v: %s", name, err, r.stderr)
	}
	if r.stdout != "" {
		t.Errorf("%s: an error, and stdout has %q", name, r.stdout)
	}
}
