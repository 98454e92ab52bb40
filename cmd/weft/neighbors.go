package main

import (
	"context"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"weft/control/api"
)

func newNeighborsCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "neighbors [ADDRESS] [dev D]", Aliases: []string{"neighbours"}, Short: "List the neighbors and whether routes need them",
		Long: `Lists what Linux knows of the attached hosts and routers, in the form of
'ip neighbor'. Behind a '#' stands which of them routes lead to ("used"): weft
keeps those fresh. A packet to a used neighbor that is not resolved goes to
Linux, which asks for the address.

With --json the keys are those of 'ip -j neighbor'; besides them: used.`,
		Example: `  weft neighbors
  weft neighbors dev eth0
  weft -6 neighbors
  weft neighbors 192.0.2.1 --json`,
		Annotations: map[string]string{client: noun},
		Args:        cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			var f neighborFilter
			if err := e.neighborWords(&f).parse(args); err != nil {
				return err
			}
			return e.listNeighbors(cmd.Context(), &f)
		},
		ValidArgsFunction: completeWords(func() *words { return e.neighborWords(&neighborFilter{}) }, nil),
	}
}

type neighborFilter struct{ addr, dev string }

func (e *env) neighborWords(f *neighborFilter) *words {
	return &words{
		want: "an address",
		positional: func(s string) error {
			a, err := netip.ParseAddr(s)
			if err != nil {
				return usage(s+": not an address", "want one like 192.0.2.1 or fe80::1")
			}
			f.addr = a.String()
			return nil
		},
		all: []word{{name: "dev", help: "those behind it", complete: e.completePorts,
			set: func(v string) error { f.dev = v; return nil }}},
	}
}

func (e *env) listNeighbors(ctx context.Context, f *neighborFilter) error {
	out := e.list()
	err := e.ask(ctx, func(ctx context.Context, c api.RouterClient) error {
		stream, err := c.ListNeighbors(ctx, &api.NeighborsRequest{})
		for err == nil {
			var m *api.Neighbors
			if m, err = stream.Recv(); err != nil {
				break
			}
			for _, n := range m.GetNeighbors() {
				if f.addr != "" && n.GetDst() != f.addr || f.dev != "" && n.GetDev() != f.dev || !e.family(familyOf(n.GetDst()) == "inet6") {
					continue
				}
				if err := out.add(newNeighbor(n)); err != nil {
					return err
				}
			}
			if err := out.flush(); err != nil {
				return err
			}
		}
		return ended(err)
	})
	if err == nil && out.n == 0 && f.addr != "" {
		err = fail(codeNotFound, f.addr+": no such neighbor", "'weft routes get "+f.addr+" explain' tells where it would be")
	}
	return out.close(err)
}

// neighbor is a neighbor as of 'ip -j neighbor', and more.
type neighbor struct {
	Dst    string   `json:"dst"`
	Dev    string   `json:"dev"`
	Lladdr string   `json:"lladdr,omitempty"`
	State  []string `json:"state"`
	Used   bool     `json:"used"`
}

func newNeighbor(n *api.Neighbor) *neighbor {
	state := n.GetState()
	if state == nil {
		state = []string{}
	}
	return &neighbor{n.GetDst(), n.GetDev(), n.GetLladdr(), state, n.GetUsed()}
}

func (n *neighbor) text() string {
	s := n.Dst + " dev " + n.Dev
	if n.Lladdr != "" {
		s += " lladdr " + n.Lladdr
	}
	if len(n.State) > 0 {
		s += " " + strings.Join(n.State, " ")
	}
	if n.Used {
		s += " # used"
	}
	return s
}
