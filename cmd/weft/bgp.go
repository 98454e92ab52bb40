package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"weft/control/api"
	"weft/control/config"
)

const bgpLong = `Tells what BGP does: this router's AS and identifier, what is in its table, and a
line for each neighbor: prefixes received of each family ("-": not spoken with it),
and how long it is up, or down. What is not as it should be stands first.

BGP is part of the configuration ('weft config --help'). What others call it:

  FRR    show bgp summary                weft bgp
  FRR    show bgp neighbors N            weft bgp neighbors N
  FRR    show bgp ipv4 unicast           weft -4 bgp routes
  FRR    ... neighbors N routes          weft bgp routes from N
  FRR    ... N advertised-routes         weft bgp routes advertised N
  FRR    clear bgp N soft in             weft bgp clear N soft in
  BIRD   show protocols all              weft bgp neighbors
  BIRD   show route for 10.1.2.3         weft bgp routes 10.1.2.3
  gobgp  global rib                      weft bgp routes
  gobgp  neighbor N adj-in               weft bgp routes received N

With --json the keys are those of FRR's 'show bgp summary json'; besides them:
pathCount, pfxReceived (pfxRcd is what the import policies leave of it), lastError,
waitsFor. With more than some 100,000 paths the counts may be of some seconds ago.`

func newBGPCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "bgp", Short: "Tell of BGP: neighbors, and what they have sent", Long: bgpLong,
		Example: `  weft bgp
  weft bgp neighbors 192.0.2.2
  weft bgp routes 10.0.0.0/8 longer
  weft bgp routes received 192.0.2.2
  sudo weft bgp clear 192.0.2.2 soft in`,
		Annotations:       map[string]string{client: noun},
		Args:              atMost(0),
		ValidArgsFunction: completeNothing,
	}
	e.runSummary(cmd)
	summary := &cobra.Command{
		Use: "summary", Short: "The same as 'weft bgp'",
		Long:              "Tells what BGP does, and has a line for each neighbor: the same as 'weft bgp', for\nfingers that know it so.",
		Example:           "  weft bgp summary\n  weft bgp summary --json | jq .ipv4Unicast.peers",
		Annotations:       map[string]string{client: noun},
		Args:              atMost(0),
		ValidArgsFunction: completeNothing,
	}
	e.runSummary(summary)
	cmd.AddCommand(summary, newBGPNeighborsCommand(e), newBGPRoutesCommand(e), newBGPClearCommand(e))
	return cmd
}

func (e *env) runSummary(cmd *cobra.Command) {
	advertised := advertisedFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		m, err := e.askNeighbors(cmd.Context(), "", *advertised)
		if err != nil {
			return err
		}
		if e.json {
			return e.printJSON(e.newBGPSummary(m, *advertised))
		}
		return e.printBGPSummary(e.stdout, m, *advertised)
	}
}

func advertisedFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("advertised", false, "count the prefixes that are advertised, too: with a full table that takes seconds")
}

func (e *env) askNeighbors(ctx context.Context, name string, advertised bool) (m *api.BGPNeighbors, err error) {
	err = e.askBGP(ctx, func(ctx context.Context, c api.RouterClient) (err error) {
		m, err = c.ListBGPNeighbors(ctx, &api.BGPNeighborsRequest{Neighbor: name, Advertised: advertised})
		return err
	})
	return m, err
}

// bgpExample is the least of a configuration of BGP.
const bgpExample = "bgp: {as: 65001, neighbors: [{address: 192.0.2.1, remote_as: 65002}]}"

// askBGP asks, and says how BGP is configured if it is not.
func (e *env) askBGP(ctx context.Context, f func(context.Context, api.RouterClient) error) error {
	err := e.ask(ctx, f)
	var failed *failure
	if errors.As(err, &failed) && failed.code == codeNotFound && failed.what == api.NoBGP {
		failed.hint = "write '" + bgpExample + "', with your numbers, into " + config.File +
			" (below 'version: 1'), then 'sudo weft config apply'"
	}
	return err
}

// bgpFamilies are those that BGP speaks, by FRR's names in JSON.
var bgpFamilies = []struct {
	name, key, title string
	v6               bool
}{
	{string(config.IPv4Unicast), "ipv4Unicast", "IPv4", false},
	{string(config.IPv6Unicast), "ipv6Unicast", "IPv6", true},
}

// bgpSummary is one family of FRR's 'show bgp summary json'.
type bgpSummary struct {
	RouterID  string              `json:"routerId"`
	AS        uint32              `json:"as"`
	VRF       int                 `json:"vrfId"`
	VRFName   string              `json:"vrfName"`
	Prefixes  uint64              `json:"ribCount"`
	Paths     uint64              `json:"pathCount"`
	PeerCount int                 `json:"peerCount"`
	Peers     map[string]*bgpPeer `json:"peers"`
	Failed    int                 `json:"failedPeers"` // those that are not established
	Displayed int                 `json:"displayedPeers"`
	Total     int                 `json:"totalPeers"`
	Dynamic   int                 `json:"dynamicPeers"`
}

type bgpPeer struct {
	RemoteAS    uint32  `json:"remoteAs"`
	LocalAS     uint32  `json:"localAs"`
	Version     int     `json:"version"`
	Received    uint64  `json:"msgRcvd"`
	Sent        uint64  `json:"msgSent"`
	Uptime      string  `json:"peerUptime"`
	UptimeMsec  int64   `json:"peerUptimeMsec"`
	Epoch       int64   `json:"peerUptimeEstablishedEpoch,omitempty"`
	Accepted    uint64  `json:"pfxRcd"` // behind the import policies, as FRR has it
	Prefixes    uint64  `json:"pfxReceived"`
	Advertised  *uint64 `json:"pfxSnt,omitempty"` // nil: not asked for
	State       string  `json:"state"`
	PeerState   string  `json:"peerState"`
	Established uint64  `json:"connectionsEstablished"`
	Dropped     uint64  `json:"connectionsDropped"`
	Description string  `json:"desc,omitempty"`
	IDType      string  `json:"idType"`
	LastError   string  `json:"lastError,omitempty"`
	WaitsFor    string  `json:"waitsFor,omitempty"`
}

// newBGPSummary is the summary by family.
func (e *env) newBGPSummary(m *api.BGPNeighbors, advertised bool) map[string]*bgpSummary {
	all := map[string]*bgpSummary{}
	for _, family := range bgpFamilies {
		s := &bgpSummary{RouterID: m.GetBgp().GetRouterId(), AS: m.GetBgp().GetAs(), VRFName: "default", Peers: map[string]*bgpPeer{}}
		for _, t := range m.GetBgp().GetTables() {
			if t.GetFamily() == family.name {
				s.Prefixes, s.Paths = t.GetPrefixes(), t.GetPaths()
			}
		}
		for _, n := range m.GetNeighbors() {
			f := familyState(n, family.name)
			if f == nil {
				continue
			}
			s.Peers[n.GetName()] = e.newBGPPeer(n, f, advertised)
			if n.GetState() != established {
				s.Failed++
			}
		}
		s.PeerCount, s.Displayed, s.Total = len(s.Peers), len(s.Peers), len(s.Peers)
		if e.family(family.v6) && len(s.Peers) > 0 {
			all[family.key] = s
		}
	}
	return all
}

const established = "established"

func familyState(n *api.BGPNeighbor, family string) *api.BGPFamily {
	for _, f := range n.GetFamilies() {
		if f.GetFamily() == family {
			return f
		}
	}
	return nil
}

func (e *env) newBGPPeer(n *api.BGPNeighbor, f *api.BGPFamily, advertised bool) *bgpPeer {
	p := &bgpPeer{
		RemoteAS: n.GetAs(), LocalAS: n.GetLocalAs(), Version: 4, Received: n.GetReceived().GetTotal(), Sent: n.GetSent().GetTotal(),
		Uptime: e.upDown(n), Prefixes: f.GetReceived(), Accepted: f.GetAccepted(), State: frrState(n), PeerState: "OK",
		Established: n.GetEstablished(), Dropped: n.GetFlaps(), Description: n.GetDescription(), IDType: idType(n),
		LastError: n.GetLastError(), WaitsFor: n.GetWaiting(),
	}
	if n.GetSince() != 0 {
		p.UptimeMsec = e.now().Sub(time.Unix(0, n.GetSince())).Milliseconds()
	}
	if n.GetState() == established {
		p.Epoch = n.GetSince() / int64(time.Second)
	}
	if n.GetShutdown() {
		p.PeerState = "Admin"
	}
	if advertised {
		p.Advertised = new(f.GetAdvertised())
	}
	return p
}

func idType(n *api.BGPNeighbor) string {
	switch {
	case n.GetInterface() != "":
		return "interface"
	case strings.Contains(n.GetName(), ":"):
		return "ipv6"
	}
	return "ipv4"
}

// frrState is a state as FRR writes it.
func frrState(n *api.BGPNeighbor) string {
	state := n.GetState()
	for _, name := range []string{"Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established"} {
		if strings.EqualFold(name, state) {
			state = name
		}
	}
	switch {
	case n.GetShutdown():
		state += " (Admin)"
	case n.GetOverLimit():
		state += " (PfxCt)"
	}
	return state
}

// upDown says for how long a neighbor is up, or down.
func (e *env) upDown(n *api.BGPNeighbor) string {
	if n.GetSince() == 0 {
		return "never"
	}
	return frrTime(e.now().Sub(time.Unix(0, n.GetSince())))
}

// frrTime is a duration as FRR writes it: 01:02:03, 1d02h03m, 02w3d04h.
func frrTime(d time.Duration) string {
	const day, week = 24 * time.Hour, 7 * 24 * time.Hour
	d = max(d, 0)
	hours, minutes := int(d%day/time.Hour), int(d%time.Hour/time.Minute)
	switch {
	case d < day:
		return fmt.Sprintf("%02d:%02d:%02d", hours, minutes, int(d%time.Minute/time.Second))
	case d < week:
		return fmt.Sprintf("%dd%02dh%02dm", d/day, hours, minutes)
	}
	return fmt.Sprintf("%02dw%dd%02dh", d/week, d%week/day, hours)
}

func (e *env) printBGPSummary(w io.Writer, m *api.BGPNeighbors, advertised bool) error {
	var b strings.Builder
	for _, line := range bgpTroubles(m) {
		fmt.Fprintf(&b, "!! %s\n", line)
	}
	s := m.GetBgp()
	fmt.Fprintf(&b, "AS %d, router id %s, listening on %s\n", s.GetAs(), orText(s.GetRouterId(), "none"), orText(strings.Join(s.GetListen(), ", "), "nothing"))
	for _, t := range s.GetTables() {
		fmt.Fprintf(&b, "%s: %s, %s\n", t.GetFamily(), count(t.GetPrefixes(), "prefix"), count(t.GetPaths(), "path"))
	}
	fmt.Fprintf(&b, "RIB: %d installed, %d pending\n\n", s.GetInstalled(), s.GetPending())
	table := newTable(&b)
	columns := []string{"NEIGHBOR", "AS", "STATE", "UP/DOWN"}
	for _, family := range bgpFamilies {
		if e.family(family.v6) {
			columns = append(columns, strings.ToUpper(family.title)+map[bool]string{true: " IN/OUT"}[advertised])
		}
	}
	fmt.Fprintln(table, strings.Join(append(columns, "MSGS IN", "MSGS OUT", "DESCRIPTION"), "\t"))
	for _, n := range m.GetNeighbors() {
		if !e.speaks(n) {
			continue
		}
		cells := []string{n.GetName(), asText(n), frrState(n), e.upDown(n)}
		for _, family := range bgpFamilies {
			if e.family(family.v6) {
				cells = append(cells, prefixesText(familyState(n, family.name), advertised))
			}
		}
		cells = append(cells, fmt.Sprint(n.GetReceived().GetTotal()), fmt.Sprint(n.GetSent().GetTotal()), n.GetDescription())
		fmt.Fprintln(table, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// speaks reports whether a neighbor has a family that -4 and -6 let through.
func (e *env) speaks(n *api.BGPNeighbor) bool {
	for _, family := range bgpFamilies {
		if e.family(family.v6) && familyState(n, family.name) != nil {
			return true
		}
	}
	return false
}

func asText(n *api.BGPNeighbor) string {
	if n.GetAs() == 0 {
		return "-"
	}
	return fmt.Sprint(n.GetAs())
}

// prefixesText counts prefixes: received, or accepted of received if some are refused,
// and advertised.
func prefixesText(f *api.BGPFamily, advertised bool) string {
	if f == nil || !f.GetNegotiated() {
		return "-"
	}
	text := fmt.Sprint(f.GetReceived())
	if f.GetAccepted() != f.GetReceived() {
		text = fmt.Sprintf("%d of %d", f.GetAccepted(), f.GetReceived())
	}
	if advertised {
		text += fmt.Sprintf("/%d", f.GetAdvertised())
	}
	return text
}

// bgpTroubles says what is not as it should be.
func bgpTroubles(m *api.BGPNeighbors) (all []string) {
	if m.GetBgp().GetRestarting() {
		all = append(all, "RESTARTING: the routes of before stay until the neighbors have sent theirs again")
	}
	if m.GetBgp().GetRouterId() == "" {
		all = append(all, "NOT RUNNING: it has no router identifier: add an IPv4 address to an interface, or router_id to the configuration")
	}
	if n := m.GetBgp().GetRefused(); n > 0 {
		all = append(all, fmt.Sprintf("NOT INSTALLED: %s that no route may be to: the daemon's log has them", count(n, "prefix")))
	}
	for _, n := range m.GetNeighbors() {
		if why := neighborTrouble(n); why != "" {
			all = append(all, n.GetName()+": "+why)
		}
	}
	return all
}

func neighborTrouble(n *api.BGPNeighbor) string {
	cause := n.GetLastError()
	if cause == "" {
		cause = n.GetLastDown()
	}
	switch {
	case n.GetShutdown():
		return "" // as was wanted
	case n.GetOverLimit():
		return fmt.Sprintf("DOWN: it has sent more prefixes than it may: raise maximum_prefixes, then 'weft bgp clear %s'", n.GetName())
	case n.GetWaiting() != "":
		return "DOWN: waits for " + n.GetWaiting()
	case n.GetRestarting():
		return "it restarts: its routes are kept meanwhile"
	case n.GetState() == established:
		return ""
	case cause != "":
		return "DOWN: " + cause
	}
	return "DOWN: it has not answered yet"
}
