package main

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"weft/control/api"
	"weft/dataplane"
)

// TestCompletion asks as a shell does.
func TestCompletion(t *testing.T) {
	for _, c := range []struct {
		args string
		last string
		want []string // among the answers
		not  string
	}{
		{"", "", []string{"status\tTell what runs, and whether all is well", "run\tForward, until interrupted or stopped"}, "man"},
		{"", "ro", []string{"routes\tList the routes that packets follow"}, "status"},
		{"routes", "", []string{"get\tTell where a packet goes, and why", "10.0.0.0/8\tvia 192.0.2.1 dev eth0", "dev\tthat leave by it"}, ""},
		{"r", "", []string{"10.1.0.0/16\tunicast, 2 next hops"}, ""},
		{"routes dev", "", []string{"eth0\tport 02:00:00:00:00:01", "eth0.7\tport 02:00:00:00:00:01"}, "dev"},
		{"routes dev eth0", "", []string{"proto\tof a protocol"}, "dev\tthat leave by it"},
		{"routes type", "bl", []string{"blackhole"}, "eth0"},
		{"r g 10.1.2.3", "", []string{"iif\tport that it comes in by", "explain\ttell every step"}, ""},
		{"routes get 10.1.2.3 iif", "", []string{"veth1\tport 02:00:00:00:00:03"}, "explain"},
		{"drops --reason", "", []string{"ttl_value_is_too_small\tpunt", "blackhole_route\tdrop"}, "forwarded"},
		{"monitor", "", []string{"nexthop\tnext-hop objects"}, ""},
		{"show", "", []string{"ports\tList the ports: how packets come in and leave, and what became of them"}, "doctor"},
		{"show ports", "", []string{"eth0\tport 02:00:00:00:00:01"}, ""},
		{"run --mode", "", []string{"native", "tc"}, ""},
		{"bgp", "", []string{"neighbors\tTell all of BGP's neighbors, or of one", "clear\tEnd a session, so that it begins again; or apply policies again"}, ""},
		{"bgp neighbors", "", []string{"192.0.2.2\tAS 65002, established, transit", "eth1\tAS -, idle"}, ""},
		{"bgp clear", "", []string{"192.0.2.2\tAS 65002, established, transit", "all\tevery neighbor"}, ""},
		{"bgp clear eth0", "", []string{"soft\tkeep the session, apply policies again"}, "eth0"},
		{"bgp clear eth0 soft", "", []string{"in\twhat it sends", "out\twhat it is sent"}, "soft"},
		{"bgp routes", "", []string{"received\twhat a neighbor has sent", "best\tonly what is used"}, ""},
		{"bgp routes received", "", []string{"eth0\tAS 65001, established"}, "received"},
		{"show bgp r advertised", "", []string{"2001:db8::4\tAS 65004, idle"}, ""},
		{"bgp routes --family", "", []string{"ipv4-unicast", "ipv6-unicast"}, ""},
		{"completion", "", []string{"bash", "zsh", "fish"}, ""},
		{"help", "rou", []string{"routes\tList the routes that packets follow"}, ""},
	} {
		args := append([]string{"__complete"}, strings.Fields(c.args)...)
		r := completing(t, serve(t, &fake{}), append(args, c.last)...)
		lines := strings.Split(r.stdout, "\n")
		for _, want := range c.want {
			if !slices.Contains(lines, want) {
				t.Errorf("weft %s %q: %q is not among\n%s%s", c.args, c.last, want, r.stdout, r.stderr)
			}
		}
		for _, line := range lines {
			if name, _, _ := strings.Cut(line, "\t"); c.not != "" && (line == c.not || name == c.not) {
				t.Errorf("weft %s %q: completes %q", c.args, c.last, line)
			}
		}
	}
}

// completing completes, with the socket where the default one is.
func completing(t *testing.T, socket string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	e := testEnv(t, &stdout, &stderr)
	exit := command(context.Background(), e, slices.Insert(slices.Clone(args), 1, "--socket", socket))
	return result{stdout.String(), stderr.String(), exit}
}

// TestCompletionNeverHangs asks a daemon that does not answer.
func TestCompletionNeverHangs(t *testing.T) {
	f := &fake{pause: make(chan struct{})}
	defer close(f.pause)
	start := time.Now()
	r := completing(t, serve(t, f), "__complete", "routes", "")
	if took := time.Since(start); took > completionTime+500*time.Millisecond {
		t.Errorf("took %s", took)
	}
	if !strings.Contains(r.stdout, "dev\tthat leave by it") || r.exit != 0 {
		t.Errorf("exit %d: %s", r.exit, r.stdout)
	}
	if r = completing(t, "/nonexistent.sock", "__complete", "routes", "dev", ""); r.exit != 0 || r.stdout != ":4\n" {
		t.Errorf("without a daemon: exit %d: %s", r.exit, r.stdout)
	}
}

func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if r := weft(t, &fake{}, "completion", shell); r.exit != 0 || !strings.Contains(r.stdout, "__complete") {
			t.Errorf("%s: exit %d, %d bytes", shell, r.exit, len(r.stdout))
		}
	}
}

// TestStops holds that explain knows where each reason ends a packet, and that
// the packet was not past it.
func TestStops(t *testing.T) {
	steps := []string{stepParse, stepChecks, stepLPM, stepGroup, stepTTL, stepHash, stepNeighbor, stepMTU, stepRewrite, stepRedirect, stepForwarded}
	for r := range dataplane.Reasons() {
		at := stopsAt(&api.LookupReply{Reason: r.String()})
		if !slices.Contains(steps, at) {
			t.Errorf("%s: ends at %q, which is no step", r, at)
		}
		if (at == stepForwarded) != (r == dataplane.Forwarded) {
			t.Errorf("%s: ends at %q", r, at)
		}
		reply := &api.LookupReply{Verdict: r.Verdict().String(), Reason: r.String(), Packet: fromHex(frameIn), Result: fromHex(frameIn)}
		text := explanation(&query{}, reply)
		if r != dataplane.Forwarded && strings.Count(text, " -> "+r.Verdict().String()+": "+r.String()+"\n") != 1 {
			t.Errorf("%s: not where the packet ends:\n%s", r, text)
		}
	}
	if at := stopsAt(&api.LookupReply{Reason: "multicast", Group: 2}); at != stepGroup {
		t.Errorf("a group that punts multicast ends it at %q", at)
	}
	if at := stopsAt(&api.LookupReply{Reason: "of_a_newer_daemon"}); at != stepChecks {
		t.Errorf("an unknown reason ends it at %q", at)
	}
}

// TestDecode reads frames that are whole, and all that are cut short.
func TestDecode(t *testing.T) {
	h := decode(fromHex(frameOut))
	if h.link() != "02:00:00:00:00:01 -> 02:00:00:00:01:01 vlan 7 type 0x0800" {
		t.Error(h.link())
	}
	if h.ip() != "ipv4 udp 192.0.2.9:49152 -> 10.1.2.3:33434 ttl 63 len 28 checksum ok" {
		t.Error(h.ip())
	}
	v6 := fromHex("020000000001020000000009" + "8100006488a80007" + "86dd" +
		"600000000008063f" + "20010db8000000000000000000000001" + "20010db8000000000000000000000002" + "005001bb")
	if got := decode(v6).link() + decode(v6).ip(); got != "02:00:00:00:00:09 -> 02:00:00:00:00:01 vlan 100 vlan 7 type 0x86dd"+
		"ipv6 tcp [2001:db8::1]:80 -> [2001:db8::2]:443 ttl 63 len 48" {
		t.Error(got)
	}
	broken := fromHex(frameIn)
	broken[24] ^= 1
	if got := decode(broken).ip(); !strings.HasSuffix(got, "checksum wrong") {
		t.Error(got)
	}
	for _, frame := range [][]byte{v6, fromHex(frameIn), fromHex(frameOut)} {
		for n := range frame {
			h := decode(frame[:n])
			if h.end > n || h.ip() == "" || h.link() == "" {
				t.Errorf("%d bytes: ends at %d: %s", n, h.end, h.ip())
			}
		}
	}
	long := fromHex(frameIn)
	long[14] = 0x4f // a header longer than the frame
	if h := decode(long); h.end > len(long) {
		t.Errorf("header of %d bytes in a frame of %d", h.end, len(long))
	}
}

func TestShort(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0 s": 0, "999 us": 999 * time.Microsecond, "412 ms": 412 * time.Millisecond, "59 s": 59 * time.Second, "3 min 0 s": 3 * time.Minute,
		"2 h 5 min": 125 * time.Minute, "10 d 1 h": 241 * time.Hour,
	} {
		if got := short(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

// TestCounterReset reads a port that was removed and made again.
func TestCounterReset(t *testing.T) {
	if got := perSecond(10, 100, time.Second); got != 10 {
		t.Errorf("a counter that began again: %g a second", got)
	}
	if got := perSecond(10, 0, 0); got != 0 {
		t.Errorf("no time: %g a second", got)
	}
}

func TestPipe(t *testing.T) {
	if _, err := (pipe{failing{}}).Write(nil); err != errReaderGone { //nolint:errorlint // identity
		t.Error(err)
	}
	if exit := reportTo(errReaderGone); exit != 0 {
		t.Errorf("exit %d", exit)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, unix.EPIPE }

func reportTo(err error) int {
	var b bytes.Buffer
	return report(&b, err, false)
}

func TestTakesNext(t *testing.T) {
	var out bytes.Buffer
	root := newRoot(testEnv(t, &out, &out))
	drops, _, err := root.Find([]string{"drops"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		cmd  *cobra.Command
		arg  string
		want bool
	}{
		{root, "-n", true}, {root, "-jn", true}, {root, "-nblue", false}, {root, "-j", false}, {root, "--netns", true}, {root, "--netns=blue", false},
		{root, "-é", false}, {root, "--json", false}, {root, "--nope", false}, {drops, "-i", true}, {drops, "-f", false}, {drops, "-fi", true}, {drops, "-i5", false},
		{drops, "--reason", true}, {drops, "-n", true},
	} {
		if got := takesNext(c.cmd, c.arg); got != c.want {
			t.Errorf("%s %s: takes the next word: %v, want %v", c.cmd.Name(), c.arg, got, c.want)
		}
	}
}
