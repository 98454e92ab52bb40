package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"weft/control/api"
)

// bgpNeighbor is one of FRR's 'show bgp neighbors json'.
type bgpNeighbor struct {
	RemoteAS     uint32                      `json:"remoteAs"`
	LocalAS      uint32                      `json:"localAs"`
	External     bool                        `json:"nbrExternalLink,omitempty"`
	Internal     bool                        `json:"nbrInternalLink,omitempty"`
	Description  string                      `json:"nbrDesc,omitempty"`
	Address      string                      `json:"bgpNeighborAddr,omitempty"` // of an unnumbered one
	Version      int                         `json:"bgpVersion"`
	RemoteID     string                      `json:"remoteRouterId"`
	LocalID      string                      `json:"localRouterId"`
	State        string                      `json:"bgpState"`
	UpMsec       int64                       `json:"bgpTimerUpMsec,omitempty"`
	Up           string                      `json:"bgpTimerUpString,omitempty"`
	Epoch        int64                       `json:"bgpTimerUpEstablishedEpoch,omitempty"`
	ConfigHold   int64                       `json:"bgpTimerConfiguredHoldTimeMsecs"`
	ConfigKeep   int64                       `json:"bgpTimerConfiguredKeepAliveIntervalMsecs"`
	Hold         int64                       `json:"bgpTimerHoldTimeMsecs"`
	Keepalive    int64                       `json:"bgpTimerKeepAliveIntervalMsecs"`
	Capabilities map[string]any              `json:"neighborCapabilities"`
	Restart      bgpRestart                  `json:"gracefulRestartInfo"`
	Messages     bgpMessageStats             `json:"messageStats"`
	Families     map[string]*bgpFamilyCounts `json:"addressFamilyInfo"`
	Established  uint64                      `json:"connectionsEstablished"`
	Dropped      uint64                      `json:"connectionsDropped"`
	LastReset    int64                       `json:"lastResetTimerMsecs,omitempty"`
	LastDown     string                      `json:"lastResetDueTo,omitempty"`
	HostLocal    string                      `json:"hostLocal"`
	PortLocal    int                         `json:"portLocal"`
	HostForeign  string                      `json:"hostForeign"`
	PortForeign  int                         `json:"portForeign"`
	ConnectRetry int64                       `json:"connectRetryTimer"`               // seconds
	MD5          int                         `json:"authenticationEnabled,omitempty"` // 1: yes

	LastError     string   `json:"lastError,omitempty"`
	WaitsFor      string   `json:"waitsFor,omitempty"`
	ImportPolicy  []string `json:"importPolicy,omitempty"`
	ExportPolicy  []string `json:"exportPolicy,omitempty"`
	DefaultImport string   `json:"defaultImport,omitempty"`
	DefaultExport string   `json:"defaultExport,omitempty"`
}

type bgpRestart struct {
	EndOfRIB map[string]bool  `json:"endOfRibRecv"`
	Mode     string           `json:"localGrMode,omitempty"`
	Timers   bgpRestartTimers `json:"timers"`
}

type bgpRestartTimers struct {
	Configured int64 `json:"configuredRestartTimer"` // seconds
}

type bgpMessageStats struct {
	OpensSent         uint64 `json:"opensSent"`
	OpensRecv         uint64 `json:"opensRecv"`
	NotificationsSent uint64 `json:"notificationsSent"`
	NotificationsRecv uint64 `json:"notificationsRecv"`
	UpdatesSent       uint64 `json:"updatesSent"`
	UpdatesRecv       uint64 `json:"updatesRecv"`
	KeepalivesSent    uint64 `json:"keepalivesSent"`
	KeepalivesRecv    uint64 `json:"keepalivesRecv"`
	RouteRefreshSent  uint64 `json:"routeRefreshSent"`
	RouteRefreshRecv  uint64 `json:"routeRefreshRecv"`
	TotalSent         uint64 `json:"totalSent"`
	TotalRecv         uint64 `json:"totalRecv"`
}

type bgpFamilyCounts struct {
	Accepted uint64  `json:"acceptedPrefixCounter"`
	Sent     *uint64 `json:"sentPrefixCounter,omitempty"`
	Received uint64  `json:"receivedPrefixCounter"`
	Maximum  uint32  `json:"prefixAllowedMax,omitempty"`
}

func (e *env) newBGPNeighbor(n *api.BGPNeighbor, s *api.BGPStatus, advertised bool) *bgpNeighbor {
	t, r, w := n.GetTimers(), n.GetReceived(), n.GetSent()
	out := &bgpNeighbor{
		RemoteAS: n.GetAs(), LocalAS: n.GetLocalAs(), External: !n.GetInternal(), Internal: n.GetInternal(), Description: n.GetDescription(),
		Version: 4, RemoteID: orText(n.GetRouterId(), "0.0.0.0"), LocalID: s.GetRouterId(), State: frrState(n),
		ConfigHold: msec(t.GetConfigHold()), ConfigKeep: msec(t.GetConfigKeepalive()), Hold: msec(t.GetHold()), Keepalive: msec(t.GetKeepalive()),
		Capabilities: frrCapabilities(n.GetCapabilities()), Restart: bgpRestart{EndOfRIB: map[string]bool{}}, Families: map[string]*bgpFamilyCounts{},
		Messages: bgpMessageStats{
			w.GetOpen(), r.GetOpen(), w.GetNotification(), r.GetNotification(), w.GetUpdate(), r.GetUpdate(), w.GetKeepalive(), r.GetKeepalive(),
			w.GetRouteRefresh(), r.GetRouteRefresh(), w.GetTotal(), r.GetTotal(),
		},
		Established: n.GetEstablished(), Dropped: n.GetFlaps(), LastDown: n.GetLastDown(),
		HostLocal: orText(n.GetLocalAddress(), "Unknown"), PortLocal: portOf(n.GetLocalPort()),
		HostForeign: orText(n.GetAddress(), "Unknown"), PortForeign: portOf(n.GetRemotePort()),
		ConnectRetry: t.GetConnectRetry() / int64(time.Second), LastError: n.GetLastError(), WaitsFor: n.GetWaiting(),
	}
	if since := e.now().Sub(time.Unix(0, n.GetSince())); n.GetState() == established {
		out.UpMsec, out.Up, out.Epoch = since.Milliseconds(), e.upDown(n), n.GetSince()/int64(time.Second)
	} else if n.GetSince() != 0 {
		out.LastReset = since.Milliseconds()
	}
	for _, f := range n.GetFamilies() {
		counts := &bgpFamilyCounts{Accepted: f.GetAccepted(), Received: f.GetReceived(), Maximum: f.GetMaximum()}
		if advertised {
			counts.Sent = new(f.GetAdvertised())
		}
		out.Families[familyKey(f.GetFamily())] = counts
		if f.GetEndOfRib() {
			out.Restart.EndOfRIB[familyKey(f.GetFamily())] = true
		}
	}
	if n.GetAuthenticated() {
		out.MD5 = 1
	}
	if n.GetInterface() != "" {
		out.Address = orText(n.GetAddress(), "none")
	}
	out.configured(n.GetConfig())
	return out
}

// configured takes over what the configuration says.
func (out *bgpNeighbor) configured(c *api.BGPNeighborConfig) {
	if c == nil {
		return
	}
	out.Restart.Mode = map[string]string{"": "Disable", "helper": "Helper"}[c.GetGracefulRestart()]
	out.Restart.Mode = orText(out.Restart.Mode, "Restart")
	out.Restart.Timers.Configured = c.GetRestartTime() / int64(time.Second)
	out.ImportPolicy, out.DefaultImport = c.GetImportPolicy(), c.GetDefaultImport()
	out.ExportPolicy, out.DefaultExport = c.GetExportPolicy(), c.GetDefaultExport()
}

func msec(ns int64) int64 { return ns / int64(time.Millisecond) }

func orText(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func portOf(port uint32) int {
	if port == 0 {
		return -1
	}
	return int(port)
}

// familyKey is FRR's name of a family in JSON: "ipv4Unicast".
func familyKey(family string) string {
	for _, f := range bgpFamilies {
		if f.name == family {
			return f.key
		}
	}
	return family
}

// Codes of capabilities (RFC 5492) that FRR has names for in JSON.
var frrCapabilityNames = map[uint32]string{
	1: "multiprotocolExtensions", 2: "routeRefresh", 5: "extendedNexthop", 6: "extendedMessage", 64: "gracefulRestart", 65: "4byteAs",
	69: "addPath", 70: "enhancedRouteRefresh", 71: "longLivedGracefulRestart", 73: "hostName",
}

const (
	capabilityMultiprotocol   = 1
	capabilityExtendedNexthop = 5
	capabilityAddPath         = 69
)

// capability is one of both sides.
type capability struct {
	code          uint32
	name, text    string
	local, remote bool
}

// mergeCapabilities makes one of what both sides say in other words: their AS, their
// restart times.
func mergeCapabilities(all []*api.BGPCapability) (merged []capability) {
	for _, c := range all {
		one := capability{c.GetCode(), c.GetName(), c.GetText(), c.GetLocal(), c.GetRemote()}
		i := slices.IndexFunc(merged, func(o capability) bool {
			return o.code == one.code && one.code != capabilityMultiprotocol && o.local != one.local && o.remote != one.remote
		})
		if i < 0 {
			merged = append(merged, one)
			continue
		}
		ours, theirs := merged[i].text, one.text
		if one.local {
			ours, theirs = theirs, ours
		}
		merged[i].text, merged[i].local, merged[i].remote = fmt.Sprintf("(ours %s; theirs %s)", ours, theirs), true, true
	}
	return merged
}

// frrCapabilities says who has which, by FRR's names. Those of families are objects by
// family.
func frrCapabilities(all []*api.BGPCapability) map[string]any {
	out := map[string]any{}
	for _, c := range mergeCapabilities(all) {
		who := map[bool]string{true: "received"}[c.remote]
		if c.local {
			who = map[bool]string{true: "advertisedAndReceived", false: "advertised"}[c.remote]
		}
		name := orText(frrCapabilityNames[c.code], c.name)
		if c.code != capabilityMultiprotocol && c.code != capabilityExtendedNexthop && c.code != capabilityAddPath {
			out[name] = who
			continue
		}
		families, _ := out[name].(map[string]map[string]bool)
		if families == nil {
			families = map[string]map[string]bool{}
			out[name] = families
		}
		for _, family := range bgpFamilies {
			if strings.Contains(c.text, family.name) {
				families[family.key] = map[string]bool{who: true}
			}
		}
	}
	return out
}
