package router

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"weft/test/star"
)

// listen calls f in a host and returns what it made, which works from anywhere.
func listen[T any](n *star.Network, host string, f func() (T, error)) (made T) {
	n.Helper()
	err := n.Lab.In(host, func() (err error) {
		made, err = f()
		return err
	})
	if err != nil {
		n.Fatal(err)
	}
	return made
}

// download sends some MB by TCP from h1 to h2, and checks that they arrive as they were.
func download(n *star.Network, to netip.Addr) {
	n.Helper()
	sent := make([]byte, 4<<20)
	random := rand.NewChaCha8([32]byte{'w'})
	random.Read(sent)
	l := listen(n, "h2", func() (net.Listener, error) { return net.Listen("tcp", netip.AddrPortFrom(to, 0).String()) })
	defer l.Close()
	got := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			got <- err
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(star.Patience))
		hash := sha256.New()
		size, err := io.Copy(hash, c)
		if want := sha256.Sum256(sent); err == nil && !bytes.Equal(hash.Sum(nil), want[:]) {
			err = fmt.Errorf("%d bytes arrived, not as the %d that were sent", size, len(sent))
		}
		got <- err
	}()
	c := listen(n, "h1", func() (net.Conn, error) { return net.DialTimeout("tcp", l.Addr().String(), star.Patience) })
	c.SetDeadline(time.Now().Add(star.Patience))
	_, err := c.Write(sent)
	c.Close()
	if err != nil {
		n.Errorf("send by TCP to %s: %v", to, err)
		l.Close()
	}
	if err := <-got; err != nil {
		n.Errorf("receive by TCP at %s: %v", to, err)
	}
}

// datagrams sends UDP from h1 to h2, and checks that each arrives as it was.
func datagrams(n *star.Network, to netip.Addr, count int) {
	n.Helper()
	at := listen(n, "h2", func() (net.PacketConn, error) { return net.ListenPacket("udp", netip.AddrPortFrom(to, 0).String()) })
	defer at.Close()
	from := listen(n, "h1", func() (net.Conn, error) { return net.Dial("udp", at.LocalAddr().String()) })
	defer from.Close()
	b := make([]byte, 2000)
	for i := range count {
		sent := bytes.Repeat([]byte{byte(i), 0xff, 0}, 1+i*4)
		if _, err := from.Write(sent); err != nil {
			n.Fatal(err)
		}
		at.SetReadDeadline(time.Now().Add(star.Patience))
		size, _, err := at.ReadFrom(b)
		if err != nil || !bytes.Equal(b[:size], sent) {
			n.Fatalf("datagram %d of %d bytes to %s: got %d, %v", i, len(sent), to, size, err)
		}
	}
}

// tx has hosts leave checksums to hardware or not.
func tx(n *star.Network, value string) {
	n.Helper()
	for _, host := range []string{"h1", "h2"} {
		n.Command(host, "ethtool", "-K", "eth0", "tx", value)
	}
}

// wantArrivals sends by both families, which to-h1 is to count for a reason, and
// no packet of them for the other.
func wantArrivals(n *star.Network, reason, not string) {
	n.Helper()
	for _, family := range []int{4, 6} {
		to := star.HostAddr(2, family)
		n.Command("h1", "ping", "-q", "-c", "1", "-W", "5", to.String()) // resolved; not of UDP and TCP: its checksum is there
		n.WantCounted("to-h1", not, 0, func() {
			n.WantCounted("to-h1", reason, 100, func() { datagrams(n, to, 100) })
		})
		segments, others := n.Count("to-h1", reason), n.Count("to-h1", not)
		download(n, to)
		segments, others = n.Count("to-h1", reason)-segments, n.Count("to-h1", not)-others
		// Linux fills in itself what it answers for a connection in TIME-WAIT.
		if segments < 4<<20/1448 || others > 1 {
			n.Errorf("to-h1 has counted %d packets for %s and %d for %s: the stream's are for %[2]s", segments, reason, others, not)
		}
	}
}

// Hosts on veths leave checksums to hardware unless told otherwise. Linux fills
// them in: nothing is lost. Hosts that fill them in themselves have it faster.
func TestChecksumsLeftToHardware(t *testing.T) {
	n := star.New(t)
	tx(n, "on")
	n.Run()
	wantArrivals(n, "checksum_partial", "forwarded")
	why := n.Ports()["to-h1"].IngressWhy
	if !strings.Contains(why, "ethtool -K eth0 tx off") {
		t.Errorf("why packets come in by Linux: %q", why)
	}
	if trouble := strings.Join(n.Status().Trouble, "\n"); !strings.Contains(trouble, "packets left to Linux") || !strings.Contains(trouble, why) {
		t.Errorf("trouble: %s", trouble)
	}
	follow := func(value string, partial bool) {
		t.Helper()
		tx(n, value)
		n.Until("weft knows that tx is "+value, func() bool {
			ports := n.Ports()
			return (ports["to-h1"].IngressWhy != "") == partial && (ports["to-h2"].IngressWhy != "") == partial
		})
	}
	follow("off", false)
	wantArrivals(n, "forwarded", "checksum_partial")
	follow("on", true)
	wantArrivals(n, "checksum_partial", "forwarded")
}

// Mode tc keeps the kernel's note of what is left to hardware.
func TestChecksumsLeftToHardwareTC(t *testing.T) {
	n := star.New(t)
	tx(n, "on")
	n.Start("--mode", "tc")
	n.Until("there are three ports", func() bool { return len(n.Ports()) == 3 })
	n.Before = n.Accounts()
	n.Resolve()
	for _, family := range []int{4, 6} {
		to := star.HostAddr(2, family)
		n.WantCounted("to-h1", "checksum_partial", 0, func() {
			n.WantCounted("to-h1", "forwarded", 100, func() { datagrams(n, to, 100) })
			download(n, to)
		})
	}
	if why := n.Ports()["to-h1"].IngressWhy; why != "" {
		t.Errorf("why packets come in by Linux: %q", why)
	}
}
