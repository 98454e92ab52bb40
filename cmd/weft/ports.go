package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"weft/control/api"
	"weft/dataplane"
)

func newPortsCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "ports [DEV]", Short: "List the ports: how packets come in and leave, and what became of them",
		Long: `Lists the interfaces that weft forwards on. ENGINE is what forwards what comes
in by a port: xdp, or soft, the loop in weft's own process; 'weft ports set' changes
it, and ports whose engine the configuration says are listed below. MODE is how it takes
packets from a port: native (XDP in the driver), generic (XDP behind it: slower)
or tc; and from a port of the loop by which sockets: af_xdp, zero-copy (AF_XDP,
and the driver copies nothing) or af_packet. EGRESS is how frames leave: native,
or kernel where XDP would lose them. The counters are of packets that came in by
the port; ERRORS are frames that its driver refused to send. UNACCOUNTED is
packets that came in by Linux's own count and that weft has counted nowhere: 0,
unless another program takes them first.

Interfaces that were to be ports and are not, and ports whose frames come in or
leave through Linux, are listed below with the reason and what mends it.`,
		Example: `  weft ports
  weft ports eth0 --json
  weft show ports`,
		Annotations: map[string]string{client: noun},
		Args:        atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dev := ""
			if len(args) == 1 {
				dev = args[0]
			}
			return e.listPorts(cmd.Context(), dev)
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return e.completePorts(), cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.AddCommand(newPortsSetCommand(e))
	return cmd
}

// ports is what 'weft ports --json' prints.
type ports struct {
	Ports   []port    `json:"ports"`
	Refused []refused `json:"refused"`
}

type port struct {
	Number         uint32    `json:"number"`
	Ifindex        uint32    `json:"ifindex"`
	Ifname         string    `json:"ifname"`
	Address        string    `json:"address"`
	MTU            uint32    `json:"mtu"`
	Up             bool      `json:"up"`
	VRF            uint32    `json:"vrf"`
	VLAN           uint32    `json:"vlan,omitempty"`
	Parent         uint32    `json:"parent,omitempty"`
	Engine         string    `json:"engine"`
	EngineMatch    string    `json:"engine_match,omitempty"` // of the configuration's ports
	Mode           string    `json:"mode"`
	Sockets        string    `json:"sockets,omitempty"`
	SocketsWhy     string    `json:"sockets_why,omitempty"`
	IngressWhy     string    `json:"ingress_why,omitempty"`
	Egress         string    `json:"egress"`
	EgressWhy      string    `json:"egress_why,omitempty"`
	EgressErrors   uint64    `json:"egress_errors"`
	Unaccounted    uint64    `json:"unaccounted"`
	UnaccountedWhy string    `json:"unaccounted_why,omitempty"`
	IPv4           bool      `json:"ipv4"`
	IPv6           bool      `json:"ipv6"`
	Forwarded      uint64    `json:"forwarded"`
	Punted         uint64    `json:"punted"`
	Dropped        uint64    `json:"dropped"`
	Counters       []counter `json:"counters"`
}

type counter struct {
	Reason   string `json:"reason"`
	Verdict  string `json:"verdict"`
	Packets  uint64 `json:"packets"`
	Bytes    uint64 `json:"bytes"`
	LastSeen string `json:"last_seen,omitempty"`
}

type refused struct {
	Ifname string `json:"ifname"`
	Error  string `json:"error"`
	Hint   string `json:"hint"`
}

func (e *env) askPorts(ctx context.Context) (reply *api.Ports, err error) {
	err = e.ask(ctx, func(ctx context.Context, c api.RouterClient) (err error) {
		reply, err = c.ListPorts(ctx, &api.PortsRequest{})
		return err
	})
	return reply, err
}

func (e *env) listPorts(ctx context.Context, dev string) error {
	reply, err := e.askPorts(ctx)
	if err != nil {
		return err
	}
	p := e.newPorts(reply, dev)
	if dev != "" && len(p.Ports)+len(p.Refused) == 0 {
		return noPort(dev, reply)
	}
	if e.json {
		return e.printJSON(p)
	}
	return p.print(e.stdout)
}

func noPort(dev string, reply *api.Ports) error {
	var names []string
	for _, p := range reply.GetPorts() {
		names = append(names, p.GetDev())
	}
	hint := "'weft doctor' tells why an interface is none"
	if len(names) > 0 {
		hint = meant(dev, names, "'weft ports' lists them, 'weft doctor' tells why an interface is none")
	}
	return fail(codeNotFound, dev+": no such port", hint)
}

func (e *env) newPorts(reply *api.Ports, dev string) *ports {
	out := &ports{Ports: []port{}, Refused: []refused{}}
	for _, p := range reply.GetPorts() {
		if dev == "" || p.GetDev() == dev {
			out.Ports = append(out.Ports, e.newPort(p))
		}
	}
	for _, r := range reply.GetRefused() {
		if dev == "" || r.GetDev() == dev {
			out.Refused = append(out.Refused, refused{r.GetDev(), r.GetError(), mendRefused(r)})
		}
	}
	return out
}

func (e *env) newPort(p *api.Port) port {
	out := port{
		Number: p.GetNumber(), Ifindex: p.GetIfindex(), Ifname: p.GetDev(), Address: p.GetMac(), MTU: p.GetMtu(), Up: p.GetUp(), VRF: p.GetVrf(),
		VLAN: p.GetVlan(), Parent: p.GetParent(), Engine: p.GetEngine(), EngineMatch: p.GetEngineMatch(), Mode: p.GetMode(), Sockets: p.GetSockets(), SocketsWhy: p.GetSocketsWhy(), IngressWhy: p.GetIngressWhy(), Egress: p.GetEgress(), EgressWhy: p.GetEgressWhy(),
		EgressErrors: p.GetEgressErrors(), IPv4: p.GetIpv4(), IPv6: p.GetIpv6(), Counters: []counter{},
		Unaccounted: p.GetUnaccounted(), UnaccountedWhy: p.GetUnaccountedWhy(),
	}
	for _, c := range p.GetCounters() {
		switch c.GetVerdict() {
		case "forward":
			out.Forwarded += c.GetPackets()
		case "punt":
			out.Punted += c.GetPackets()
		case "drop":
			out.Dropped += c.GetPackets()
		}
		out.Counters = append(out.Counters, counter{c.GetReason(), c.GetVerdict(), c.GetPackets(), c.GetBytes(), e.stamp(c.GetLastSeen())})
	}
	return out
}

// mendRefused says what makes an interface a port.
func mendRefused(r *api.Refused) string {
	if strings.Contains(r.GetError(), "not weft's") { // xdp.ErrForeign
		return fmt.Sprintf("'sudo ip link set dev %s xdp off' removes the program, if nothing needs it", r.GetDev())
	}
	return "'weft doctor' looks for what is missing"
}

func (p *ports) print(w io.Writer) error {
	t := newTable(w)
	fmt.Fprintln(t, "DEV\tENGINE\tMODE\tEGRESS\tVRF\tVLAN\tMTU\tSTATE\tFORWARDED\tPUNTED\tDROPPED\tERRORS\tUNACCOUNTED")
	for _, p := range p.Ports {
		vlan, state := "-", "up"
		if p.VLAN != 0 {
			vlan = fmt.Sprint(p.VLAN)
		}
		if !p.Up {
			state = "DOWN"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\t%d\t%s\t%d\t%d\t%d\t%d\t%s\n",
			p.Ifname, orDash(p.Engine), p.way(), orDash(p.Egress), p.VRF, vlan, p.MTU, state, p.Forwarded, p.Punted, p.Dropped, p.EgressErrors, p.unaccounted())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, line := range slices.Concat(p.engines(), p.troubles(), p.notes()) {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// way is how packets come in.
func (p *port) way() string {
	if p.Engine == dataplane.Soft.String() && p.Sockets != "" {
		return p.Mode + "/" + p.Sockets
	}
	return orDash(p.Mode)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// partial returns how many packets were punted because their checksum was left to hardware.
func (p *port) partial() uint64 {
	for _, c := range p.Counters {
		if c.Reason == dataplane.ChecksumPartial.String() {
			return c.Packets
		}
	}
	return 0
}

// whyPartial says why packets came in by Linux, if any did.
func whyPartial(why string, packets uint64) string {
	if why == "" || packets == 0 {
		return ""
	}
	return fmt.Sprintf("%d packets left to Linux, slower: %s, or run with --mode tc", packets, why)
}

// unaccounted is a number, or that there is none.
func (p *port) unaccounted() string {
	if p.Unaccounted == 0 && p.UnaccountedWhy != "" {
		return "?"
	}
	return fmt.Sprint(p.Unaccounted)
}

// engines are which ports the configuration says the engine of, and by which of its globs.
func (p *ports) engines() (lines []string) {
	var matches []string
	named := map[string][]string{}
	for _, one := range p.Ports {
		if one.EngineMatch == "" {
			continue
		}
		key := fmt.Sprintf("engine %s by the configuration (match %s): ", one.Engine, one.EngineMatch)
		if named[key] == nil {
			matches = append(matches, key)
		}
		named[key] = append(named[key], one.Ifname)
	}
	for _, key := range matches {
		lines = append(lines, key+strings.Join(named[key], ", "))
	}
	return lines
}

// notes are what is not known of ports, and how it would be.
func (p *ports) notes() (lines []string) {
	for _, p := range p.Ports {
		if p.Unaccounted == 0 && p.UnaccountedWhy != "" {
			lines = append(lines, fmt.Sprintf("%s: unaccounted packets: %s", p.Ifname, p.UnaccountedWhy))
		}
	}
	return lines
}

// troubles says what is not as it should be, and what mends it.
func (p *ports) troubles() (lines []string) {
	for _, p := range p.Ports {
		if p.Unaccounted > 0 {
			lines = append(lines, fmt.Sprintf("%s: %s UNACCOUNTED: received by Linux, and counted nowhere by weft: %s",
				p.Ifname, count(p.Unaccounted, "packet"), p.UnaccountedWhy))
		}
		if why := whyPartial(p.IngressWhy, p.partial()); why != "" {
			lines = append(lines, p.Ifname+": "+why)
		}
		if p.SocketsWhy != "" && p.Engine == dataplane.Soft.String() {
			lines = append(lines, fmt.Sprintf("%s: packets come in by AF_PACKET, slower: %s", p.Ifname, p.SocketsWhy))
		}
		if p.EgressWhy != "" {
			lines = append(lines, fmt.Sprintf("%s: frames leave through Linux, slower: %s", p.Ifname, p.EgressWhy))
		}
	}
	for _, r := range p.Refused {
		lines = append(lines, fmt.Sprintf("%s: NOT A PORT: %s: %s", r.Ifname, r.Error, r.Hint))
	}
	return lines
}
