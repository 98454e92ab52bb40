package api

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"weft/control/rib"
)

// TestPanic holds that a request that panics, also in the goroutine that owns the RIB,
// costs its caller the answer and nobody else anything.
func TestPanic(t *testing.T) {
	w := serve(t, 1<<20, nil)
	var log bytes.Buffer
	w.config.Log = slog.New(slog.NewTextHandler(&log, nil))
	told := func(where string, err error) {
		t.Helper()
		if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "panic: "+where) {
			t.Errorf("%s: the caller is told %v", where, err)
		}
		if text := log.String(); !strings.Contains(text, "panic="+where) || !strings.Contains(text, "recover_test.go") {
			t.Errorf("%s: the log has %s", where, text)
		}
		log.Reset()
	}
	program := w.config.Program
	w.config.Program = func() (*Program, error) { panic("program") }
	_, err := w.client.GetStatus(context.Background(), &StatusRequest{})
	told("program", err)
	w.config.Program = program

	_, err = w.recoverUnary(context.Background(), nil, &grpc.UnaryServerInfo{}, func(ctx context.Context, _ any) (any, error) {
		return nil, w.do(ctx, func(*rib.RIB) { panic("owner") })
	})
	told("owner", err)
	told("stream", w.recoverStream(nil, nil, &grpc.StreamServerInfo{}, func(any, grpc.ServerStream) error { panic("stream") }))

	if _, err := w.client.GetStatus(context.Background(), &StatusRequest{}); err != nil {
		t.Errorf("after that: %v", err)
	}
	ip(t, "route add 10.8.0.0/16 via 10.0.2.2")
	w.has("10.8.0.0/16")
}
