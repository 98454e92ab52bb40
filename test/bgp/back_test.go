package bgp

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"weft/test/star"
)

// back is traffic from h2 to h1 that h2's kernel routes, so that it needs what FRR has learned
// of weft: datagrams with sequence numbers, through sockets.
type back struct {
	*network
	from, to net.PacketConn
	end      chan struct{}
	ended    sync.WaitGroup
	sent     uint64 // or not, as there was no route
	got      map[uint64]int
	arrived  atomic.Uint64
}

// backRate is in packets a second.
const backRate = 1000

func (n *network) beginBack() *back {
	n.Helper()
	b := &back{network: n, end: make(chan struct{}), got: map[uint64]int{}}
	listen := func(node, address string) (conn net.PacketConn) {
		err := n.Lab.In(node, func() (err error) {
			conn, err = net.ListenPacket("udp4", address)
			return err
		})
		if err != nil {
			n.Fatal(err)
		}
		n.Cleanup(func() { conn.Close() })
		return conn
	}
	target := netip.AddrPortFrom(star.HostAddr(1, 4), 7)
	b.from, b.to = listen("h2", "0.0.0.0:0"), listen("h1", target.String())
	b.ended.Go(func() {
		packet := make([]byte, 8)
		for tick := time.NewTicker(time.Second / backRate); ; b.sent++ {
			select {
			case <-b.end:
				tick.Stop()
				return
			case <-n.Context().Done():
				return
			case <-tick.C:
			}
			binary.BigEndian.PutUint64(packet, b.sent)
			_, _ = b.from.WriteTo(packet, net.UDPAddrFromAddrPort(target)) // one that is not sent is missed
		}
	})
	b.ended.Go(func() {
		packet := make([]byte, 2048)
		for {
			size, _, err := b.to.ReadFrom(packet)
			if err != nil {
				if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, net.ErrClosed) {
					n.Error(err)
				}
				return
			}
			if size == 8 {
				b.got[binary.BigEndian.Uint64(packet)]++
				b.arrived.Add(1)
			}
		}
	})
	n.Until("packets go back", func() bool { return b.arrived.Load() > 10 })
	return b
}

// wantAll ends the traffic, and asserts that each packet has arrived once. It returns how
// many were sent.
func (b *back) wantAll() uint64 {
	b.Helper()
	close(b.end)
	if err := b.to.SetReadDeadline(time.Now().Add(star.Patience / 5)); err != nil {
		b.Fatal(err)
	}
	b.ended.Wait()
	lost, repeated := 0, 0
	for q := range b.sent {
		if b.got[q] == 0 {
			lost++
		}
		if b.got[q] > 1 {
			repeated++
		}
	}
	if lost+repeated > 0 {
		b.Errorf("of %d packets from h2 to h1 %d are lost, %d came more than once", b.sent, lost, repeated)
	}
	return b.sent
}
