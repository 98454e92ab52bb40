package static

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"weft/control/config"
	"weft/control/kernel"
	"weft/control/rib"
)

// resolveNeighbors finds the links of a configuration's neighbors.
func resolveNeighbors(c *config.Config, names map[string]place) (all []kernel.Neighbor, waiting []Waiting) {
	for _, n := range c.Neighbors {
		link := names[n.Dev].link
		if link == 0 {
			waiting = append(waiting, Waiting{Thing: "neighbor " + n.Addr.String(), For: "interface " + n.Dev})
			continue
		}
		mac, err := net.ParseMAC(n.Lladdr)
		if err != nil {
			continue // it was checked when the configuration was read
		}
		all = append(all, kernel.Neighbor{
			Link: link, Addr: n.Addr, MAC: kernel.MAC(mac), HasMAC: true, State: unix.NUD_PERMANENT, Protocol: rib.ProtocolWeft,
		})
	}
	return all, waiting
}

// writeTries is how often entries are written until it works: the kernel may lack
// memory for a moment, and what it has answered meanwhile be lost.
const writeTries = 3

// replaceNeighbors makes these the entries of weft's own, in the network namespace
// of the calling thread.
func replaceNeighbors(wanted []kernel.Neighbor) (err error) {
	for range writeTries {
		if err = writeNeighbors(wanted); err == nil {
			return nil
		}
	}
	return err
}

func writeNeighbors(wanted []kernel.Neighbor) error {
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
	there, err := ownNeighbors(conn)
	if err != nil {
		return err
	}
	set, gone := compareNeighbors(there, wanted)
	return errors.Join(
		change(writer, set, func(n *kernel.Neighbor) { writer.SetNeighbor(n, kernel.Upsert) }, 0),
		change(writer, gone, writer.DeleteNeighbor, unix.ENOENT),
	)
}

// change writes entries, and names the first that the kernel refuses for another
// reason than the one that is as good as done.
func change(w *kernel.Writer, list []kernel.Neighbor, one func(*kernel.Neighbor), done unix.Errno) error {
	var refused error
	err := w.Batches(len(list), func(i int) { one(&list[i]) }, func(i int, err error) {
		if err != nil && refused == nil && !errors.Is(err, done) {
			refused = fmt.Errorf("write neighbor %s: %w", list[i].Addr, err)
		}
	})
	return errors.Join(err, refused)
}

type neighborKey struct {
	link int
	addr netip.Addr
}

// compareNeighbors returns what is to be written so that those that are there become
// those that are wanted.
func compareNeighbors(there, wanted []kernel.Neighbor) (set, gone []kernel.Neighbor) {
	left := map[neighborKey]kernel.Neighbor{}
	for _, n := range there {
		left[neighborKey{n.Link, n.Addr}] = n
	}
	for _, n := range wanted {
		k := neighborKey{n.Link, n.Addr}
		if left[k] != n {
			set = append(set, n)
		}
		delete(left, k)
	}
	for _, n := range left {
		gone = append(gone, n)
	}
	return set, gone
}

// ownNeighbors returns the permanent entries that weft has made.
func ownNeighbors(conn *kernel.Conn) (all []kernel.Neighbor, err error) {
	for _, table := range []kernel.Table{kernel.NeighborsIPv4, kernel.NeighborsIPv6} {
		err = errors.Join(err, conn.Dump(table, func(payload []byte) {
			var n kernel.Neighbor
			if n.Decode(payload) == nil && n.Protocol == rib.ProtocolWeft && n.State&unix.NUD_PERMANENT != 0 {
				all = append(all, n)
			}
		}))
	}
	if err != nil {
		return nil, fmt.Errorf("read neighbors: %w", err)
	}
	return all, nil
}
