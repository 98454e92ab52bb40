package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"weft/control/api"
)

func newGroupsCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "groups [ID]", Short: "List the next-hop groups that routes lead to",
		Long: `Lists the groups of the FIB: each route leads to one, and routes with the same
next hops share one. A group forwards to its members (by weight and flow hash),
or says what else becomes of a packet: local, glean (attached: the kernel
resolves the destination), blackhole, reject, punt.

The number of a route's group stands in 'weft --json routes' and in 'weft routes
get ADDRESS explain'.`,
		Example: `  weft groups
  weft groups 7
  weft groups --json | jq '.[] | select(.members | length > 1)'`,
		Annotations: map[string]string{client: noun},
		Args:        atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var id uint64
			if len(args) == 1 {
				var err error
				if id, err = number("groups", args[0], 1<<32-1); err != nil {
					return err
				}
			}
			return e.listGroups(cmd.Context(), uint32(id))
		},
		ValidArgsFunction: completeNothing,
	}
}

func (e *env) listGroups(ctx context.Context, id uint32) error {
	out := e.list()
	err := e.ask(ctx, func(ctx context.Context, c api.RouterClient) error {
		stream, err := c.ListGroups(ctx, &api.GroupsRequest{Id: id})
		for err == nil {
			var m *api.Groups
			if m, err = stream.Recv(); err != nil {
				break
			}
			for _, g := range m.GetGroups() {
				if err := out.add(newGroup(g)); err != nil {
					return err
				}
			}
			if err := out.flush(); err != nil {
				return err
			}
		}
		return ended(err)
	})
	if err == nil && out.n == 0 && id != 0 {
		err = fail(codeNotFound, fmt.Sprintf("group %d: no such group", id), "'weft groups' lists them")
	}
	return out.close(err)
}

type group struct {
	ID      uint32   `json:"id"`
	Kind    string   `json:"kind"`
	Mode    string   `json:"mode,omitempty"`
	Reason  string   `json:"reason,omitempty"`
	Code    uint32   `json:"code,omitempty"`
	Dev     string   `json:"dev,omitempty"`
	Members []member `json:"members"`
}

type member struct {
	Adjacency uint32 `json:"adjacency"`
	Weight    uint32 `json:"weight"`
	Gateway   string `json:"gateway,omitempty"`
	Dev       string `json:"dev"`
	Lladdr    string `json:"lladdr,omitempty"`
	Complete  bool   `json:"complete"`
	MTU       uint32 `json:"mtu"`
}

func newGroup(g *api.Group) *group {
	out := &group{ID: g.GetId(), Kind: g.GetKind(), Mode: g.GetMode(), Reason: g.GetReason(), Code: g.GetCode(), Dev: g.GetDev(), Members: []member{}}
	for _, m := range g.GetMembers() {
		out.Members = append(out.Members, member{
			m.GetAdjacency(), max(m.GetWeight(), 1), m.GetGateway(), m.GetDev(), m.GetLladdr(), m.GetComplete(), m.GetMtu(),
		})
	}
	return out
}

func (g *group) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "group %d %s", g.ID, g.Kind)
	for _, s := range []string{g.Mode, g.Reason} {
		if s != "" {
			b.WriteString(" " + s)
		}
	}
	if g.Code != 0 {
		fmt.Fprintf(&b, " code %d", g.Code)
	}
	if g.Dev != "" {
		b.WriteString(" dev " + g.Dev)
	}
	for _, m := range g.Members {
		fmt.Fprintf(&b, "\n\tnexthop%s weight %d adjacency %d mtu %d", hopText(m.Gateway, nil, m.Dev), m.Weight, m.Adjacency, m.MTU)
		if m.Complete {
			b.WriteString(" lladdr " + m.Lladdr)
		} else {
			b.WriteString(" unresolved")
		}
	}
	return b.String()
}
