package api

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"weft/dataplane"
	"weft/dataplane/trace"
)

// TestTracesBounded: what traces may come to keep has a bound, also of those that wait.
func TestTracesBounded(t *testing.T) {
	w := serve(t, 1<<20, nil)
	add := func(count uint64, snap uint32) error {
		_, err := w.client.AddTrace(t.Context(), &TraceRequest{Count: count, Snap: snap})
		return err
	}
	if err := add(tracedMost, uint32(trace.SnapMost)); err != nil {
		t.Fatal(err)
	}
	if s := status.Convert(add(tracedMost, uint32(trace.SnapMost))); s.Code() != codes.Aborted || !strings.Contains(s.Message(), "weft trace clear") {
		t.Errorf("a second of the largest: %v", s)
	}
	if err := add(tracedMost, 0); err != nil {
		t.Errorf("a usual one beside it: %v", err)
	}
	if r, err := w.client.ClearTraces(t.Context(), &ClearTracesRequest{}); err != nil || r.GetTraces() != 2 {
		t.Fatalf("%v, %v", r, err)
	}
	if err := add(tracedMost, uint32(trace.SnapMost)); err != nil {
		t.Errorf("after all were cleared: %v", err)
	}
	if _, err := w.client.ClearTraces(t.Context(), &ClearTracesRequest{}); err != nil {
		t.Error(err)
	}
}

// TestReasonsOnce: a loop looks at each reason of a request for each packet.
func TestReasonsOnce(t *testing.T) {
	q := &TraceRequest{Reasons: slices.Repeat([]string{"glean", "forwarded"}, 1000), Verdicts: []string{"forward", "forward"}}
	got, err := reasonsOf(q)
	if want := []dataplane.Reason{dataplane.Forwarded, dataplane.Glean}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%d reasons, %v", len(got), err)
	}
}
