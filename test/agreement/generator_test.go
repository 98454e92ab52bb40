package agreement

import (
	"bytes"
	"context"
	"path/filepath"
	"reflect"
	"testing"
)

// States and packets are functions of their seeds.
func TestGenerator(t *testing.T) {
	for seed := range uint64(20) {
		s := NewState(seed)
		if !reflect.DeepEqual(s, NewState(seed)) {
			t.Fatalf("state %d is drawn in two ways", seed)
		}
		g, again := NewGenerator(s, seed), NewGenerator(s, seed)
		b, other := make([]byte, 0, maxFrame+tagsMost), make([]byte, 0, maxFrame+tagsMost)
		for n := range 5000 {
			p, q := g.Next(b), again.Next(other)
			if p.Port != q.Port || !bytes.Equal(p.Frame, q.Frame) {
				t.Fatalf("packet %d of state %d is made in two ways", n, seed)
			}
			if mtu := s.Ports[p.Port].MTU; len(p.Frame) < l3 || len(p.Frame) > l3+mtu {
				t.Fatalf("packet %d of state %d has %d bytes, on a port with MTU %d", n, seed, len(p.Frame), mtu)
			}
			if s.Ports[p.Port].Down {
				t.Fatalf("packet %d of state %d comes in by a port that is down", n, seed)
			}
		}
	}
}

func TestGeneratorAllocates(t *testing.T) {
	g, b := NewGenerator(NewState(1), 1), make([]byte, 0, maxFrame+tagsMost)
	if n := testing.AllocsPerRun(5000, func() { g.Next(b) }); n != 0 {
		t.Errorf("%v allocations for each packet, want 0", n)
	}
}

// A campaign that is interrupted and goes on comes to what one without a break does.
func TestResume(t *testing.T) {
	const packets = 5 * roundSize / 2
	path := filepath.Join(t.TempDir(), "build", "soak.json")
	whole := NewCampaign(7)
	if err := whole.Run(t.Context(), wrongTable(), packets, nil); err != nil {
		t.Fatal(err)
	}
	for breaks := 0; ; breaks++ {
		c, err := Resume(path, 7, packets)
		if err != nil {
			t.Fatal(err)
		}
		ctx, interrupt := context.WithCancel(t.Context())
		err = c.Run(ctx, wrongTable(), packets, func() error {
			interrupt()
			return c.Store(path)
		})
		if err == nil {
			if breaks != 2 || c.Divergent == 0 || c.Divergent != whole.Divergent || c.Rounds != whole.Rounds || !reflect.DeepEqual(c.Tally, whole.Tally) {
				t.Errorf("after %d breaks: %d differ in %d states, want %d in %d\n%s\n%s", breaks, c.Divergent, c.Rounds, whole.Divergent, whole.Rounds, c.Tally, whole.Tally)
			}
			break
		}
	}
	next, err := Resume(path, 7, packets)
	if err != nil || next.Packets != 0 || next.Seed != 7+whole.Rounds {
		t.Errorf("after the end: %+v, %v, want a new campaign", next, err)
	}
}
