package api

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"weft/control/config"
)

// taken is a Sink that keeps what it was given.
type taken struct{ config *config.Config }

func (s *taken) Replace(_ context.Context, c *config.Config) error {
	s.config = c
	return nil
}

func configStore(t testing.TB, sink config.Sink) *config.Store {
	t.Helper()
	store, err := config.Open(config.Options{Dir: t.TempDir(), Identity: "test", Sink: sink})
	if err == nil {
		err = store.Start(t.Context(), nil, "")
	}
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// configClient is a client of a Server that has a configuration and nothing else.
func configClient(t *testing.T) (RouterClient, *taken) {
	t.Helper()
	sink := &taken{}
	s := &Server{config: Config{Configuration: configStore(t, sink)}}
	s.serveGRPC()
	socket := filepath.Join(t.TempDir(), "weft.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	go s.grpc.Serve(l)
	t.Cleanup(s.grpc.Stop)
	conn, err := Dial(socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return NewRouterClient(conn), sink
}

func TestConfiguration(t *testing.T) {
	c, sink := configClient(t)
	const text = "version: 1\nroutes: [{prefix: 10.0.0.0/8, via: 192.0.2.1}]\n"
	plan, err := c.PlanConfig(t.Context(), &PlanConfigRequest{Text: text, File: "f"})
	if err != nil || len(plan.GetChanges()) != 1 || plan.GetImpact() != "1 prefix gets a route" || plan.GetGeneration() != 0 || len(sink.config.Routes) != 0 {
		t.Fatalf("plan %v, %v", plan, err)
	}
	plan, err = c.ApplyConfig(t.Context(), &ApplyConfigRequest{Text: text, File: "f", Confirm: int64(time.Hour)})
	if err != nil || plan.GetGeneration() != 1 || plan.GetConfirm() <= 0 || plan.GetConfirm() > int64(time.Hour) || len(sink.config.Routes) != 1 {
		t.Fatalf("apply %v, %v", plan, err)
	}
	all, err := c.ListGenerations(t.Context(), &GenerationsRequest{})
	if err != nil || all.GetPending() != 1 || all.GetBefore() != 0 || all.GetLeft() <= 0 {
		t.Fatalf("generations %v, %v", all, err)
	}
	// The kernel says who has called: this process.
	if g := all.GetGenerations()[0]; g.GetPid() != int64(os.Getpid()) || g.GetUid() != uint32(os.Getuid()) || g.GetFile() != "f" || g.GetAction() != "apply" {
		t.Errorf("generation %v", g)
	}
	if r, err := c.ConfirmConfig(t.Context(), &ConfirmConfigRequest{}); err != nil || r.GetGeneration() != 1 {
		t.Errorf("confirm %v, %v", r, err)
	}
	if _, err := c.ChangeRoute(t.Context(), &ChangeRouteRequest{Op: "add", Prefix: "10.9.0.0/16", Nexthops: []*NextHop{{Gateway: "192.0.2.2", Weight: 3}}, Preference: 7}); err != nil {
		t.Error(err)
	}
	now, err := c.GetConfig(t.Context(), &GetConfigRequest{})
	if err != nil || now.GetGeneration() != 2 || !strings.Contains(now.GetText(), "{prefix: 10.9.0.0/16, nexthops: [{via: 192.0.2.2, weight: 3}], preference: 7}") {
		t.Errorf("in force %v, %v", now, err)
	}
	if _, err := c.RollbackConfig(t.Context(), &RollbackConfigRequest{Changes: 2}); err != nil || len(sink.config.Routes) != 0 {
		t.Errorf("rolled back: %v, %v", sink.config, err)
	}
	before, err := c.GetConfig(t.Context(), &GetConfigRequest{Generation: new(uint64(1))})
	if err != nil || !strings.Contains(before.GetText(), "10.0.0.0/8") {
		t.Errorf("generation 1: %v, %v", before, err)
	}
}

func TestConfigurationRefused(t *testing.T) {
	c, sink := configClient(t)
	change := func(q *ChangeRouteRequest) error { _, err := c.ChangeRoute(t.Context(), q); return err }
	apply := func(q *ApplyConfigRequest) error { _, err := c.ApplyConfig(t.Context(), q); return err }
	confirm := func() error { _, err := c.ConfirmConfig(t.Context(), &ConfirmConfigRequest{}); return err }
	rollback := func(n uint32) error {
		_, err := c.RollbackConfig(t.Context(), &RollbackConfigRequest{Changes: n})
		return err
	}
	for _, test := range []struct {
		name string
		err  error
		code codes.Code
		word string
	}{
		{"mistake", apply(&ApplyConfigRequest{Text: "version: 2", File: "f"}), codes.InvalidArgument, "f:1:10: version: 2"},
		{"base", apply(&ApplyConfigRequest{Text: "version: 1", Base: 9}), codes.Aborted, "generation 0 is in force"},
		{"confirm time", apply(&ApplyConfigRequest{Text: "version: 1", Confirm: 5}), codes.InvalidArgument, "1s"},
		{"negative confirm time", apply(&ApplyConfigRequest{Text: "version: 1", Confirm: -5}), codes.InvalidArgument, "1s"},
		{"nothing to confirm", confirm(), codes.NotFound, "nothing waits"},
		{"rollback", rollback(1), codes.NotFound, "no such generation"},
		{"rollback far", rollback(1 << 31), codes.NotFound, "no such generation"},
		{"prefix", change(&ChangeRouteRequest{Op: "add", Prefix: "x"}), codes.InvalidArgument, "not a prefix"},
		{"gateway", change(&ChangeRouteRequest{Op: "add", Prefix: "10.0.0.0/8", Nexthops: []*NextHop{{Gateway: "x"}}}), codes.InvalidArgument, "not an address"},
		{"bits", change(&ChangeRouteRequest{Op: "add", Prefix: "10.0.0.1/8", Nexthops: []*NextHop{{Dev: "eth0"}}}), codes.InvalidArgument, "did you mean 10.0.0.0/8"},
		{"no such route", change(&ChangeRouteRequest{Op: "del", Prefix: "10.0.0.0/8"}), codes.NotFound, "no such static route"},
		{"op", change(&ChangeRouteRequest{Op: "turn", Prefix: "10.0.0.0/8"}), codes.InvalidArgument, "want add, del or replace"},
		{"dev", change(&ChangeRouteRequest{Op: "add", Prefix: "10.0.0.0/8", Nexthops: []*NextHop{{Dev: "a\nroutes: []"}}}), codes.InvalidArgument, "not a name of an interface"},
	} {
		if s := status.Convert(test.err); s.Code() != test.code || !strings.Contains(s.Message(), test.word) {
			t.Errorf("%s: %v", test.name, test.err)
		}
	}
	if len(sink.config.Routes) != 0 {
		t.Errorf("something was taken: %s", sink.config.YAML())
	}
}
