package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"weft/control/api"
	"weft/control/export"
	"weft/control/static"
	"weft/dataplane/xdp"
)

// Stop ends the daemon of the calling thread's network namespace, which gives
// the ports back to Linux. Where a daemon was killed, it gives back what that
// one left. It returns when nothing is left.
//
// Errors: ErrNothing, ErrPermission, os.ErrPermission.
func Stop(ctx context.Context, socket string) error {
	netns, err := api.Netns()
	if err != nil {
		return err
	}
	if socket == "" {
		socket = api.Socket(netns)
	}
	conn, err := api.Dial(socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = api.NewRouterClient(conn).Stop(ctx, &api.StopRequest{})
	switch {
	case err == nil:
		return waitUnlocked(ctx, netns)
	case status.Code(err) != codes.Unavailable:
		return fmt.Errorf("stop the daemon: %w", err)
	case isDenied(socket):
		return fmt.Errorf("not allowed to talk to the daemon at %s: %w", socket, os.ErrPermission)
	case api.IsLocked(netns):
		return fmt.Errorf("stop the daemon: %s, which runs, does not answer at %s: %w", api.Holder(netns), socket, err)
	}
	return removeLeft(netns, socket)
}

// isDenied tells whether this process may not talk to whoever is at a socket.
func isDenied(socket string) bool {
	c, err := net.Dial("unix", socket)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, os.ErrPermission)
}

// ErrNothing: no daemon runs, and none has left anything.
var ErrNothing = errors.New("nothing to stop: weft does not forward in this network namespace")

// unlockEvery is how often the end of a daemon is looked for.
const unlockEvery = 10 * time.Millisecond

// waitUnlocked waits until the daemon's process has let go of everything.
func waitUnlocked(ctx context.Context, netns string) error {
	for api.IsLocked(netns) {
		select {
		case <-time.After(unlockEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// removeLeft removes what a daemon left that was killed: pins, and the socket at
// which nobody answers.
func removeLeft(netns, socket string) error {
	if err := supported(); err != nil {
		return err
	}
	lock, err := api.Lock(netns)
	if err != nil {
		return err
	}
	// gofail: var leftLocked struct{}
	root, f, err := xdp.Root()
	if err != nil {
		return errors.Join(err, api.Unlock(lock))
	}
	err = xdp.Remove(filepath.Join(root, pinsName, netns))
	// gofail: var leftRemoved struct{}
	if errors.Is(err, xdp.ErrNotFound) {
		err = ErrNothing
	}
	if e := static.Remove(); e != nil {
		err = errors.Join(err, fmt.Errorf("remove the configuration's neighbors: %w", e))
	}
	if e := export.Remove(); e != nil {
		err = errors.Join(err, fmt.Errorf("withdraw weft's own routes: %w", e))
	}
	if e := os.Remove(api.LogPath(netns)); e != nil && !errors.Is(e, os.ErrNotExist) {
		err = errors.Join(err, fmt.Errorf("remove log: %w", e))
	}
	return errors.Join(err, api.RemoveSocket(socket), f.Close(), api.Unlock(lock))
}
