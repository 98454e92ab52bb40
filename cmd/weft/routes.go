package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"weft/control/api"
)

const routesExample = `  weft routes                               all that packets follow
  weft routes 10.0.0.0/8                    it and what is in it
  weft routes 10.0.0.0/8 --exact            only it
  weft routes dev eth0 proto bgp --limit 20
  weft routes --all type local              Linux's local table too
  weft -6 -j routes | jq length
  weft routes get 203.0.113.9               where a packet goes`

const routesLong = `Lists the routes of the RIB, ordered by VRF and prefix, as they come in from the
daemon: the first line does not wait for the last.

A line can be pasted after 'ip route add'. What ip does not take stands after a '#':
next hops behind a next-hop object, the source if it is not the kernel, and what is
wrong: that packets do not find the route in the FIB (not installed), that the kernel
does not have it, that it waits for a link.

Keywords, which may be shortened: dev D, proto P, type T (unicast, blackhole,
unreachable...), vrf N (0 is the default one).

With --json the keys are those of 'ip -j route'; besides them: family, vrf,
group (see 'weft groups'), selected (the best of its prefix), installed (packets
find it). Routes that do not come from the kernel have more: source (fpm, static,
bgp), origin, eligible (it leads somewhere), resolved (where its next hops come
to), why (it was chosen, or was not), waits_for (a link that is not there, --all),
not_exported (why the kernel does not have it).`

func newRoutesCommand(e *env) *cobra.Command {
	f := &api.RoutesRequest{}
	cmd := &cobra.Command{
		Use:   "routes [PREFIX] [dev D] [proto P] [type T] [vrf N]",
		Short: "List the routes that packets follow", Long: routesLong, Example: routesExample,
		Annotations: map[string]string{client: noun},
		Args:        cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := e.routeWords(f).parse(args); err != nil {
				return err
			}
			f.Family = e.familyNumber()
			return e.listRoutes(cmd.Context(), f)
		},
		ValidArgsFunction: completeWords(func() *words { return e.routeWords(&api.RoutesRequest{}) }, e.completePrefixes),
	}
	cmd.Flags().BoolVar(&f.Exact, "exact", false, "only PREFIX itself, not what is in it")
	cmd.Flags().BoolVar(&f.All, "all", false, "those too that are not the best of their prefix, and the local table")
	cmd.Flags().Uint64Var(&f.Limit, "limit", 0, "at most `N` routes")
	cmd.AddCommand(newGetCommand(e))
	cmd.AddCommand(newStaticCommands(e)...)
	return cmd
}

var routeTypes = []string{"unicast", "local", "broadcast", "anycast", "multicast", "blackhole", "unreachable", "prohibit", "throw"}

// routeWords are the keywords that choose routes.
func (e *env) routeWords(f *api.RoutesRequest) *words {
	return &words{
		want: "a prefix",
		positional: func(s string) error {
			return e.setPrefix(f, s)
		},
		all: []word{
			{name: "dev", help: "that leave by it", complete: e.completePorts,
				set: func(v string) error { f.Dev = v; return nil }},
			{name: "proto", help: "of a protocol", complete: choices("kernel", "boot", "static", "bgp", "ospf", "isis", "bird", "zebra", "ra"),
				set: func(v string) error { f.Protocol = v; return nil }},
			{name: "type", help: "of a type", complete: choices(routeTypes...), set: func(v string) error {
				for _, t := range routeTypes {
					if t == v {
						f.Type = v
						return nil
					}
				}
				return usage("type "+v+": no such type of route", meant(v, routeTypes, "want one of "+strings.Join(routeTypes, ", ")))
			}},
			{name: "vrf", help: "of a VRF, 0: the default one", set: func(v string) error {
				n, err := number("vrf", v, 1<<32-1)
				vrf := uint32(n)
				f.Vrf = &vrf
				return err
			}},
		},
	}
}

// setPrefix takes a prefix as ip does: "default" is only itself.
func (e *env) setPrefix(f *api.RoutesRequest, s string) (err error) {
	switch {
	case s == "default" && e.family(false):
		f.Prefix, f.Exact = "0.0.0.0/0", true
	case s == "default":
		f.Prefix, f.Exact = "::/0", true
	default:
		f.Prefix, err = parsePrefix(s)
	}
	return err
}

func parsePrefix(s string) (string, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a.Unmap().WithZone(""), a.Unmap().BitLen()).String(), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return "", usage(s+": not a prefix", "want one like 10.0.0.0/8 or 2001:db8::/32")
	}
	if p != p.Masked() {
		return "", usage(s+": bits are set behind the prefix length", fmt.Sprintf("did you mean %s?", p.Masked()))
	}
	return p.String(), nil
}

func (e *env) listRoutes(ctx context.Context, f *api.RoutesRequest) error {
	out := e.list()
	err := e.ask(ctx, func(ctx context.Context, c api.RouterClient) error {
		stream, err := c.ListRoutes(ctx, f)
		for err == nil {
			var m *api.Routes
			if m, err = stream.Recv(); err != nil {
				break
			}
			for _, r := range m.GetRoutes() {
				if err := out.add(newRoute(r)); err != nil {
					return err
				}
			}
			if err := out.flush(); err != nil {
				return err
			}
		}
		return ended(err)
	})
	if err == nil && out.n == 0 && f.Exact {
		err = fail(codeNotFound, f.Prefix+": no such route", "'weft routes get' finds the route of an address")
	}
	return out.close(err)
}

// ended is what is left of the error that ends a stream.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// route is a route as 'ip -j route' prints one, and more.
type route struct {
	Type        string    `json:"type"`
	Dst         string    `json:"dst"`
	Family      string    `json:"family"`
	NHID        uint32    `json:"nhid,omitempty"`
	Gateway     string    `json:"gateway,omitempty"`
	Via         *via      `json:"via,omitempty"`
	Dev         string    `json:"dev,omitempty"`
	Table       string    `json:"table"`
	Protocol    string    `json:"protocol"`
	Scope       string    `json:"scope,omitempty"`
	PrefSrc     string    `json:"prefsrc,omitempty"`
	Metric      uint32    `json:"metric,omitempty"`
	Flags       []string  `json:"flags"`
	Metrics     []metrics `json:"metrics,omitempty"`
	Nexthops    []nexthop `json:"nexthops,omitempty"`
	VRF         uint32    `json:"vrf"`
	Group       uint32    `json:"group"`
	Selected    *bool     `json:"selected,omitempty"` // nil: not told, as of an event
	Installed   *bool     `json:"installed,omitempty"`
	Source      string    `json:"source,omitempty"` // who offers it, if not the kernel
	Origin      uint32    `json:"origin,omitempty"`
	Eligible    *bool     `json:"eligible,omitempty"`
	Resolved    []nexthop `json:"resolved,omitempty"`
	Why         string    `json:"why,omitempty"`
	WaitsFor    string    `json:"waits_for,omitempty"`    // a link that is not there
	NotExported string    `json:"not_exported,omitempty"` // why the kernel does not have it
}

type nexthop struct {
	Gateway string   `json:"gateway,omitempty"`
	Via     *via     `json:"via,omitempty"`
	Dev     string   `json:"dev,omitempty"`
	Weight  uint32   `json:"weight"`
	Flags   []string `json:"flags"`
}

// via is a gateway of the other family.
type via struct {
	Family string `json:"family"`
	Host   string `json:"host"`
}

type metrics struct {
	MTU uint32 `json:"mtu,omitempty"`
}

func newRoute(r *api.Route) *route {
	out := &route{
		Type: r.GetType(), Dst: shortPrefix(r.GetDst()), Family: familyOf(r.GetDst()), NHID: r.GetNhid(),
		Table: tableName(r.GetTable()), Protocol: r.GetProtocol(), Scope: r.GetScope(), PrefSrc: r.GetPrefsrc(), Metric: r.GetMetric(),
		Flags: []string{}, VRF: r.GetVrf(), Group: r.GetGroup(), Selected: new(r.GetSelected()), Installed: new(r.GetInstalled()),
	}
	if r.GetMtu() != 0 {
		out.Metrics = []metrics{{r.GetMtu()}}
	}
	if r.GetSource() != "kernel" && r.GetSource() != "" {
		out.WaitsFor, out.NotExported = r.GetWaitsFor(), r.GetNotExported()
		out.Source, out.Origin, out.Eligible = r.GetSource(), r.GetOrigin(), new(r.GetEligible())
		out.Why, out.Resolved = r.GetWhy(), newHops(r.GetResolved(), r.GetDst())
	}
	out.Nexthops = newHops(r.GetNexthops(), r.GetDst())
	if len(out.Nexthops) == 1 {
		hop := out.Nexthops[0]
		out.Gateway, out.Via, out.Dev = hop.Gateway, hop.Via, hop.Dev
		out.Nexthops = nil
	}
	return out
}

func newHops(from []*api.NextHop, dst string) (hops []nexthop) {
	for _, h := range from {
		hop := nexthop{Dev: h.GetDev(), Weight: h.GetWeight(), Flags: []string{}}
		hop.Gateway, hop.Via = gateway(h.GetGateway(), dst)
		hops = append(hops, hop)
	}
	return hops
}

// gateway puts a gateway of another family than the route's apart, as ip does.
func gateway(gw, dst string) (string, *via) {
	if gw != "" && familyOf(gw) != familyOf(dst) {
		return "", &via{familyOf(gw), gw}
	}
	return gw, nil
}

func familyOf(addr string) string {
	if strings.Contains(addr, ":") {
		return "inet6"
	}
	return "inet"
}

// shortPrefix is a prefix as ip prints it: "default", and hosts without length.
func shortPrefix(dst string) string {
	p, err := netip.ParsePrefix(dst)
	switch {
	case err != nil:
		return dst
	case p.Bits() == 0:
		return "default"
	case p.IsSingleIP():
		return p.Addr().String()
	}
	return dst
}

func tableName(n uint32) string {
	switch n {
	case 0, 254:
		return "main"
	case 255:
		return "local"
	case 253:
		return "default"
	}
	return strconv.FormatUint(uint64(n), 10)
}

// text is the route as 'ip route add' takes it.
func (r *route) text() string {
	var b strings.Builder
	if r.Type != "unicast" && r.Type != "" {
		b.WriteString(r.Type + " ")
	}
	switch {
	case r.Dst == "default" && r.Family == "inet6" && r.Gateway == "":
		b.WriteString("::/0") // nothing else would tell ip the family
	default:
		b.WriteString(r.Dst)
	}
	add := func(name string, value any) { fmt.Fprintf(&b, " %s %v", name, value) }
	if r.NHID != 0 {
		add("nhid", r.NHID)
	} else {
		b.WriteString(hopText(r.Gateway, r.Via, r.Dev))
	}
	if r.Table != "main" {
		add("table", r.Table)
	}
	if r.Protocol != "" && r.Protocol != "boot" {
		add("proto", r.Protocol)
	}
	if r.Scope != "" && r.Scope != "global" {
		add("scope", r.Scope)
	}
	if r.PrefSrc != "" {
		add("src", r.PrefSrc)
	}
	if r.Metric != 0 {
		add("metric", r.Metric)
	}
	if len(r.Metrics) > 0 {
		add("mtu", r.Metrics[0].MTU)
	}
	if r.NHID == 0 {
		b.WriteString(r.hops())
	}
	b.WriteString(r.remarks())
	return b.String()
}

func (r *route) hops() string {
	var b strings.Builder
	for _, h := range r.Nexthops {
		fmt.Fprintf(&b, " nexthop%s weight %d", hopText(h.Gateway, h.Via, h.Dev), max(h.Weight, 1))
	}
	return b.String()
}

// hopList are the next hops, also if there is one.
func (r *route) hopList() []nexthop {
	if r.Nexthops == nil && r.Dev+r.Gateway != "" || r.Via != nil {
		return []nexthop{{Gateway: r.Gateway, Via: r.Via, Dev: r.Dev}}
	}
	return r.Nexthops
}

// hopsText names next hops: "via A dev D, via B dev E".
func hopsText(hops []nexthop) string {
	var all []string
	for _, h := range hops {
		all = append(all, hopText(h.Gateway, h.Via, h.Dev))
	}
	return strings.Join(all, ",")
}

func hopText(gw string, v *via, dev string) string {
	s := ""
	switch {
	case v != nil:
		s = " via " + v.Family + " " + v.Host
	case gw != "":
		s = " via " + gw
	}
	if dev != "" {
		s += " dev " + dev
	}
	return s
}

// viaDev is a next hop of a route to dst in ip's words.
func viaDev(gw, dev, dst string) string {
	host, other := gateway(gw, dst)
	return strings.TrimPrefix(hopText(host, other, dev), " ")
}

// remarks is what ip does not take.
func (r *route) remarks() string {
	var all []string
	if r.NHID != 0 {
		if hops := hopText(r.Gateway, r.Via, r.Dev) + r.hops(); hops != "" {
			all = append(all, strings.TrimPrefix(hops, " "))
		}
	}
	if r.Source != "" {
		all = append(all, "from "+r.Source)
		if slices.ContainsFunc(r.hopList(), func(h nexthop) bool { return h.Dev == "" }) && len(r.Resolved) > 0 {
			all = append(all, "leaves"+hopsText(r.Resolved))
		}
	}
	switch {
	case r.Selected == nil:
	case r.Eligible != nil && !*r.Eligible && r.WaitsFor != "": // and nothing else is to be said
	case r.Eligible != nil && !*r.Eligible:
		all = append(all, r.Why)
	case !*r.Selected:
		all = append(all, "not the best of its prefix")
	case !*r.Installed:
		all = append(all, "not installed: Linux forwards")
	}
	if r.WaitsFor != "" {
		all = append(all, "waits for "+r.WaitsFor)
	}
	if r.NotExported != "" {
		all = append(all, "not in the kernel: "+r.NotExported)
	}
	if len(all) == 0 {
		return ""
	}
	return " # " + strings.Join(all, "; ")
}
