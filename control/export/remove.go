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
	var messages []*kernel.Route
	for at, list := range routes {
		for _, o := range list {
			messages = append(messages, message(at, o))
		}
	}
	var refused error
	unless := func(gone unix.Errno) func(int, error) {
		return func(_ int, err error) {
			if err != nil && !errors.Is(err, gone) {
				refused = err
			}
		}
	}
	if err := writer.Batches(len(messages), func(i int) { writer.DeleteRoute(messages[i]) }, unless(unix.ESRCH)); err != nil {
		return err
	}
	groups, hops, err := readObjects(conn)
	if err != nil {
		return err
	}
	ids := append(groups, hops...)
	if err := writer.Batches(len(ids), func(i int) { writer.DeleteNextHop(ids[i]) }, unless(unix.ENOENT)); err != nil {
		return err
	}
	if refused != nil {
		return fmt.Errorf("the kernel keeps some of weft's routes or next hops: %w", refused)
	}
	return nil
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
