package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"weft/control/api"
)

// socketVariable is an environment variable with the path of the socket.
const socketVariable = "WEFT_SOCKET"

// socketPath returns the path of the daemon's socket. A client finds it by the
// namespace's inode and does not need to enter.
func (e *env) socketPath() (string, error) {
	switch path := e.getenv(socketVariable); {
	case e.socket != "":
		return e.socket, nil
	case e.netns != "":
		n, err := inode(e.netnsPath())
		return api.Socket(n), err
	case path != "":
		return path, nil
	}
	n, err := e.ownNetns()
	return api.Socket(n), err
}

// ask lets f talk to the daemon and puts what fails into our words.
func (e *env) ask(ctx context.Context, f func(context.Context, api.RouterClient) error) error {
	socket, err := e.socketPath()
	if err != nil {
		return err
	}
	conn, err := api.Dial(socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := e.awake(ctx, conn, socket); err != nil {
		return err
	}
	return e.daemonFailure(ctx, socket, f(ctx, api.NewRouterClient(conn)))
}

// awake waits until the daemon greets: one that is stopped or stuck has a
// socket, too.
func (e *env) awake(ctx context.Context, conn *grpc.ClientConn, socket string) error {
	timed, cancel := context.WithTimeout(ctx, e.patience)
	defer cancel()
	conn.Connect()
	for {
		s := conn.GetState()
		switch {
		case s == connectivity.Ready:
			return nil
		case s == connectivity.TransientFailure:
			return e.unreachable(socket)
		case conn.WaitForStateChange(timed, s):
		case ctx.Err() != nil:
			return ctx.Err()
		default:
			return fail(codeUnreachable, fmt.Sprintf("%s: the daemon has not answered for %s", socket, short(e.patience)),
				"see whether it is stopped or busy: its pid is in "+strings.TrimSuffix(socket, ".sock")+".lock")
		}
	}
}

// daemonFailure says what an error of gRPC means to the user. Others pass.
func (e *env) daemonFailure(ctx context.Context, socket string, err error) error {
	s, isStatus := status.FromError(err)
	if err == nil || !isStatus {
		return err
	}
	switch s.Code() {
	case codes.AlreadyExists, codes.Aborted, codes.FailedPrecondition:
		return fail(codeFailed, s.Message(), "")
	case codes.NotFound:
		return fail(codeNotFound, s.Message(), "")
	case codes.InvalidArgument, codes.OutOfRange:
		return usage(s.Message(), "")
	case codes.PermissionDenied:
		return fail(codePermission, s.Message(), "try 'sudo weft'")
	case codes.Unimplemented:
		return fail(codeFailed, "the daemon does not know this request: "+s.Message(),
			"it is of another version: 'weft status' tells which, 'sudo weft run' takes over with this one")
	case codes.Unavailable:
		return e.unreachable(socket)
	case codes.Canceled:
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return fail(codeFailed, "daemon: "+s.Message(), "")
}

// unreachable finds out why nobody answers.
func (e *env) unreachable(socket string) error {
	conn, err := net.DialTimeout("unix", socket, time.Second)
	switch {
	case err == nil:
		conn.Close()
		return fail(codeUnreachable, socket+": the daemon ended while it answered", "see 'weft status' and its log")
	case errors.Is(err, os.ErrPermission):
		return fail(codePermission, socket+": not allowed to talk to the daemon", "try 'sudo weft', or join the socket's group")
	}
	where := "here"
	if e.netns != "" {
		where = "in network namespace " + e.netns
	}
	run := "'sudo weft run'"
	if e.netns != "" {
		run = fmt.Sprintf("'sudo weft -n %s run'", e.netns)
	}
	hint := "start it with " + run
	if others := e.othersWithDaemon(filepath.Dir(socket)); len(others) > 0 {
		hint += fmt.Sprintf(", or ask the one of another network namespace with -n: %s", strings.Join(others, ", "))
	} else {
		hint += ", or name its network namespace with -n"
	}
	return fail(codeUnreachable, fmt.Sprintf("%s: no daemon runs %s", socket, where), hint)
}

// othersWithDaemon returns the named network namespaces that have a socket.
func (e *env) othersWithDaemon(sockets string) (names []string) {
	all, err := os.ReadDir(e.netnsDir)
	if err != nil {
		return nil
	}
	for _, ns := range all {
		n, err := inode(filepath.Join(e.netnsDir, ns.Name()))
		if err != nil || ns.Name() == e.netns {
			continue
		}
		if _, err := os.Stat(filepath.Join(sockets, filepath.Base(api.Socket(n)))); err == nil {
			names = append(names, ns.Name())
		}
		if len(names) == 5 {
			break
		}
	}
	return names
}
