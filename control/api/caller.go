package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/user"
	"strconv"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"weft/control/config"
)

// peers are transport credentials that know which process is at the other end of
// a unix socket (SO_PEERCRED), as it was when it connected.
type peers struct {
	credentials.TransportCredentials
}

// process is the one at the other end.
type process struct {
	credentials.CommonAuthInfo
	cred unix.Ucred
}

// AuthType implements credentials.AuthInfo.
func (process) AuthType() string { return "peercred" }

// ServerHandshake implements credentials.TransportCredentials.
func (p peers) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	info := process{CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}
	cred, err := peerOf(c)
	if err != nil {
		return nil, nil, fmt.Errorf("find who connects: %w", err)
	}
	info.cred = *cred
	return c, info, nil
}

// Clone implements credentials.TransportCredentials.
func (p peers) Clone() credentials.TransportCredentials { return peers{p.TransportCredentials.Clone()} }

func peerOf(c net.Conn) (*unix.Ucred, error) {
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.New("not a unix socket")
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	controlErr := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return cred, errors.Join(err, controlErr)
}

// callerOf returns who has sent a request.
func callerOf(ctx context.Context) config.Caller {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return config.Caller{}
	}
	info, ok := p.AuthInfo.(process)
	if !ok {
		return config.Caller{}
	}
	c := config.Caller{UID: info.cred.Uid, PID: info.cred.Pid}
	if u, err := user.LookupId(strconv.FormatUint(uint64(c.UID), 10)); err == nil {
		c.User = u.Username
	}
	return c
}
