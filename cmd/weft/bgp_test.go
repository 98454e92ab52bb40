package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestFRRTime(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "00:00:00", 0: "00:00:00", 3*time.Minute + 5*time.Second: "00:03:05", 24*time.Hour - time.Second: "23:59:59",
		26*time.Hour + 3*time.Minute: "1d02h03m", 7 * 24 * time.Hour: "01w0d00h", 17*24*time.Hour + 4*time.Hour: "02w3d04h",
	} {
		if got := frrTime(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

// TestBGPRequests holds what the daemon is asked.
func TestBGPRequests(t *testing.T) {
	for args, want := range map[string]string{
		"bgp routes":                                   `"" "" ipv6-unicast "" longer false best false`,
		"-4 bgp routes":                                `"" "" ipv4-unicast "" longer false best false`,
		"bgp routes --family ipv4-unicast":             `"" "" ipv4-unicast "" longer false best false`,
		"bgp routes received eth0 10.0.0.0/8 l":        `"adj-rib-in" "eth0" ipv4-unicast "10.0.0.0/8" longer true best false`,
		"-6 bgp routes advertised 192.0.2.2":           `"adj-rib-out" "192.0.2.2" ipv6-unicast "" longer false best false`,
		"bgp routes 2001:db8::/32 from 192.0.2.2 best": `"loc-rib" "192.0.2.2" ipv6-unicast "2001:db8::/32" longer false best true`,
		"bgp routes 10.2.3.4":                          `"" "" ipv4-unicast "10.2.3.4" longer false best false`,
		"bgp routes 10.2.3.4 longer":                   `"" "" ipv4-unicast "10.2.3.4/32" longer true best false`,
	} {
		f := &fake{}
		weft(t, f, strings.Fields(args)...)
		q := f.bgpPaths
		got := fmt.Sprintf("%q %q %s %q longer %v best %v", q.GetTable(), q.GetNeighbor(), q.GetFamily(), q.GetPrefix(), q.GetLonger(), q.GetBest())
		if got != want {
			t.Errorf("%s: asked %s, want %s", args, got, want)
		}
	}
	for args, want := range map[string]string{
		"192.0.2.2": "192.0.2.2 hard", "eth0 soft": "eth0 soft", "all soft out": "all soft out", "* in": "all soft in", "eth0 out": "eth0 soft out",
	} {
		f := &fake{}
		if r := weft(t, f, append([]string{"bgp", "clear"}, strings.Fields(args)...)...); r.exit != 0 {
			t.Errorf("clear %s: %s", args, r.stderr)
		}
		if got := f.bgpClear.GetNeighbor() + " " + f.bgpClear.GetHow(); got != want {
			t.Errorf("clear %s: asked %s, want %s", args, got, want)
		}
	}
}

// TestManyPaths lists so many paths that to hold them all would take more than the
// bound.
func TestManyPaths(t *testing.T) {
	const many = 250000
	for _, args := range [][]string{{"bgp", "routes"}, {"--json", "bgp", "routes"}} {
		var m meter
		var stdout, stderr bytes.Buffer
		e := testEnv(t, &stdout, &stderr)
		e.stdout = &m
		exit := command(context.Background(), e, append([]string{"--socket", serve(t, &fake{many: many})}, args...))
		if exit != 0 || m.lines != many+1 {
			t.Errorf("%s: exit %d, %d lines: %s", args, exit, m.lines, &stderr)
		}
		const bound = 48 << 20
		t.Logf("%s: %d MB out, heap %.1f MiB at most", args, m.bytes/1e6, float64(m.heap)/(1<<20))
		if m.heap == 0 || m.heap > bound {
			t.Errorf("%s: the heap had %d bytes, want less than %d", args, m.heap, bound)
		}
	}
}

// frrKeys are keys that FRR 8.4 prints for a session that is up and a path.
var frrKeys = map[string]string{
	"bgp .ipv4Unicast": "routerId as vrfId vrfName ribCount peerCount peers failedPeers displayedPeers totalPeers dynamicPeers",
	"bgp .ipv4Unicast.peers.192.0.2.2": "remoteAs localAs version msgRcvd msgSent peerUptime peerUptimeMsec peerUptimeEstablishedEpoch pfxRcd " +
		"state peerState connectionsEstablished connectionsDropped desc idType",
	"bgp neighbors .192.0.2.2": "remoteAs localAs nbrExternalLink nbrDesc bgpVersion remoteRouterId localRouterId bgpState bgpTimerUpMsec " +
		"bgpTimerUpString bgpTimerUpEstablishedEpoch bgpTimerConfiguredHoldTimeMsecs bgpTimerConfiguredKeepAliveIntervalMsecs bgpTimerHoldTimeMsecs " +
		"bgpTimerKeepAliveIntervalMsecs neighborCapabilities gracefulRestartInfo messageStats addressFamilyInfo connectionsEstablished " +
		"connectionsDropped lastResetDueTo hostLocal portLocal hostForeign portForeign connectRetryTimer",
	"bgp neighbors .192.0.2.2.neighborCapabilities": "multiprotocolExtensions routeRefresh 4byteAs hostName",
	"bgp neighbors .192.0.2.2.messageStats": "opensSent opensRecv notificationsSent notificationsRecv updatesSent updatesRecv keepalivesSent " +
		"keepalivesRecv routeRefreshSent routeRefreshRecv totalSent totalRecv",
	"bgp neighbors .192.0.2.2.addressFamilyInfo.ipv4Unicast":  "acceptedPrefixCounter",
	"bgp routes .ipv4Unicast":                                 "vrfId vrfName routerId localAS routes",
	"bgp routes .ipv4Unicast.routes.10.2.0.0/16.0":            "valid bestpath pathFrom prefix prefixLen network metric peerId path origin nexthops",
	"bgp routes .ipv4Unicast.routes.10.2.0.0/16.0.nexthops.0": "ip afi used",
}

func TestFRRKeys(t *testing.T) {
	for where, keys := range frrKeys {
		args, path, _ := strings.Cut(where, " .")
		r := weft(t, &fake{}, append([]string{"--json"}, strings.Fields(args)...)...)
		var v any
		if err := json.Unmarshal([]byte(r.stdout), &v); err != nil {
			t.Fatalf("%s: %v", args, err)
		}
		for rest := path; rest != ""; {
			v, rest = descend(t, v, rest)
		}
		object, _ := v.(map[string]any)
		for _, key := range strings.Fields(keys) {
			if _, ok := object[key]; !ok {
				t.Errorf("%s: no %s in %v", where, key, v)
			}
		}
	}
}

// descend goes one step down a path, whose steps may have dots in them.
func descend(t *testing.T, v any, path string) (any, string) {
	t.Helper()
	switch v := v.(type) {
	case []any:
		_, rest, _ := strings.Cut(path, ".")
		return v[0], rest
	case map[string]any:
		for key, below := range v {
			if rest, ok := strings.CutPrefix(path+".", key+"."); ok {
				return below, strings.TrimSuffix(rest, ".")
			}
		}
	}
	t.Fatalf("no %s in %v", path, v)
	return nil, ""
}
