package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"weft/control/bgp"
	"weft/control/config"
	"weft/control/ports"
	"weft/dataplane"
)

// maxRequest bounds what a server takes: a configuration file and a little.
const maxRequest = config.MaxFile + 64<<10

// GetConfig implements RouterServer.
func (s *Server) GetConfig(_ context.Context, q *GetConfigRequest) (*Configuration, error) {
	c, number := s.config.Configuration.Running()
	if q.Generation != nil {
		number = q.GetGeneration()
		var err error
		if c, err = s.config.Configuration.Generation(number); err != nil {
			return nil, configError(err)
		}
	}
	return &Configuration{Text: string(c.Shown().YAML()), Generation: number}, nil
}

// PlanConfig implements RouterServer.
func (s *Server) PlanConfig(_ context.Context, q *PlanConfigRequest) (*ConfigPlan, error) {
	to, err := config.Parse(q.GetFile(), []byte(q.GetText()))
	if err != nil {
		return nil, configError(err)
	}
	running, number := s.config.Configuration.Running()
	m := planMessage(config.Diff(running, to))
	m.Generation = number
	return m, nil
}

// ApplyConfig implements RouterServer.
func (s *Server) ApplyConfig(ctx context.Context, q *ApplyConfigRequest) (*ConfigPlan, error) {
	to, err := config.Parse(q.GetFile(), []byte(q.GetText()))
	if err != nil {
		return nil, configError(err)
	}
	plan, err := s.config.Configuration.Apply(ctx, to, config.Request{
		Caller: callerOf(ctx), Action: "apply", File: q.GetFile(), Confirm: time.Duration(q.GetConfirm()), Base: q.GetBase(),
	})
	return s.changed(plan, err)
}

// ConfirmConfig implements RouterServer.
func (s *Server) ConfirmConfig(ctx context.Context, _ *ConfirmConfigRequest) (*ConfirmConfigReply, error) {
	number, err := s.config.Configuration.Confirm(callerOf(ctx))
	if err != nil {
		return nil, configError(err)
	}
	s.Note(EventConfig, fmt.Sprintf("configuration %d is confirmed", number))
	return &ConfirmConfigReply{Generation: number}, nil
}

// RollbackConfig implements RouterServer.
func (s *Server) RollbackConfig(ctx context.Context, q *RollbackConfigRequest) (*ConfigPlan, error) {
	plan, err := s.config.Configuration.Rollback(ctx, int(q.GetChanges()), callerOf(ctx))
	return s.changed(plan, err)
}

// ListGenerations implements RouterServer.
func (s *Server) ListGenerations(context.Context, *GenerationsRequest) (*Generations, error) {
	_, running := s.config.Configuration.Running()
	all, pending := s.config.Configuration.Generations()
	reply := &Generations{Running: running}
	if pending != nil {
		reply.Pending, reply.Before, reply.Left = pending.Generation, pending.Before, int64(s.config.Configuration.Left())
	}
	for _, g := range all {
		reply.Generations = append(reply.Generations, &Generation{
			Number: g.Number, Time: g.Time.UnixNano(), Uid: g.Caller.UID, Pid: int64(g.Caller.PID), User: validUTF8(g.Caller.User),
			Action: g.Action, File: validUTF8(g.File), Summary: g.Summary,
		})
	}
	return reply, nil
}

// ChangeRoute implements RouterServer.
func (s *Server) ChangeRoute(ctx context.Context, q *ChangeRouteRequest) (*ConfigPlan, error) {
	route, err := staticRoute(q)
	if err != nil {
		return nil, err
	}
	op := config.RouteOp(q.GetOp())
	plan, err := s.config.Configuration.Edit(ctx, config.Request{Caller: callerOf(ctx), Action: "routes " + q.GetOp() + " " + route.Prefix.String()},
		func(c *config.Config) (*config.Config, error) { return c.WithRoute(op, route) })
	return s.changed(plan, err)
}

// SetPorts implements RouterServer.
func (s *Server) SetPorts(ctx context.Context, q *SetPortsRequest) (*ConfigPlan, error) {
	engine := q.GetEngine()
	if err := s.checkMatches(q.GetMatch(), engine != ""); err != nil {
		return nil, err
	}
	action := "ports set " + strings.Join(q.GetMatch(), " ") + " engine " + cmp.Or(engine, "default")
	plan, err := s.config.Configuration.Edit(ctx, config.Request{Caller: callerOf(ctx), Action: validUTF8(action)},
		func(c *config.Config) (*config.Config, error) { return c.WithEngine(q.GetMatch(), engine) })
	return s.changed(plan, err)
}

// checkMatches finds globs that are for no port, which a file may have, but who sets a port did not mean.
func (s *Server) checkMatches(globs []string, some bool) error {
	if len(globs) == 0 {
		return invalid("no port is named")
	}
	for _, glob := range globs {
		if some && !s.isForPort(glob) {
			return status.Errorf(codes.NotFound, "%s: no such port: 'weft ports' lists them, a VLAN has the engine of the port below it", validUTF8(glob))
		}
	}
	return nil
}

// isForPort tells whether a glob matches a port that has an engine of its own, or what was to be one.
func (s *Server) isForPort(glob string) bool {
	is := func(name string) bool { match, err := path.Match(glob, name); return match || err != nil } // the configuration tells of the error
	return slices.ContainsFunc(s.config.Engine.Ports(), func(p dataplane.PortStatus) bool { return p.Parent == 0 && is(p.Name) }) ||
		slices.ContainsFunc(s.config.Ports.Refused(), func(r ports.Refused) bool { return is(r.Name) })
}

// staticRoute reads a route of a request. What it means is checked with the
// configuration that it becomes part of.
func staticRoute(q *ChangeRouteRequest) (r config.Route, err error) {
	r = config.Route{
		VRF: q.GetVrf(), Table: q.GetTable(), Kind: config.Kind(q.GetType()), Group: q.GetGroup(), Preference: q.GetPreference(),
	}
	if r.Prefix, err = netip.ParsePrefix(q.GetPrefix()); err != nil {
		return r, invalid("%s: not a prefix", q.GetPrefix())
	}
	for _, h := range q.GetNexthops() {
		hop := config.Hop{Dev: h.GetDev(), Weight: max(h.GetWeight(), 1)}
		if h.GetGateway() != "" {
			if hop.Via, err = netip.ParseAddr(h.GetGateway()); err != nil {
				return r, invalid("via %s: not an address", h.GetGateway())
			}
		}
		r.Hops = append(r.Hops, hop)
	}
	return r, nil
}

// changed is the answer to a change of the configuration.
func (s *Server) changed(plan *config.Plan, err error) (*ConfigPlan, error) {
	if err != nil {
		return nil, configError(err)
	}
	m := planMessage(plan)
	_, m.Generation = s.config.Configuration.Running()
	m.Confirm = int64(s.config.Configuration.Left())
	s.Note(EventConfig, fmt.Sprintf("configuration %d is in force: %s", m.GetGeneration(), plan.Summary()))
	return m, nil
}

func planMessage(p *config.Plan) *ConfigPlan {
	m := &ConfigPlan{Impact: p.Impact}
	for _, c := range p.Changes {
		m.Changes = append(m.Changes, &ConfigChange{Op: string(c.Op), Thing: c.Thing, Name: c.Name, Old: c.Old, New: c.New, Uses: uint32(c.Uses)})
	}
	return m
}

// configError makes a status of an error of a configuration.
func configError(err error) error {
	var mistakes config.Errors
	code := codes.Internal
	switch {
	case errors.As(err, &mistakes), errors.Is(err, config.ErrRoute), errors.Is(err, config.ErrConfirm), errors.Is(err, config.ErrEngine):
		code = codes.InvalidArgument
	case errors.Is(err, config.ErrNoGeneration), errors.Is(err, config.ErrNothingPending), errors.Is(err, config.ErrNoRoute):
		code = codes.NotFound
	case errors.Is(err, config.ErrChanged):
		code = codes.Aborted
	case errors.Is(err, config.ErrLoading), errors.Is(err, bgp.ErrConfig), errors.Is(err, ports.ErrRule):
		code = codes.FailedPrecondition
	case errors.Is(err, config.ErrThere):
		code = codes.AlreadyExists
	}
	return status.Error(code, err.Error())
}
