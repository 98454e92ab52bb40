package dataplane

import (
	"encoding/json"
	"testing"

	"weft/bpf"
)

// TestReasons compares with the enum in package bpf's object: the generated
// file is current.
func TestReasons(t *testing.T) {
	names, err := bpf.ReasonNames()
	if err != nil {
		t.Fatal(err)
	}
	if names != reasonNames {
		t.Errorf("reasons.go is not what the object has: go generate\n%v\n%v", reasonNames, names)
	}
	count := 0
	for r := range Reasons() {
		count++
		b, err := json.Marshal(map[Reason]Reason{r: r})
		if err != nil {
			t.Fatal(err)
		}
		var back map[Reason]Reason
		if err := json.Unmarshal(b, &back); err != nil || back[r] != r || len(back) != 1 {
			t.Errorf("%s: %s became %v, %v", r, b, back, err)
		}
	}
	if count < 40 {
		t.Errorf("%d reasons", count)
	}
	var r Reason
	if err := r.UnmarshalText([]byte("no_such")); err == nil {
		t.Error("no_such is a reason")
	}
	if got := Reason(63).String(); got != "reason_63" {
		t.Errorf("a number that is no reason prints %s", got)
	}
}

func TestVerdicts(t *testing.T) {
	for r, want := range map[Reason]Verdict{
		Forwarded: Forward, LocalRoute: Punt, EncapUnknown: Punt, 63: Punt, BlackholeRoute: Drop, RewriteFailed: Drop,
	} {
		if got := r.Verdict(); got != want {
			t.Errorf("%s: %s, want %s", r, got, want)
		}
	}
}

func TestCounters(t *testing.T) {
	var c Counters
	c[Forwarded] = Counter{1, 100}
	c[Glean] = Counter{2, 200}
	c[LocalRoute] = Counter{4, 400}
	c[SIPIsMC] = Counter{8, 800}
	if got := c.Of(Punt); got != (Counter{6, 600}) {
		t.Errorf("punted %v", got)
	}
	sum := c.Of(Forward)
	sum.Add(c.Of(Punt))
	sum.Add(c.Of(Drop))
	if got := c.Received(); got != sum || got != (Counter{15, 1500}) {
		t.Errorf("received %v, verdicts %v", got, sum)
	}
	before := c
	c[Glean].Add(Counter{1, 60})
	if d := c.Since(&before); d.Received() != (Counter{1, 60}) || d[Glean].Packets != 1 {
		t.Errorf("since: %v", d.Received())
	}
}
