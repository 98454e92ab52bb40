package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"weft/control/api"
)

// eventKinds are the kinds of the API, with the labels of 'ip monitor'.
var eventKinds = []struct{ kind, label, help string }{
	{"link", "LINK", "links come, go and change"},
	{"address", "ADDR", "addresses"},
	{"neighbor", "NEIGH", "neighbors"},
	{"route", "ROUTE", "routes"},
	{"nexthop", "NEXTHOP", "next-hop objects"},
	{"port", "PORT", "interfaces become ports, or none any more"},
	{"sync", "SYNC", "the kernel's tables were read again"},
	{"config", "CONFIG", "the configuration has changed"},
}

func newMonitorCommand(e *env) *cobra.Command {
	var stamp bool
	cmd := &cobra.Command{
		Use: "monitor [KIND]...", Short: "Print changes as they are taken in",
		Long: `Prints what changes, one line for each event, in the form of 'ip monitor'. Kinds:
link, address, neighbor, route, nexthop, port, sync, config (default: all of them); they
may be shortened. What this command was too slow to be told is counted in a
[LOST] line. It goes on until it is interrupted.

With --json it prints one object a line, always with its time.`,
		Example: `  weft monitor
  weft monitor route neighbor -t
  weft monitor --json route | jq .route.dst`,
		Annotations: map[string]string{client: noun},
		Args:        cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			kinds, err := parseKinds(args)
			if err != nil {
				return err
			}
			return interrupted(e.monitor(cmd.Context(), kinds, stamp))
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) (out []cobra.Completion, _ cobra.ShellCompDirective) {
			for _, k := range eventKinds {
				out = append(out, cobra.CompletionWithDesc(k.kind, k.help))
			}
			return out, cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().BoolVarP(&stamp, "timestamp", "t", false, "print the time of each event (ISO 8601)")
	return cmd
}

// parseKinds takes kinds shortened, and in the plural.
func parseKinds(args []string) (kinds []string, err error) {
	var names []string
	for _, k := range eventKinds {
		names = append(names, k.kind)
	}
	for _, arg := range args {
		if arg == "all" {
			return nil, nil
		}
		var found []string
		for _, name := range names {
			if name == arg {
				found = []string{name}
				break
			}
			if strings.HasPrefix(name+"s", arg) && arg != "" {
				found = append(found, name)
			}
		}
		switch len(found) {
		case 0:
			return nil, usage(arg+": no such kind of event", meant(arg, names, "want "+strings.Join(names, ", ")))
		case 1:
			kinds = append(kinds, found[0])
		default:
			return nil, usage(fmt.Sprintf("%s: could be any of %s", arg, strings.Join(found, ", ")), "write more of it")
		}
	}
	return kinds, nil
}

func (e *env) monitor(ctx context.Context, kinds []string, stamp bool) error {
	return e.ask(ctx, func(ctx context.Context, c api.RouterClient) error {
		stream, err := c.Monitor(ctx, &api.MonitorRequest{Kinds: kinds})
		for err == nil {
			var m *api.Event
			if m, err = stream.Recv(); err != nil {
				break
			}
			if err := e.printLine(e.newEvent(m, stamp)); err != nil {
				return err
			}
		}
		return ended(err)
	})
}

type event struct {
	Time     string    `json:"time"`
	Kind     string    `json:"kind"`
	Deleted  bool      `json:"deleted,omitempty"`
	Lost     uint64    `json:"lost,omitempty"`
	Route    *route    `json:"route,omitempty"`
	Neighbor *neighbor `json:"neighbor,omitempty"`
	Link     *linkLine `json:"link,omitempty"`
	Note     string    `json:"note,omitempty"`

	stamp bool
}

type linkLine struct {
	Ifindex  uint32   `json:"ifindex"`
	Ifname   string   `json:"ifname"`
	Flags    []string `json:"flags"`
	MTU      uint32   `json:"mtu"`
	Master   string   `json:"master,omitempty"`
	Address  string   `json:"address,omitempty"`
	LinkKind string   `json:"info_kind,omitempty"`
}

func (e *env) newEvent(m *api.Event, stamp bool) *event {
	out := &event{Time: e.stamp(m.GetTime()), Kind: m.GetKind(), Deleted: m.GetDeleted(), Lost: m.GetLost(), Note: m.GetNote(), stamp: stamp}
	if m.Route != nil {
		out.Route = newRoute(m.Route)
		out.Route.Selected, out.Route.Installed = nil, nil // it is what the kernel said
	}
	if m.Neighbor != nil {
		out.Neighbor = newNeighbor(m.Neighbor)
	}
	if l := m.Link; l != nil {
		out.Link = &linkLine{l.GetIfindex(), l.GetDev(), []string{}, l.GetMtu(), l.GetMaster(), l.GetMac(), l.GetKind()}
		if l.GetUp() {
			out.Link.Flags = append(out.Link.Flags, "UP")
		}
	}
	return out
}

func (v *event) text() string {
	var b strings.Builder
	if v.Lost > 0 {
		v.begin(&b, "LOST")
		fmt.Fprintf(&b, "%s not told, as this command was too slow: 'weft routes' shows what is\n", count(v.Lost, "event"))
	}
	if v.Kind == "" {
		return strings.TrimSuffix(b.String(), "\n")
	}
	label := strings.ToUpper(v.Kind)
	for _, k := range eventKinds {
		if k.kind == v.Kind {
			label = k.label
		}
	}
	v.begin(&b, label)
	if v.Deleted {
		b.WriteString("Deleted ")
	}
	var parts []string
	switch {
	case v.Route != nil:
		parts = append(parts, v.Route.text())
	case v.Neighbor != nil:
		parts = append(parts, v.Neighbor.text())
	case v.Link != nil:
		parts = append(parts, v.Link.text())
	}
	if v.Note != "" {
		parts = append(parts, v.Note)
	}
	b.WriteString(strings.Join(parts, " # "))
	return b.String()
}

func (v *event) begin(b *strings.Builder, label string) {
	if v.stamp {
		b.WriteString("[" + v.Time + "] ")
	}
	b.WriteString("[" + label + "]")
}

func (l *linkLine) text() string {
	s := fmt.Sprintf("%d: %s: <%s> mtu %d", l.Ifindex, l.Ifname, strings.Join(l.Flags, ","), l.MTU)
	for _, part := range []struct{ name, value string }{{"master", l.Master}, {"link/ether", l.Address}, {"kind", l.LinkKind}} {
		if part.value != "" {
			s += " " + part.name + " " + part.value
		}
	}
	return s
}
