package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"sync"
	"text/tabwriter"
	"time"

	"weft/test/traffic"

	"golang.org/x/sys/unix"
)

// Reach says whether one host reaches an address of another.
type Reach struct {
	From, To string
	Addr     netip.Addr    // of To
	RTT      time.Duration // of the first answer; 0 if there was none
	Error    string        // why there was none; "" if there was one
}

// Times of a check. The first packets wait for neighbor discovery at each hop.
const (
	checkFor   = 8 * time.Second
	askEvery   = 250 * time.Millisecond
	maxAttempt = 40 // more than checkFor / askEvery
)

// Check sends ICMP echo requests from each host to each address of all others and waits for the answers, 8 s at most.
// The result is in the order of the hosts.
func (l *Lab) Check(caller context.Context) ([]Reach, error) {
	ctx, cancel := context.WithTimeout(caller, checkFor)
	defer cancel()
	hosts := l.Hosts()
	result, failed := make([][]Reach, len(hosts)), make([]error, len(hosts))
	var done sync.WaitGroup
	for i, from := range hosts {
		var reaches []Reach
		for _, to := range hosts {
			for _, a := range l.Addrs(to) {
				if to != from {
					reaches = append(reaches, Reach{From: from, To: to, Addr: a})
				}
			}
		}
		result[i] = reaches
		done.Go(func() {
			failed[i] = l.In(from, func() error { return ask(ctx, reaches) })
		})
	}
	done.Wait()
	err := errors.Join(failed...)
	if errors.Is(caller.Err(), context.Canceled) { // what has not answered might have
		err = errors.Join(err, caller.Err())
	}
	if err != nil {
		return nil, fmt.Errorf("check lab: %w", err)
	}
	var all []Reach
	for _, r := range result {
		all = append(all, r...)
	}
	return all, nil
}

// WriteTable writes a line for each address.
func WriteTable(w io.Writer, reaches []Reach) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "FROM\tTO\tADDRESS\tRTT")
	for _, r := range reaches {
		answer := fmt.Sprintf("%.3f ms", r.RTT.Seconds()*1000)
		if r.Error != "" {
			answer = r.Error
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", r.From, r.To, r.Addr, answer)
	}
	return t.Flush()
}

// asker is a host that asks for echoes.
type asker struct {
	fds  [2]int // IPv4, IPv6
	id   uint16
	sent map[uint16]time.Time // by sequence number
}

// ask fills in what became of each address. It runs in the namespace of the host that asks.
func ask(ctx context.Context, reaches []Reach) error {
	a := asker{id: uint16(rand.Uint32()), sent: map[uint16]time.Time{}}
	for i, p := range [2][2]int{{unix.AF_INET, unix.IPPROTO_ICMP}, {unix.AF_INET6, unix.IPPROTO_ICMPV6}} {
		var err error
		if a.fds[i], err = unix.Socket(p[0], unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, p[1]); err != nil {
			return fmt.Errorf("open ICMP socket: %w", err)
		}
		defer unix.Close(a.fds[i])
	}
	for i := range reaches {
		reaches[i].Error = fmt.Sprintf("no answer in %s", checkFor)
	}
	missing := len(reaches)
	for attempt := 0; missing > 0 && attempt < maxAttempt && ctx.Err() == nil; attempt++ {
		for i := range reaches {
			if reaches[i].Error == "" {
				continue
			}
			if err := a.send(reaches[i].Addr, uint16(i*maxAttempt+attempt)); err != nil {
				reaches[i].Error = err.Error()
			}
		}
		for next := time.Now().Add(askEvery); missing > 0 && time.Now().Before(next) && ctx.Err() == nil; {
			if err := a.wait(20 * time.Millisecond); err != nil {
				return err
			}
			missing -= a.receive(reaches)
		}
	}
	return nil
}

const (
	echoRequest4, echoReply4 = 8, 0
	echoRequest6, echoReply6 = 128, 129
)

func (a *asker) send(to netip.Addr, sequence uint16) error {
	m := make([]byte, 8, 64)
	binary.BigEndian.PutUint16(m[4:], a.id)
	binary.BigEndian.PutUint16(m[6:], sequence)
	m = append(m, "weft lab checks that its hosts reach each other."...)
	a.sent[sequence] = time.Now()
	if to.Is4() {
		m[0] = echoRequest4
		binary.BigEndian.PutUint16(m[2:], traffic.Checksum(m))
		return unix.Sendto(a.fds[0], m, 0, &unix.SockaddrInet4{Addr: to.As4()})
	}
	m[0] = echoRequest6 // the kernel makes the checksum, with its pseudo header
	return unix.Sendto(a.fds[1], m, 0, &unix.SockaddrInet6{Addr: to.As16()})
}

func (a *asker) wait(d time.Duration) error {
	fds := []unix.PollFd{{Fd: int32(a.fds[0]), Events: unix.POLLIN}, {Fd: int32(a.fds[1]), Events: unix.POLLIN}}
	if _, err := unix.Poll(fds, int(d.Milliseconds())); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for ICMP: %w", err)
	}
	return nil
}

// receive takes all answers that are there and returns how many are of addresses that had not answered.
func (a *asker) receive(reaches []Reach) (n int) {
	buf := make([]byte, 2048)
	for i, fd := range a.fds {
		for {
			size, from, err := unix.Recvfrom(fd, buf, 0)
			if err != nil {
				break // EAGAIN: no more; an error that an ICMP message brought is no answer
			}
			m, reply := buf[:size], byte(echoReply6)
			var source netip.Addr
			switch from := from.(type) {
			case *unix.SockaddrInet4:
				source, reply = netip.AddrFrom4(from.Addr), echoReply4
				m = m[min(size, int(buf[0]&15)*4):] // a raw IPv4 socket hands up the header
			case *unix.SockaddrInet6:
				source = netip.AddrFrom16(from.Addr)
			}
			if len(m) < 8 || m[0] != reply || binary.BigEndian.Uint16(m[4:]) != a.id {
				continue
			}
			sequence := binary.BigEndian.Uint16(m[6:])
			at, asked := a.sent[sequence]
			r := int(sequence) / maxAttempt
			if asked && r < len(reaches) && reaches[r].Error != "" && reaches[r].Addr == source && (i == 0) == source.Is4() {
				reaches[r].RTT, reaches[r].Error = time.Since(at), ""
				n++
			}
		}
	}
	return n
}
