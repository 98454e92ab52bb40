package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// clock is one that tests set.
type clock struct {
	now   time.Time
	since time.Duration
	boot  string
}

func (c *clock) Now() time.Time           { return c.now }
func (c *clock) SinceBoot() time.Duration { return c.since }
func (c *clock) Boot() string             { return c.boot }

// pass lets time go by.
func (c *clock) pass(d time.Duration) { c.now, c.since = c.now.Add(d), c.since+d }

// sink keeps what is in force.
type sink struct {
	config *Config
	taken  int
	refuse error
}

func (s *sink) Replace(_ context.Context, c *Config) error {
	if s.refuse != nil {
		return s.refuse
	}
	s.config, s.taken = c, s.taken+1
	return nil
}

// daemon is what outlives a Store, and a Store.
type daemon struct {
	t     *testing.T
	dir   string
	clock *clock
	sink  *sink
	log   *bytes.Buffer
	store *Store
}

func newDaemon(t *testing.T) *daemon {
	d := &daemon{
		t: t, dir: filepath.Join(t.TempDir(), "state"), log: &bytes.Buffer{},
		clock: &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), time.Hour, "boot 1"},
	}
	d.restart(nil)
	return d
}

// restart is a kill and a start: the Sink begins empty.
func (d *daemon) restart(file *Config) {
	d.t.Helper()
	d.sink = &sink{}
	s, err := Open(Options{Dir: d.dir, Identity: "netns", Sink: d.sink, Clock: d.clock, Log: slog.New(slog.NewTextHandler(d.log, nil))})
	if err == nil {
		err = s.Start(d.t.Context(), file, "weft.yaml")
	}
	if err != nil {
		d.t.Fatal(err)
	}
	d.store = s
}

func (d *daemon) apply(c *Config, confirm time.Duration) *Plan {
	d.t.Helper()
	p, err := d.store.Apply(d.t.Context(), c, Request{Caller: Caller{UID: 7, PID: 8, User: "u"}, Action: "apply", File: "weft.yaml", Confirm: confirm})
	if err != nil {
		d.t.Fatal(err)
	}
	return p
}

// has holds that a configuration is in force, here and after a restart.
func (d *daemon) has(what string, want *Config) {
	d.t.Helper()
	if got, _ := d.store.Running(); !reflect.DeepEqual(got, want) || !reflect.DeepEqual(d.sink.config, want) {
		d.t.Fatalf("%s: in force is\n%swant\n%s", what, d.sink.config.YAML(), want.YAML())
	}
}

// toward is a configuration of so many routes by one gateway.
func toward(t testing.TB, gateway string, routes int) *Config {
	t.Helper()
	var b strings.Builder
	b.WriteString("version: 1\nroutes:\n")
	for i := range routes {
		fmt.Fprintf(&b, "  - {prefix: 10.%d.%d.0/24, via: %s}\n", i>>8, i&255, gateway)
	}
	return mustParse(t, b.String())
}

func TestApply(t *testing.T) {
	d := newDaemon(t)
	d.has("at first", Default())
	a, b := toward(t, "192.0.2.1", 3), toward(t, "192.0.2.2", 2)
	d.apply(a, 0)
	d.has("applied", a)
	d.restart(nil)
	d.has("applied, restarted", a)
	p := d.apply(b, 0)
	if p.Impact != "1 prefix loses the static route, 2 prefixes by atomic replace" || p.Summary() != "+0 -1 ~2 routes" {
		t.Errorf("%s; %s", p.Impact, p.Summary())
	}
	d.restart(nil)
	d.has("applied again, restarted", b)
	all, pending := d.store.Generations()
	if len(all) != 2 || all[0].Number != 2 || all[0].Caller != (Caller{7, 8, "u"}) || all[0].Summary != "+0 -1 ~2 routes" || !all[0].Time.Equal(d.clock.now) || pending != nil {
		t.Errorf("generations %+v", all)
	}
	if !strings.Contains(d.log.String(), `msg="configuration: apply" uid=7 pid=8 user=u generation=2 changes="+0 -1 ~2 routes" file=weft.yaml`) {
		t.Errorf("no audit: %s", d.log)
	}
	taken := d.sink.taken
	if d.apply(b, 0); d.sink.taken != taken {
		t.Error("the same again is not nothing")
	}
}

// TestApplyRefused holds that nothing has changed when the Sink, the disk or
// another change is in the way.
func TestApplyRefused(t *testing.T) {
	d := newDaemon(t)
	a, b := toward(t, "192.0.2.1", 3), toward(t, "192.0.2.2", 2)
	d.apply(a, 0)
	broken := errors.New("broken")
	d.sink.refuse = broken
	if _, err := d.store.Apply(t.Context(), b, Request{}); !errors.Is(err, broken) {
		t.Errorf("refused by the sink: %v", err)
	}
	d.sink.refuse = nil
	d.has("refused by the sink", a)
	if _, err := d.store.Apply(t.Context(), b, Request{Base: 9}); !errors.Is(err, ErrChanged) {
		t.Errorf("made for another generation: %v", err)
	}
	for _, confirm := range []time.Duration{time.Millisecond, -time.Second, 25 * time.Hour} {
		if _, err := d.store.Apply(t.Context(), b, Request{Confirm: confirm}); !errors.Is(err, ErrConfirm) {
			t.Errorf("confirm %v: %v", confirm, err)
		}
	}
	// A directory is where the file is to be: as good as a full disk, also for root.
	for _, name := range []string{"2.config.json.new", "state.json.new"} {
		path := filepath.Join(d.dir, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := d.store.Apply(t.Context(), b, Request{}); !errors.Is(err, ErrDisk) {
			t.Errorf("%s cannot be written: %v", name, err)
		}
		d.has(name, a)
		os.Remove(path)
		d.restart(nil)
		d.has(name+", restarted", a)
	}
	d.apply(b, 0)
	d.has("at last", b)
}

func TestConfirm(t *testing.T) {
	a, b, c := toward(t, "192.0.2.1", 3), toward(t, "192.0.2.2", 2), toward(t, "192.0.2.3", 1)
	const minute = time.Minute
	for _, test := range []struct {
		name string
		do   func(*daemon)
		want *Config
	}{
		{"in time", func(d *daemon) { d.clock.pass(5*minute - 1); d.store.Confirm(Caller{}); d.clock.pass(minute) }, b},
		{"not yet over", func(d *daemon) { d.clock.pass(5*minute - 1) }, b},
		{"over", func(d *daemon) { d.clock.pass(5 * minute) }, a},
		{"too late", func(d *daemon) {
			d.clock.pass(5 * minute)
			if _, err := d.store.Confirm(Caller{}); !errors.Is(err, ErrNothingPending) {
				d.t.Errorf("too late: %v", err)
			}
		}, a},
		{"killed, over", func(d *daemon) { d.clock.pass(9 * minute); d.restart(nil) }, a},
		{"killed, file offered, over", func(d *daemon) { d.clock.pass(9 * minute); d.restart(b) }, a},
		{"killed, file offered, not over", func(d *daemon) { d.restart(c) }, b},
		{"killed, not over", func(d *daemon) { d.clock.pass(4 * minute); d.restart(nil); d.clock.pass(minute - 1) }, b},
		{"killed, then over", func(d *daemon) { d.clock.pass(4 * minute); d.restart(nil); d.clock.pass(minute) }, a},
		{"killed, confirmed", func(d *daemon) { d.restart(nil); d.store.Confirm(Caller{}); d.clock.pass(time.Hour); d.restart(nil) }, b},
		{"clock set forward", func(d *daemon) { d.clock.now = d.clock.now.Add(time.Hour); d.clock.pass(4 * minute) }, b},
		{"clock set forward, killed", func(d *daemon) { d.clock.now = d.clock.now.Add(time.Hour); d.restart(nil); d.clock.pass(4 * minute) }, b},
		{"clock set back", func(d *daemon) { d.clock.now = d.clock.now.Add(-time.Hour); d.clock.pass(5 * minute) }, a},
		{"clock set back, killed", func(d *daemon) { d.clock.now = d.clock.now.Add(-time.Hour); d.clock.pass(5 * minute); d.restart(nil) }, a},
		{"machine restarted, not over", func(d *daemon) {
			d.clock.now = d.clock.now.Add(3 * minute)
			d.clock.boot, d.clock.since = "boot 2", minute
			d.restart(nil)
		}, b},
		{"machine restarted, over", func(d *daemon) {
			d.clock.now = d.clock.now.Add(5 * minute)
			d.clock.boot, d.clock.since = "boot 2", minute
			d.restart(nil)
		}, a},
		{"machine restarted, its clock in the past", func(d *daemon) {
			d.clock.now, d.clock.boot, d.clock.since = time.Unix(0, 0), "boot 2", minute
			d.restart(nil)
			d.clock.pass(4 * minute)
		}, a},
		{"rolled back", func(d *daemon) { d.store.Rollback(d.t.Context(), 1, Caller{}); d.clock.pass(time.Hour) }, a},
		{"another one to be confirmed", func(d *daemon) { d.clock.pass(4 * minute); d.apply(c, 5*minute); d.clock.pass(4 * minute) }, c},
		{"another one, over", func(d *daemon) { d.clock.pass(4 * minute); d.apply(c, 5*minute); d.clock.pass(5 * minute) }, a},
		{"another one, rolled back", func(d *daemon) { d.apply(c, 5*minute); d.store.Rollback(d.t.Context(), 1, Caller{}) }, a},
		{"another one for good", func(d *daemon) { d.apply(c, 0); d.clock.pass(time.Hour) }, c},
		{"the sink refuses for a while", func(d *daemon) {
			d.sink.refuse = errors.New("busy")
			d.clock.pass(6 * minute)
			d.store.Expire(d.t.Context())
			d.sink.refuse = nil
		}, a},
	} {
		d := newDaemon(t)
		d.apply(a, 0)
		d.apply(b, 5*minute)
		if left := d.store.Left(); left != 5*minute {
			t.Errorf("%s: %v left", test.name, left)
		}
		test.do(d)
		d.store.Expire(t.Context())
		d.has(test.name, test.want)
		d.restart(nil)
		d.store.Expire(t.Context())
		d.has(test.name+", restarted", test.want)
	}
}

// TestRunExpires lets the goroutine of a Store do it, by the machine's clock.
func TestRunExpires(t *testing.T) {
	d := newDaemon(t)
	d.store.options.Clock = machine{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { d.store.Run(ctx); close(ended) }()
	d.apply(toward(t, "192.0.2.1", 1), MinConfirm)
	began := time.Now()
	for _, pending := d.store.Generations(); pending != nil; _, pending = d.store.Generations() {
		time.Sleep(10 * time.Millisecond)
	}
	if took := time.Since(began); took < MinConfirm-100*time.Millisecond {
		t.Errorf("taken back after %v", took)
	}
	cancel()
	<-ended
	d.has("over", Default())
}

// TestStart says when the file is looked at.
func TestStart(t *testing.T) {
	d := newDaemon(t)
	file, other, edited := toward(t, "192.0.2.1", 3), toward(t, "192.0.2.2", 3), toward(t, "192.0.2.3", 3)
	d.restart(file)
	d.has("first", file)
	d.apply(other, 0) // of the same name: the file is now that
	d.restart(other)
	d.has("applied since", other)
	route := Route{Prefix: edited.Routes[0].Prefix, Kind: Blackhole, Preference: 9}
	if _, err := d.store.Edit(t.Context(), Request{Action: "routes add"}, func(c *Config) (*Config, error) { return c.WithRoute(AddRoute, route) }); err != nil {
		t.Fatal(err)
	}
	d.restart(other)
	if c, _ := d.store.Running(); len(c.Routes) != 4 || len(d.sink.config.Routes) != 4 {
		t.Errorf("the route that was added is gone: %s", c.YAML())
	}
	d.restart(edited)
	d.has("the file was edited", edited)
	d.restart(nil)
	d.has("no file", edited)
	// The disk is gone: the file is in force all the same.
	for _, name := range []string{"state.json.new", "5.config.json.new"} {
		if err := os.Mkdir(filepath.Join(d.dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	d.restart(file)
	d.has("nothing can be written", file)
}

func TestRollback(t *testing.T) {
	d := newDaemon(t)
	var all []*Config
	for i := range 30 {
		all = append(all, toward(t, fmt.Sprintf("192.0.2.%d", i+1), 1))
		d.apply(all[i], 0)
	}
	roll := func(n int) error {
		_, err := d.store.Rollback(t.Context(), n, Caller{})
		return err
	}
	if err := roll(19); err != nil {
		t.Fatal(err)
	}
	d.has("19 changes ago", all[10])
	if err := roll(1); err != nil {
		t.Fatal(err)
	}
	d.has("and back", all[29])
	for _, n := range []int{0, -1, 20, 1000} {
		if err := roll(n); !errors.Is(err, ErrNoGeneration) {
			t.Errorf("rollback %d: %v", n, err)
		}
	}
	files, err := filepath.Glob(filepath.Join(d.dir, "*"+configName))
	if err != nil || len(files) != keepGenerations {
		t.Errorf("%d files, %v", len(files), err)
	}
	d = newDaemon(t)
	d.apply(all[0], 0)
	if err := roll(1); err != nil {
		t.Fatal(err)
	}
	d.has("before the first", Default())
}

// TestManyUnconfirmed holds that what comes back is kept, however many changes
// are made before.
func TestManyUnconfirmed(t *testing.T) {
	d := newDaemon(t)
	good := toward(t, "192.0.2.254", 1)
	d.apply(good, 0)
	for i := range keepGenerations + 5 {
		d.apply(toward(t, fmt.Sprintf("192.0.2.%d", i+1), 1), time.Minute)
	}
	d.clock.pass(time.Minute)
	d.restart(nil)
	d.has("nothing was confirmed", good)
}

// TestDamaged says so, and does not begin anew by itself.
func TestDamaged(t *testing.T) {
	for name, damage := range map[string]string{
		"state.json": "{", "1.config.json": "[",
	} {
		d := newDaemon(t)
		d.apply(toward(t, "192.0.2.1", 1), 0)
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Options{Dir: d.dir, Identity: "netns", Sink: d.sink}); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s: %v", name, err)
		}
	}
	d := newDaemon(t)
	d.apply(toward(t, "192.0.2.1", 1), 0)
	s, err := Open(Options{Dir: d.dir, Identity: "another namespace of that number", Sink: d.sink})
	if err != nil {
		t.Fatal(err)
	}
	if c, n := s.Running(); n != 0 || len(c.Routes) != 0 {
		t.Errorf("another namespace has %s", c.YAML())
	}
}

func TestWithRoute(t *testing.T) {
	c := mustParse(t, "version: 1\npreferences: {static: 5}\nnexthop_groups: {g: [{via: 192.0.2.1}]}\nroutes: [{prefix: 10.0.0.0/8, group: g}, {prefix: 10.0.0.0/8, via: 192.0.2.2, preference: 9}, {prefix: '::/0', dev: eth0}]")
	before := string(c.YAML())
	route := func(text string) Route { return mustParse(t, "version: 1\nroutes: [{"+text+"}]").Routes[0] }
	del := func(prefix string, preference uint32) Route {
		r := route("prefix: '" + prefix + "', dev: x")
		return Route{Prefix: r.Prefix, Preference: preference}
	}
	for _, test := range []struct {
		op    RouteOp
		route Route
		err   error
		want  string
	}{
		{AddRoute, route("prefix: 10.1.0.0/16, type: blackhole"), nil, "+ route 10.1.0.0/16  blackhole"},
		{AddRoute, route("prefix: 10.0.0.0/8, via: 192.0.2.3"), ErrThere, ""},
		{AddRoute, route("prefix: 10.0.0.0/8, via: 192.0.2.3, preference: 5"), ErrThere, ""},
		{AddRoute, route("prefix: 10.0.0.0/8, via: 192.0.2.3, preference: 6"), nil, "+ route 10.0.0.0/8 preference 6  via 192.0.2.3"},
		{ReplaceRoute, route("prefix: 10.0.0.0/8, via: 192.0.2.3, table: 254"), nil, "~ route 10.0.0.0/8  group g -> via 192.0.2.3"},
		{ReplaceRoute, route("prefix: 10.7.0.0/16, via: 192.0.2.3"), nil, "+ route 10.7.0.0/16  via 192.0.2.3"},
		{DeleteRoute, del("10.0.0.0/8", 0), ErrRoute, ""},
		{DeleteRoute, del("10.0.0.0/8", 9), nil, "- route 10.0.0.0/8 preference 9  via 192.0.2.2"},
		{DeleteRoute, del("::/0", 0), nil, "- route ::/0  dev eth0"},
		{DeleteRoute, del("10.9.0.0/16", 0), ErrNoRoute, ""},
		{AddRoute, Route{Prefix: del("10.9.0.0/16", 0).Prefix, Group: "none"}, ErrRoute, ""},
		{AddRoute, Route{Prefix: del("10.9.0.0/16", 0).Prefix}, ErrRoute, ""},
		{AddRoute, Route{Prefix: del("10.9.0.0/16", 0).Prefix, Kind: "local"}, ErrRoute, ""},
		{"change", del("10.9.0.0/16", 0), ErrRoute, ""},
	} {
		to, err := c.WithRoute(test.op, test.route)
		if !errors.Is(err, test.err) || err == nil && Diff(c, to).Changes[0].Text() != test.want {
			t.Errorf("%s %s: %v", test.op, test.route.Text(), err)
			if err == nil {
				t.Error(Diff(c, to).Changes)
			}
		}
	}
	if string(c.YAML()) != before {
		t.Errorf("the configuration has changed: %s", c.YAML())
	}
}

func TestPlace(t *testing.T) {
	p, err := Find("4711")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Find("4711"); again != p || err != nil || p.Identity == "" || p.Dir == "" {
		t.Errorf("%+v, then %+v (%v)", p, again, err)
	}
}
