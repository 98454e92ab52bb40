package api

import (
	"testing"
	"time"

	"weft/dataplane"
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
