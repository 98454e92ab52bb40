package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"weft/control/api"
)

func newBGPNeighborsCommand(e *env) *cobra.Command {
	var advertised *bool
	cmd := &cobra.Command{
		Use: "neighbors [N]", Aliases: []string{"neighbours"}, Short: "Tell all of BGP's neighbors, or of one",
		Long: `Tells of each neighbor, or of one (its address, or the interface of an unnumbered
one): state and since when, why the last session ended and what the last try came
to, timers, capabilities, prefixes and messages, and what the configuration says of
it: graceful restart, policies.

With --json the keys are those of FRR's 'show bgp neighbors json'; besides them:
lastError, waitsFor, importPolicy, exportPolicy, defaultImport, defaultExport,
receivedPrefixCounter.`,
		Example: `  weft bgp neighbors
  weft bgp neighbors 192.0.2.2 --advertised
  weft bgp neighbors eth0 --json | jq '.[].messageStats'`,
		Annotations:       map[string]string{client: noun},
		Args:              atMost(1),
		ValidArgsFunction: e.completeFirst(e.completeBGPNeighbors),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			m, err := e.askNeighbors(cmd.Context(), name, *advertised)
			if err != nil {
				return err
			}
			return e.printBGPNeighbors(m, *advertised)
		},
	}
	advertised = advertisedFlag(cmd)
	return cmd
}

// completeFirst completes the first word only.
func (e *env) completeFirst(values func() []cobra.Completion) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return values(), cobra.ShellCompDirectiveNoFileComp
	}
}

func (e *env) completeBGPNeighbors() (out []cobra.Completion) {
	e.askQuickly(func(ctx context.Context, c api.RouterClient) error {
		m, err := c.ListBGPNeighbors(ctx, &api.BGPNeighborsRequest{})
		for _, n := range m.GetNeighbors() {
			text := "AS " + asText(n) + ", " + n.GetState()
			if n.GetDescription() != "" {
				text += ", " + n.GetDescription()
			}
			out = append(out, cobra.CompletionWithDesc(n.GetName(), text))
		}
		return err
	})
	return out
}

func (e *env) printBGPNeighbors(m *api.BGPNeighbors, advertised bool) error {
	if e.json {
		all := map[string]*bgpNeighbor{}
		for _, n := range m.GetNeighbors() {
			all[n.GetName()] = e.newBGPNeighbor(n, m.GetBgp(), advertised)
		}
		return e.printJSON(all)
	}
	out := e.out()
	for i, n := range m.GetNeighbors() {
		if i > 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprint(out, e.bgpNeighborText(n, m.GetBgp(), advertised))
	}
	return out.Flush()
}

func (e *env) bgpNeighborText(n *api.BGPNeighbor, s *api.BGPStatus, advertised bool) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-13s "+format+"\n", append([]any{name}, args...)...)
	}
	fmt.Fprintf(&b, "neighbor %s: %s\n", n.GetName(), e.bgpIdentity(n))
	line("state", "%s", e.bgpState(n))
	for _, part := range []struct{ name, text string }{{"last down", n.GetLastDown()}, {"last error", n.GetLastError()}} {
		if part.text != "" {
			line(part.name, "%s", part.text)
		}
	}
	if n.GetRouterId() != "" {
		line("router id", "%s, ours is %s", n.GetRouterId(), s.GetRouterId())
	}
	if n.GetLocalAddress() != "" {
		line("session", "from %s to %s%s", endpoint(n.GetLocalAddress(), n.GetLocalPort()), endpoint(n.GetAddress(), n.GetRemotePort()), authenticated(n))
	}
	line("timers", "%s", bgpTimersText(n.GetTimers()))
	for _, f := range n.GetFamilies() {
		line(f.GetFamily(), "%s", bgpFamilyText(f, advertised))
	}
	received, sent := n.GetReceived(), n.GetSent()
	line("messages in", "%s", bgpMessagesText(received))
	line("messages out", "%s", bgpMessagesText(sent))
	for _, who := range capabilitiesText(n.GetCapabilities()) {
		line("capabilities", "%s", who)
	}
	if c := n.GetConfig(); c != nil {
		line("restart", "%s", restartText(c))
		line("import", "%s", policyText(c.GetImportPolicy(), c.GetDefaultImport()))
		line("export", "%s", policyText(c.GetExportPolicy(), c.GetDefaultExport()))
		if options := bgpOptions(c); options != "" {
			line("options", "%s", options)
		}
	}
	return b.String()
}

func (e *env) bgpIdentity(n *api.BGPNeighbor) string {
	text := "AS " + asText(n)
	if n.GetAs() == 0 {
		text = "AS not known yet"
	}
	if n.GetInternal() {
		text += ", internal"
	} else {
		text += ", external"
	}
	if n.GetInterface() != "" && n.GetAddress() != "" {
		text += ", " + n.GetAddress()
	}
	if n.GetDescription() != "" {
		text += ", " + n.GetDescription()
	}
	return text
}

func (e *env) bgpState(n *api.BGPNeighbor) string {
	text := frrState(n)
	switch {
	case n.GetState() == established:
		text += " for " + e.upDown(n)
	case n.GetSince() != 0:
		text += ", down for " + e.upDown(n)
	}
	if n.GetFlaps() > 0 {
		text += "; " + count(n.GetFlaps(), "flap")
	}
	if n.GetWaiting() != "" {
		text += "; waits for " + n.GetWaiting()
	}
	if n.GetRestarting() {
		text += "; it restarts, its routes are kept meanwhile"
	}
	return text
}

func endpoint(addr string, port uint32) string {
	if port == 0 {
		return addr
	}
	return net.JoinHostPort(addr, fmt.Sprint(port))
}

func authenticated(n *api.BGPNeighbor) string {
	if n.GetAuthenticated() {
		return ", with a password (TCP MD5)"
	}
	return ""
}

func bgpTimersText(t *api.BGPTimers) string {
	d := bgpSeconds
	text := fmt.Sprintf("configured: hold %s, keepalive %s, connect retry %s", d(t.GetConfigHold()), d(t.GetConfigKeepalive()), d(t.GetConnectRetry()))
	if t.GetHold() != 0 {
		text = fmt.Sprintf("hold %s, keepalive %s; ", d(t.GetHold()), d(t.GetKeepalive())) + text
	}
	return text
}

// bgpSeconds is a timer as BGP's users know it.
func bgpSeconds(ns int64) string { return fmt.Sprintf("%g s", time.Duration(ns).Seconds()) }

func bgpFamilyText(f *api.BGPFamily, advertised bool) string {
	if !f.GetNegotiated() {
		return "not negotiated"
	}
	text := fmt.Sprintf("%s received, %d accepted", count(f.GetReceived(), "prefix"), f.GetAccepted())
	if advertised {
		text += fmt.Sprintf(", %d advertised", f.GetAdvertised())
	}
	if f.GetMaximum() != 0 {
		text += fmt.Sprintf("; at most %d", f.GetMaximum())
	}
	if !f.GetEndOfRib() {
		text += "; more are to come (no End-of-RIB yet)"
	}
	return text
}

func bgpMessagesText(m *api.BGPMessages) string {
	return fmt.Sprintf("%d: open %d, update %d, keepalive %d, notification %d, route refresh %d", m.GetTotal(), m.GetOpen(), m.GetUpdate(),
		m.GetKeepalive(), m.GetNotification(), m.GetRouteRefresh())
}

// capabilitiesText sorts capabilities by who has them.
func capabilitiesText(all []*api.BGPCapability) (lines []string) {
	merged := mergeCapabilities(all)
	for _, who := range []struct {
		title         string
		local, remote bool
	}{{"both: ", true, true}, {"only ours: ", true, false}, {"only theirs: ", false, true}} {
		var names []string
		for _, c := range merged {
			if c.local == who.local && c.remote == who.remote {
				names = append(names, strings.TrimSpace(c.name+" "+c.text))
			}
		}
		if names != nil {
			lines = append(lines, who.title+strings.Join(names, ", "))
		}
	}
	return lines
}

func restartText(c *api.BGPNeighborConfig) string {
	text := c.GetGracefulRestart()
	if text == "" {
		return "no graceful restart"
	}
	text = "graceful: " + text
	if c.GetRestartTime() != 0 {
		text += ", " + bgpSeconds(c.GetRestartTime())
	}
	if c.GetLongLived() != 0 {
		text += ", long-lived " + bgpSeconds(c.GetLongLived())
	}
	return text
}

func policyText(names []string, otherwise string) string {
	if len(names) == 0 {
		return otherwise
	}
	return "policies " + strings.Join(names, ", ") + "; else " + otherwise
}

func bgpOptions(c *api.BGPNeighborConfig) string {
	var all []string
	for _, o := range []struct {
		on   bool
		text string
	}{
		{c.GetPassive(), "passive"}, {c.GetMultihop() != 0, fmt.Sprintf("multihop, TTL %d", c.GetMultihop())},
		{c.GetTtlSecurity() != 0, fmt.Sprintf("TTL security, %s", count(c.GetTtlSecurity(), "hop"))},
		{c.GetReflectorClient(), "route reflector client"}, {c.GetNextHopSelf(), "next hop self"},
	} {
		if o.on {
			all = append(all, o.text)
		}
	}
	return strings.Join(all, ", ")
}
