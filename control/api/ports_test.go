package api

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"weft/control/config"
	"weft/dataplane"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// counting is an engine of one port, as far as seen looks at it.
type counting struct {
	dataplane.Engine
	counters dataplane.Counters
}

func (c *counting) Ports() []dataplane.PortStatus {
	return []dataplane.PortStatus{{Port: dataplane.Port{Number: 1}}}
}
func (c *counting) Counters(uint32) dataplane.Counters { return c.counters }

// TestSeen: what was counted before the daemon has no time, all else has.
func TestSeen(t *testing.T) {
	e := &counting{}
	e.counters[dataplane.Glean].Packets = 3
	s := newSeen(e)
	e.counters[dataplane.LocalRoute].Packets = 1
	before := time.Now().UnixNano()
	at := map[string]int64{}
	for _, c := range s.counters(1, &e.counters) {
		at[c.Reason] = c.LastSeen
	}
	if at["glean"] != 0 || at["local_route"] < before {
		t.Errorf("of port 1: %v", at)
	}
	// A port that came later has counted since.
	if list := s.counters(2, &e.counters); len(list) != 2 || list[0].LastSeen < before || list[1].LastSeen < before {
		t.Errorf("of a new port: %v", list)
	}
}

// TestSetPorts: what is set is for ports that there are, and is in the configuration, where it
// stands first.
func TestSetPorts(t *testing.T) {
	w := serve(t, 1<<20, nil)
	sink := &taken{}
	w.config.Configuration = configStore(t, sink)
	set := func(engine string, globs ...string) error {
		_, err := w.client.SetPorts(t.Context(), &SetPortsRequest{Match: globs, Engine: engine})
		return err
	}
	if err := errors.Join(set("soft", "port*"), set("xdp", "port2")); err != nil {
		t.Fatal(err)
	}
	want := []config.Port{{Match: "port2", Engine: "xdp"}, {Match: "port*", Engine: "soft"}}
	if !slices.Equal(sink.config.Ports, want) {
		t.Errorf("ports %v, want %v", sink.config.Ports, want)
	}
	if g, _ := w.config.Configuration.Generations(); len(g) != 2 || g[0].Action != "ports set port2 engine xdp" || g[0].Summary != "+1 -0 ~0 ports" {
		t.Errorf("generations %+v", g)
	}
	for _, test := range []struct {
		err  error
		code codes.Code
		word string
	}{
		{set("soft", "port1", "port9"), codes.NotFound, "port9: no such port"},
		{set("soft", "port[1"), codes.InvalidArgument, "glob"},
		{set("fast", "port1"), codes.InvalidArgument, "want one of xdp, soft"},
		{set("soft"), codes.InvalidArgument, "no port is named"},
	} {
		if s := status.Convert(test.err); s.Code() != test.code || !strings.Contains(s.Message(), test.word) {
			t.Errorf("%v, want %s with %q", test.err, test.code, test.word)
		}
	}
	if err := set("", "port9", "port2", "port*"); err != nil || len(sink.config.Ports) != 0 {
		t.Errorf("%v: ports %v", err, sink.config.Ports)
	}
}
