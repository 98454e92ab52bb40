package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"weft/control/api"
	"weft/control/config"
)

func (f *fake) somePlan(generation uint64, confirm int64) (*api.ConfigPlan, error) {
	p := &api.ConfigPlan{Generation: generation, Confirm: confirm, Impact: "1 prefix loses the static route, 1 prefix by atomic replace", Changes: []*api.ConfigChange{
		{Op: "~", Thing: "group", Name: "core", Old: "via 192.0.2.1", New: "via 192.0.2.2", Uses: 12},
		{Op: "+", Thing: "route", Name: "10.0.0.0/8", New: "group core"},
		{Op: "~", Thing: "route", Name: "10.1.0.0/16", Old: "via 192.0.2.1", New: "via 192.0.2.9"},
		{Op: "-", Thing: "route", Name: "10.2.0.0/16", Old: "blackhole"},
	}}
	if f.same {
		p.Changes, p.Impact = nil, "none (nothing changes)"
	}
	return p, f.err
}

func (f *fake) PlanConfig(context.Context, *api.PlanConfigRequest) (*api.ConfigPlan, error) {
	return f.somePlan(4, 0)
}

func (f *fake) ApplyConfig(_ context.Context, q *api.ApplyConfigRequest) (*api.ConfigPlan, error) {
	return f.somePlan(5, q.GetConfirm())
}

func (f *fake) RollbackConfig(context.Context, *api.RollbackConfigRequest) (*api.ConfigPlan, error) {
	return f.somePlan(6, 0)
}

func (f *fake) SetPorts(_ context.Context, q *api.SetPortsRequest) (*api.ConfigPlan, error) {
	return somePorts(q), f.err
}

// somePorts is a plan that does what it is asked.
func somePorts(q *api.SetPortsRequest) *api.ConfigPlan {
	p := &api.ConfigPlan{Generation: 5, Impact: "none (atomic replace)"}
	for _, glob := range q.GetMatch() {
		p.Changes = append(p.Changes, &api.ConfigChange{Op: "+", Thing: "port", Name: glob, New: "engine " + q.GetEngine()})
	}
	return p
}

func (f *fake) ChangeRoute(_ context.Context, q *api.ChangeRouteRequest) (*api.ConfigPlan, error) {
	f.change = q
	return &api.ConfigPlan{Generation: 7, Impact: "1 prefix gets a route", Changes: []*api.ConfigChange{
		{Op: "+", Thing: "route", Name: q.GetPrefix(), New: "via 192.0.2.1"},
	}}, f.err
}

func (f *fake) ConfirmConfig(context.Context, *api.ConfirmConfigRequest) (*api.ConfirmConfigReply, error) {
	return &api.ConfirmConfigReply{Generation: 5}, f.err
}

func (f *fake) GetConfig(_ context.Context, q *api.GetConfigRequest) (*api.Configuration, error) {
	return &api.Configuration{Text: string(config.Default().YAML()), Generation: max(q.GetGeneration(), 2)}, f.err
}

func (f *fake) ListGenerations(context.Context, *api.GenerationsRequest) (*api.Generations, error) {
	g := &api.Generations{Running: 3, Generations: []*api.Generation{
		{Number: 3, Time: began.UnixNano(), Uid: 0, Pid: 4243, User: "root", Action: "apply", File: "/etc/weft/weft.yaml", Summary: "+1 -0 ~2 routes"},
		{Number: 2, Time: began.Add(-time.Hour).UnixNano(), Uid: 1000, Pid: 99, Action: "routes add 10.9.0.0/16", Summary: "+1 -0 ~0 routes"},
	}}
	if f.pending {
		g.Pending, g.Before, g.Left = 3, 2, int64(272*time.Second)
	}
	return g, f.err
}

// TestStaticRoutes reads ip's words.
func TestStaticRoutes(t *testing.T) {
	text := func(q *api.ChangeRouteRequest) string {
		var hops []string
		for _, h := range q.GetNexthops() {
			hops = append(hops, fmt.Sprintf("%s %s %d", h.GetGateway(), h.GetDev(), h.GetWeight()))
		}
		return fmt.Sprintf("%s %s %s [%s] %s %d %s %d", q.GetOp(), q.GetType(), q.GetPrefix(), strings.Join(hops, ", "), q.GetGroup(), q.GetPreference(), q.GetVrf(), q.GetTable())
	}
	for args, want := range map[string]string{
		"add 10.0.0.0/8 via 192.0.2.1 dev eth0":                                      "add  10.0.0.0/8 [192.0.2.1 eth0 1]  0  0",
		"add 10.0.0.0/8 v 192.0.2.1 d eth0":                                          "add  10.0.0.0/8 [192.0.2.1 eth0 1]  0  0",
		"add 192.0.2.7 dev eth0 preference 9 vrf blue":                               "add  192.0.2.7/32 [ eth0 1]  9 blue 0",
		"add default via fe80::1 dev eth0 metric 7 table main":                       "add  ::/0 [fe80::1 eth0 1]  7  254",
		"add default via 192.0.2.1":                                                  "add  0.0.0.0/0 [192.0.2.1  1]  0  0",
		"add 10.0.0.0/8 via inet6 fe80::1 dev eth0":                                  "add  10.0.0.0/8 [fe80::1 eth0 1]  0  0",
		"replace 10.0.0.0/8 nexthop via 192.0.2.1 weight 2 nexthop dev eth1 via ::2": "replace  10.0.0.0/8 [192.0.2.1  2, ::2 eth1 1]  0  0",
		"add blackhole 10.0.0.0/8":                                                   "add blackhole 10.0.0.0/8 []  0  0",
		"add unreachable 2001:db8::/32 table 7":                                      "add unreachable 2001:db8::/32 []  0  7",
		"add 10.0.0.0/8 group core":                                                  "add  10.0.0.0/8 [] core 0  0",
		"del 10.0.0.0/8":                                                             "del  10.0.0.0/8 []  0  0",
		"del ::/0 preference 5":                                                      "del  ::/0 []  5  0",
		"-6 del default":                                                             "del  ::/0 []  0  0",
	} {
		f := &fake{}
		line := "routes " + args
		if rest, six := strings.CutPrefix(args, "-6 "); six {
			line = "-6 routes " + rest
		}
		if r := weft(t, f, strings.Fields(line)...); r.exit != 0 {
			t.Errorf("%s: exit %d: %s", args, r.exit, r.stderr)
		} else if got := text(f.change); got != want {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
	}
}

// TestSchemaCommand prints what editors read.
func TestSchemaCommand(t *testing.T) {
	if r := weft(t, &fake{}, "config", "schema"); r.exit != 0 || r.stdout != string(config.Schema()) {
		t.Errorf("exit %d: %.100s", r.exit, r.stdout)
	}
}

// FuzzStaticRoute holds that words are taken, and name a prefix, or are wrong
// usage.
func FuzzStaticRoute(f *testing.F) {
	for _, line := range []string{"10.0.0.0/8 via 192.0.2.1 dev eth0", "blackhole ::/0 metric 7", "default nexthop via ::1 weight 3 nexthop dev x", "nexthop", "via", "v v v", "10.0.0.0/8 10.0.0.0/9"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		var out bytes.Buffer
		args := strings.Split(line, " ")
		q, err := testEnv(t, &out, &out).staticRoute("add", args)
		wantUsage(t, args, err, func() bool { return q.GetPrefix() != "" })
	})
}

// TestConfigExample holds that the file that help shows is one.
func TestConfigExample(t *testing.T) {
	_, rest, _ := strings.Cut(configLong, ":\n\n")
	example, _, _ := strings.Cut(rest, "\n\n")
	c, err := config.Parse("help", []byte(strings.ReplaceAll("\n"+example, "\n  ", "\n")))
	if err != nil || len(c.Routes) != 2 || c.BGP == nil || len(c.BGP.Neighbors) != 1 {
		t.Errorf("%+v, %v\n%s", c, err, example)
	}
}
