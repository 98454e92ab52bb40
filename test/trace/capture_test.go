package trace

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"
	"golang.org/x/sys/unix"

	"weft/test/proof"
	"weft/test/star"
)

// capturing is a 'weft capture' at work.
type capturing struct {
	*star.Network
	cmd    *exec.Cmd
	stderr bytes.Buffer
	file   string
}

// capture begins one that writes to a file, and waits until it has begun.
func capture(n *star.Network, args ...string) *capturing {
	n.Helper()
	c := &capturing{Network: n, file: filepath.Join(n.TempDir(), "capture.pcapng")}
	c.cmd = exec.Command(star.Weft, append([]string{"-n", n.Lab.Namespace("r1"), "capture", "-w", c.file}, args...)...)
	c.cmd.Stderr = &c.stderr
	if err := c.cmd.Start(); err != nil {
		n.Fatal(err)
	}
	n.Cleanup(func() { _ = c.cmd.Process.Kill() })
	n.Until("the capture has begun", func() bool {
		st, err := os.Stat(c.file)
		return err == nil && st.Size() > 0
	})
	return c
}

// end interrupts the capture and returns what it has told.
func (c *capturing) end() string {
	c.Helper()
	if err := c.cmd.Process.Signal(unix.SIGINT); err != nil {
		c.Fatal(err)
	}
	return c.wait()
}

func (c *capturing) wait() string {
	c.Helper()
	done := make(chan error, 1)
	go func() { done <- c.cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			c.Fatalf("weft capture: %v\n%s", err, c.stderr.String())
		}
	case <-time.After(c.Wait):
		c.Fatal("weft capture does not end")
	}
	return c.stderr.String()
}

// packet is one of a file.
type packet struct {
	frame     []byte
	bytes     int
	dev       string
	comment   string
	direction pcapgo.NgEpbFlag
	at        time.Time
}

func (c *capturing) packets() (all []packet) {
	c.Helper()
	f, err := os.Open(c.file)
	if err != nil {
		c.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewNgReader(bufio.NewReader(f), pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		c.Fatal(err)
	}
	for {
		data, ci, o, err := r.ReadPacketDataWithOptions()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			c.Fatal(err)
		}
		i, err := r.Interface(ci.InterfaceIndex)
		if err != nil {
			c.Fatal(err)
		}
		all = append(all, packet{data, ci.Length, i.Name, strings.Join(o.Comments, "; "), o.Flags.Direction, ci.Timestamp})
	}
}

// A capture has the bytes that were sent, and says of each packet what became of it; tcpdump reads it.
func TestCapture(t *testing.T) {
	each(t, func(n *star.Network, engine string) {
		p := n.Path(2)
		began := time.Now()
		c := capture(n, "-c", "4", "--sent", "both", "udp", "port", "7777")
		good, big, old, bad := p.Packet("10.2.0.2"), p.Packet("2001:db8:2::2"), p.Packet("10.2.0.2"), p.Packet("10.2.0.2").Bytes()
		big.Payload, old.Ttl = 1400, 1
		bad[24] ^= 1
		p.Crosses(good)
		p.Crosses(big)
		p.IsLost(old)
		p.From.Send(bad)
		if told := c.wait(); told != "4 packets captured\n" {
			t.Errorf("it tells: %s", told)
		}
		goodSent, bigSent := good, big
		goodSent.From, goodSent.To, goodSent.Ttl = p.Out, p.End, 63
		bigSent.From, bigSent.To, bigSent.Ttl = p.Out, p.End, 63
		want := []packet{
			{frame: good.Bytes(), dev: "to-h1", comment: "verdict forward, reason forwarded, engine " + engine + ", in by to-h1, out by to-h2, group "},
			{frame: goodSent.Bytes(), dev: "to-h2", direction: pcapgo.NgEpbFlagDirectionOutbound, comment: "verdict forward"},
			{frame: big.Bytes(), dev: "to-h1", comment: "verdict forward"},
			{frame: bigSent.Bytes(), dev: "to-h2", direction: pcapgo.NgEpbFlagDirectionOutbound, comment: "verdict forward"},
			{frame: old.Bytes(), dev: "to-h1", comment: "verdict punt, reason ttl_value_is_too_small, engine " + engine},
			{frame: bad, dev: "to-h1", comment: "verdict drop, reason ipv4_checksum_wrong, engine xdp, in by to-h1"},
		}
		all := c.packets()
		if engine == "soft" { // and the ICMP error
			made := all[len(want)-1]
			if all = slices.Delete(all, len(want)-1, len(want)); made.dev != "to-h1" || !strings.HasPrefix(made.comment, "made for: verdict punt") || made.frame[23] != 1 {
				t.Errorf("the ICMP error: %+v", made)
			}
		}
		for i, w := range want {
			if i >= len(all) {
				t.Fatalf("%d packets, want %d", len(all), len(want))
			}
			if w.direction == 0 {
				w.direction = pcapgo.NgEpbFlagDirectionInbound
			}
			got := all[i]
			if !bytes.Equal(got.frame, w.frame) || got.bytes != len(w.frame) || got.dev != w.dev || !strings.HasPrefix(got.comment, w.comment) || got.direction != w.direction {
				t.Errorf("packet %d:\n%+v, want\n%+v", i, got, w)
			}
			if got.at.Before(began.Add(-time.Second)) || got.at.After(time.Now().Add(time.Second)) {
				t.Errorf("packet %d has time %v, it is %v", i, got.at, time.Now())
			}
		}
		out, err := exec.Command("tcpdump", "-n", "-r", c.file, "ip6").CombinedOutput()
		if err != nil || strings.Count(string(out), "2001:db8:1::2.40000 > 2001:db8:2::2.7777: UDP, length 1400") != 2 {
			t.Errorf("tcpdump: %v\n%s", err, out)
		}
	})
}

// '-w -' can be piped, and --snaplen cuts.
func TestPipe(t *testing.T) {
	n := star.New(t)
	n.Run()
	n.Resolve()
	p := n.Path(2)
	var out bytes.Buffer
	cmd := exec.Command("sh", "-c", fmt.Sprintf("%s -n %s capture -w - -c 1 -s 60 udp port 7777 | tcpdump -n -e -r - 2>&1", star.Weft, n.Lab.Namespace("r1")))
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	n.Until("the capture has its packet", func() bool {
		p.From.Send(p.Packet("10.2.0.2").Bytes())
		select {
		case err := <-done:
			return err == nil
		default:
			return false
		}
	})
	if !strings.Contains(out.String(), "length 74: ") || !strings.Contains(out.String(), "10.1.0.2.40000 > 10.2.0.2.7777") {
		t.Errorf("tcpdump says:\n%s", out.String())
	}
}

// Traces come and go under traffic, and captures that are too much for their reader: no packet is lost.
func TestNothingLost(t *testing.T) {
	each(t, func(n *star.Network, engine string) {
		s := n.BeginStable()
		const rounds = 20 // of programs that come and go
		for range rounds {
			add(n, "udp", "10000")
			s.Pass(20 * time.Millisecond)
			n.Ask(new(map[string]uint32), "trace", "clear")
		}
		c := capture(n)
		s.Pass(time.Second)
		told := c.end()
		sent := s.Finish()
		if got := len(c.packets()); got < 1000 {
			t.Errorf("%d packets are captured: %s", got, told)
		}
		if !t.Failed() {
			proof.Record(t, proof.Result{
				Kind: proof.Fault, Name: "trace, " + engine, What: "traces come and go under traffic, and a capture of all packets", Count: rounds, Packets: sent,
			})
		}
	})
}

// Killed while it traces, a daemon leaves a program that the next one puts the usual one in the place of.
func TestKilled(t *testing.T) {
	n := star.New(t)
	n.Run()
	n.Resolve()
	before := instructions(n)
	s := n.BeginStable()
	add(n, "tcp", "10000")
	if got := instructions(n); got == before {
		t.Errorf("the program that traces has %d instructions, as the usual one", got)
	}
	n.Signal(unix.SIGKILL)
	n.Start()
	if got := instructions(n); got != before {
		t.Errorf("after the takeover the program has %d instructions, before the trace %d", got, before)
	}
	s.Pass(50 * time.Millisecond)
	s.Finish()
	add(n, "udp", "1")
	p := n.Path(2)
	p.Crosses(p.Packet("10.2.0.2"))
	if got := show(n); len(got.Packets) != 1 {
		t.Errorf("the next daemon has traced %+v", got)
	}
	n.Until("the usual program is back", func() bool { return instructions(n) == before })
}

// instructions is how many the program that runs has.
func instructions(n *star.Network) int {
	n.Helper()
	var s struct {
		Program struct{ Instructions int }
	}
	n.Ask(&s, "status")
	return s.Program.Instructions
}
