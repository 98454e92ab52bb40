package export

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
)

// Remove withdraws all that weft has programmed into the kernel of the calling
// thread's network namespace: routes, and then next-hop objects. No Exporter may
// run.
func Remove() error {
	conn, err := kernel.Open()
	if err != nil {
		return err
	}
	defer conn.Close()
	writer, err := kernel.OpenWriter()
	if err != nil {
		return err
	}
	defer writer.Close()
	return remove(conn, writer)
}

// Withdraw is Remove with the sockets of an Exporter, after Run.
func (e *Exporter) Withdraw() error { return remove(e.conn, e.writer) }

func remove(conn *kernel.Conn, writer *kernel.Writer) error {
	routes, err := readOwn(conn)
	if err != nil {
		return err
	}
	var refused error
	flush := func(gone unix.Errno) error {
		results, err := writer.Flush()
		for _, e := range results {
			if e != nil && !errors.Is(e, gone) {
				refused = e
			}
		}
		return err
	}
	for at, list := range routes {
		for _, o := range list {
			if writer.DeleteRoute(message(at, o)); writer.IsFull() {
				err = errors.Join(err, flush(unix.ESRCH))
			}
		}
	}
	if err = errors.Join(err, flush(unix.ESRCH)); err != nil {
		return err
	}
	groups, hops, err := readObjects(conn)
	if err != nil {
		return err
	}
	for _, id := range append(groups, hops...) {
		if writer.DeleteNextHop(id); writer.IsFull() {
			err = errors.Join(err, flush(unix.ENOENT))
		}
	}
	if err = errors.Join(err, flush(unix.ENOENT)); err == nil && refused != nil {
		err = fmt.Errorf("the kernel keeps some of weft's routes or next hops: %w", refused)
	}
	return err
}

// readObjects returns the identifiers of weft's next-hop objects.
func readObjects(conn *kernel.Conn) (groups, hops []uint32, err error) {
	err = conn.Dump(kernel.NextHops, func(payload []byte) {
		var n kernel.NextHop
		switch {
		case n.Decode(payload) != nil || !isOurs(&n):
		case n.IsGroup():
			groups = append(groups, n.ID)
		default:
			hops = append(hops, n.ID)
		}
	})
	return groups, hops, ignoreInterrupted(err)
}
