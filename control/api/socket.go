package api

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// Directory is where sockets and locks are.
const Directory = "/run/weft"

// Netns returns the inode of the calling thread's network namespace: daemons
// and what they pin are named by it.
func Netns() (string, error) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return "", fmt.Errorf("find network namespace: %w", err)
	}
	return strconv.FormatUint(st.Ino, 10), nil
}

// Socket returns the path of the socket of the daemon of a namespace.
func Socket(netns string) string { return filepath.Join(Directory, netns+".sock") }

// Dial opens a connection to a daemon. It does not wait for the daemon: the
// first call fails when there is none.
func Dial(socket string) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", socket, err)
	}
	return conn, nil
}

// maxMessage bounds what a client takes; long answers are streams of less.
const maxMessage = 64 << 20

// LogPath returns the path of the log of a daemon in the background.
func LogPath(netns string) string { return filepath.Join(Directory, netns+".log") }

// RemoveSocket removes the socket of a daemon that is gone. Another file of that
// name stays, and is an error.
func RemoveSocket(socket string) error {
	st, err := os.Lstat(socket)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil && st.Mode().Type() != os.ModeSocket {
		err = errors.New("it is no socket")
	}
	if err == nil {
		err = os.Remove(socket)
	}
	if err != nil {
		return fmt.Errorf("remove old socket %s: %w", socket, err)
	}
	return nil
}
