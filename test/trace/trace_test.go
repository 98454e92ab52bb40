package trace

import (
	"encoding/hex"
	"strings"
	"testing"

	"weft/test/star"
)

// engines are those of all ports.
var engines = []string{"xdp", "soft"}

// each runs a test with each engine, in a network of its own, whose neighbors are known.
func each(t *testing.T, test func(n *star.Network, engine string)) {
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			n := star.New(t)
			n.Trickle = engine == "soft"
			n.Run("--engine", engine)
			n.Resolve()
			test(n, engine)
		})
	}
}

// traces is what 'weft trace show' prints.
type traces struct {
	Traces []struct {
		Trace         uint32
		Packets, Lost uint64
		Active        bool
	}
	Packets []traced
}

type traced struct {
	Engine, Dev, Verdict, Reason, Egress, Prefix, Frame, Sent string
	Bytes                                                     int
	Group, Adjacency                                          uint32
	Fates                                                     []string
	Made                                                      []struct{ Dev, Frame string }
	Explained                                                 []struct{ Step, Text string }
}

// show waits until all traces have ended, and returns what they have.
func show(n *star.Network) (got traces) {
	n.Helper()
	n.Until("the traces have their packets", func() bool {
		n.Ask(&got, "trace", "show")
		for _, t := range got.Traces {
			if t.Active {
				return false
			}
		}
		return true
	})
	return got
}

// add begins a trace.
func add(n *star.Network, args ...string) {
	n.Helper()
	n.Ask(new(map[string]uint32), append([]string{"trace", "add"}, args...)...)
}

// A trace tells of each packet what came, what became of it, and what left.
func TestTrace(t *testing.T) {
	each(t, func(n *star.Network, engine string) {
		add(n, "udp port 7777", "6")
		p := n.Path(2)
		good, six, old := p.Packet("10.2.0.2"), p.Packet("2001:db8:2::2"), p.Packet("10.2.0.2")
		old.Ttl = 1
		p.Crosses(good)
		p.Crosses(six)
		p.IsLost(old)
		bad := good.Bytes()
		bad[24] ^= 1 // of the checksum
		p.From.Send(bad)
		nowhere, stranger := p.Packet("203.0.113.9"), good
		stranger.To[5] ^= 1
		p.IsLost(nowhere)
		p.IsLost(stranger)
		p.Crosses(good) // one too many
		got := show(n)
		for i, want := range []struct {
			frame          []byte
			reason, prefix string
			step           string // it ends at
		}{
			{good.Bytes(), "forwarded", "10.2.0.2/32", "redirect"}, {six.Bytes(), "forwarded", "2001:db8:2::2/128", "redirect"},
			{old.Bytes(), "ttl_value_is_too_small", "10.2.0.2/32", "ttl"}, {bad, "ipv4_checksum_wrong", "10.2.0.2/32", "parse"},
			{nowhere.Bytes(), "ipv4_lpm_miss", "", "lpm"}, {stranger.Bytes(), "not_our_mac", "10.2.0.2/32", "parse"},
		} {
			if i >= len(got.Packets) {
				t.Fatalf("%d packets are traced, want 6", len(got.Packets))
			}
			one := got.Packets[i]
			last := one.Explained[len(one.Explained)-1]
			if one.Frame != hex.EncodeToString(want.frame) || one.Bytes != len(want.frame) || one.Dev != "to-h1" {
				t.Errorf("packet %d is %s by %s, want %x", i, one.Frame, one.Dev, want.frame)
			}
			if one.Reason != want.reason || one.Prefix != want.prefix || last.Step != want.step {
				t.Errorf("packet %d: %s by prefix %s, ends at %s: want %+v", i, one.Reason, one.Prefix, last.Step, want)
			}
		}
		if len(got.Packets) != 6 || got.Traces[0].Lost != 0 {
			t.Errorf("%d packets are traced, %d lost", len(got.Packets), got.Traces[0].Lost)
		}
		sent := good
		sent.From, sent.To, sent.Ttl = p.Out, p.End, 63
		if one := got.Packets[0]; one.Sent != hex.EncodeToString(sent.Bytes()) || one.Egress != "to-h2" || one.Adjacency == 0 || one.Group == 0 {
			t.Errorf("sent %s by %s, want %x", one.Sent, one.Egress, sent.Bytes())
		}
		wantEngines(t, engine, got.Packets)
		wantText(n, engine)
		n.Ask(new(map[string]uint32), "trace", "clear")
		if n.Ask(&got, "trace"); len(got.Traces)+len(got.Packets) != 0 {
			t.Errorf("after clear there are %d traces and %d packets", len(got.Traces), len(got.Packets))
		}
	})
}

// wantEngines asserts who has decided: the program in front of the loop what it leaves to Linux, or drops.
func wantEngines(t *testing.T, engine string, packets []traced) {
	t.Helper()
	for i, p := range packets {
		want := engine
		if i == 3 || i == 5 {
			want = "xdp"
		}
		if p.Engine != want {
			t.Errorf("packet %d is engine %s's, want %s", i, p.Engine, want)
		}
	}
	if engine != "soft" {
		return
	}
	if old := packets[2]; strings.Join(old.Fates, " ") != "answered" || len(old.Made) != 1 || old.Made[0].Dev != "to-h1" || old.Made[0].Frame[46:48] != "01" {
		t.Errorf("the packet with TTL 1: %v, %v: want an ICMP error", old.Fates, old.Made)
	}
}

// wantText asserts that people are told in the words of explain.
func wantText(n *star.Network, engine string) {
	n.Helper()
	text := n.Weft("trace", "show").Stdout
	for _, want := range []string{
		"trace 1: 6 of 6 packets, done: udp port 7777\n", "packet 1  ", "  1  parse     ipv4 udp 10.1.0.2:40000 -> 10.2.0.2:7777 ttl 64 len 60 checksum ok",
		"  3  lpm       10.2.0.2/32 (", "  10 redirect  to-h2\n", "  verdict: forward (forwarded) by to-h2\n", "ttl       1 -> punt: ttl_value_is_too_small\n",
		"-> drop: ipv4_checksum_wrong\n",
	} {
		if !strings.Contains(text, want) {
			n.Errorf("trace show does not say %q:\n%s", want, text)
		}
	}
	if engine == "soft" && !strings.Contains(text, " finish\n             answered\n transmit\n             to-h1: ipv4 icmp 10.1.0.1 -> 10.1.0.2 ttl 64") {
		n.Errorf("trace show does not tell of the ICMP error:\n%s", text)
	}
}

// Options choose by reason, verdict, port and engine; several traces go on at once.
func TestSelect(t *testing.T) {
	each(t, func(n *star.Network, engine string) {
		other := map[string]string{"xdp": "soft", "soft": "xdp"}[engine]
		add(n, "udp port 7777", "1", "--reason", "ttl_value_is_too_small")
		add(n, "udp port 7777", "1", "--verdict", "drop")
		add(n, "udp port 7777", "1", "--dev", "to-h1", "--engine", engine)
		add(n, "udp port 7777", "1", "--dev", "to-h2", "--duration", "2s")
		add(n, "udp port 7777", "1", "--verdict", "forward", "--engine", other, "--duration", "2s")
		p := n.Path(2)
		d := p.Packet("10.2.0.2")
		p.Crosses(d)
		d.Ttl = 1
		p.IsLost(d)
		bad := p.Packet("10.2.0.2").Bytes()
		bad[24] ^= 1
		p.From.Send(bad)
		var have []string
		for _, one := range show(n).Packets {
			have = append(have, one.Reason)
		}
		if got := strings.Join(have, " "); got != "forwarded ttl_value_is_too_small ipv4_checksum_wrong" {
			t.Errorf("traced: %s", got)
		}
	})
}

// The loop tells of packets that it holds, and divides.
func TestHeldAndDivided(t *testing.T) {
	n := star.New(t)
	n.Run("--engine", "soft")
	n.Resolve()
	n.IP("r1", "neigh del 10.2.0.2 dev to-h2")
	add(n, "udp port 7777", "2")
	p := n.Path(2)
	d := p.Packet("10.2.0.2")
	p.Arrives(d)
	got := show(n)
	if len(got.Packets) != 2 || strings.Join(got.Packets[0].Fates, " ") != "held" || got.Packets[1].Reason != "forwarded" {
		t.Errorf("a packet whose neighbor is not known: %+v", got.Packets)
	}
	n.IP("r1", "link set to-h2 mtu 1280")
	n.Until("weft knows the MTU", func() bool {
		return strings.Contains(n.Weft("routes", "get", "10.2.0.2", "explain").Stdout, "mtu       1280")
	})
	add(n, "udp port 7777", "1", "-s", "2000")
	d.Payload, d.Fragmented = 1400, true
	p.From.Send(d.Bytes())
	got = show(n)
	if last := got.Packets[len(got.Packets)-1]; strings.Join(last.Fates, " ") != "divided" || len(last.Made) != 2 || len(last.Made[0].Frame)/2 != 14+1276 {
		t.Errorf("a packet that is too big: %+v", last)
	}
}

// What is wrong is said before anything changes, with what to do.
func TestRefused(t *testing.T) {
	n := star.New(t)
	n.Run()
	for _, c := range []struct{ args, want string }{
		{"trace add udp prot 53 5", `weft: filter "udp prot 53", at byte 4: unexpected "prot"`},
		{"trace add udp", "weft: udp: not a number of packets: it comes last"},
		{"trace add 5 --dev eth7", "weft: interface eth7: not a port: 'weft ports' lists them"},
		{"trace add 20000", "weft: trace of 20000 packets: want 1 to 10000"},
		{"trace add 5 --reason ttl", "weft: --reason ttl: no such reason"},
		{"capture -w - --engine dpdk", `weft: engine "dpdk": want xdp or soft`},
	} {
		if o := n.Weft(strings.Fields(c.args)...); o.Code == 0 || !strings.HasPrefix(o.Stderr, c.want) {
			t.Errorf("weft %s: exit code %d, %s", c.args, o.Code, o.Stderr)
		}
	}
	for range 8 {
		add(n, "vlan 77 and udp", "5")
	}
	if o := n.Weft("trace", "add", "vlan", "77", "5"); o.Code == 0 || !strings.Contains(o.Stderr, "there are 8 traces and captures already, the most: 'weft trace clear' ends traces") {
		t.Errorf("a ninth trace: exit code %d, %s", o.Code, o.Stderr)
	}
	n.Ask(new(map[string]uint32), "trace", "clear")
	add(n, "5", "--duration", "1ms")
	if got := show(n); len(got.Traces) != 1 || got.Traces[0].Packets > 5 {
		t.Errorf("a trace whose time is over: %+v", got)
	}
}
