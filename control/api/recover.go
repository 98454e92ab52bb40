package api

import (
	"context"
	"fmt"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A question that makes the server panic costs its caller an answer, and nobody else
// the daemon: it is what keeps the FIB right.

// panicked is a panic on its way to another goroutine.
type panicked struct {
	value any
	stack []byte // where it was
}

// caught makes a panicked of what recover returns in the function that is deferred.
func caught(value any) *panicked {
	switch p := value.(type) {
	case nil:
		return nil
	case *panicked:
		return p
	}
	return &panicked{value, debug.Stack()}
}

func (s *Server) recoverUnary(ctx context.Context, q any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (reply any, err error) {
	defer func() { err = s.survive(caught(recover()), info.FullMethod, err) }()
	return handle(ctx, q)
}

func (s *Server) recoverStream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	defer func() { err = s.survive(caught(recover()), info.FullMethod, err) }()
	return handle(server, stream)
}

// survive logs a panic and returns what the caller is told, or else err.
func (s *Server) survive(p *panicked, method string, err error) error {
	if p == nil {
		return err
	}
	text := fmt.Sprint(p.value)
	s.config.Log.Error("a request made the daemon panic, which goes on: report it", "request", method, "panic", text, "stack", string(p.stack))
	return status.Errorf(codes.Internal, "panic: %s: the daemon goes on; report it with what its log has", text)
}
