package config

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"weft/test/star"
)

// has waits until the kernel has a route of weft's own, or none.
func has(n *star.Network, prefix, want string) {
	n.Helper()
	family := "-4"
	if strings.Contains(prefix, ":") {
		family = "-6"
	}
	n.Until(fmt.Sprintf("kernel: %s %q", prefix, want), func() bool {
		got := n.IP("r1", family+" route show "+prefix+" proto 119")
		return strings.Contains(got, want) && (want != "" || got == "")
	})
}

// Static routes are in the kernel, too: through a kill, a change of the
// configuration and links without carrier, and gone with `weft stop`.
func TestStaticRoutesInKernel(t *testing.T) {
	n := network(t)
	const text = `
routes:
  - {prefix: 10.77.0.0/16, via: 10.2.0.2, dev: to-h2}
  - {prefix: 10.78.0.0/16, nexthops: [{via: 10.2.0.2}, {via: 10.3.0.2}]}
  - {prefix: 10.79.0.0/16, type: unreachable}
  - {prefix: "2001:db8:77::/48", via: "2001:db8:2::2"}
`
	file := write(t, text)
	n.IP("r1", "route add 10.70.0.0/16 via 10.3.0.2 proto static")
	all := func() {
		t.Helper()
		has(n, "10.77.0.0/16", "via 10.2.0.2 dev to-h2 metric 1")
		has(n, "10.78.0.0/16", "nexthop via 10.3.0.2 dev to-h3 weight 1")
		has(n, "10.79.0.0/16", "unreachable 10.79.0.0/16")
		has(n, "2001:db8:77::/48", "nexthop via 2001:db8:2::2 dev to-h2")
		n.Until("verified", func() bool { return n.Weft("verify").Code == 0 })
	}
	n.Run("--config", file)
	n.Resolve()
	all()
	p := n.Path(2)
	for _, dst := range []string{"10.77.1.1", "2001:db8:77::1"} {
		p.Crosses(p.Packet(dst))
	}
	if n.Signal(unix.SIGKILL); n.Ended() == 0 {
		t.Error("it was not killed")
	}
	has(n, "10.77.0.0/16", "via 10.2.0.2")
	before := n.IP("r1", "nexthop show")
	n.Run("--config", file)
	all()
	if after := n.IP("r1", "nexthop show"); after != before {
		t.Errorf("next-hop objects after a restart:\n%s\nbefore:\n%s", after, before)
	}
	p.Crosses(p.Packet("10.77.1.1"))
	// The kernel drops routes and objects of a link without carrier, without a word.
	n.IP("h2", "link set eth0 down")
	has(n, "10.77.0.0/16", "")
	n.IP("h2", "link set eth0 up")
	all()
	// Somebody removes one.
	n.IP("r1", "route del 10.77.0.0/16 proto 119")
	all()
	weft(n, "config", "apply", write(t, strings.Replace(text, "{prefix: 10.77.0.0/16, via: 10.2.0.2, dev: to-h2}", "{prefix: 10.76.0.0/16, via: 10.3.0.2}", 1)))
	has(n, "10.77.0.0/16", "")
	has(n, "10.76.0.0/16", "via 10.3.0.2")
	n.WantReason("10.77.1.1", "ipv4_lpm_miss")
	// It ends and packets are forwarded on: routes stay. Then nobody is there to ask.
	if code := n.Signal(unix.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	has(n, "10.76.0.0/16", "via 10.3.0.2")
	weft(n, "stop")
	for _, family := range []string{"-4", "-6"} {
		if got := n.IP("r1", family+" route show proto 119"); got != "" {
			t.Errorf("left behind: %s", got)
		}
	}
	if got := n.IP("r1", "nexthop show"); got != "" {
		t.Errorf("left behind: %s", got)
	}
	if got := n.IP("r1", "route show 10.70.0.0/16"); !strings.Contains(got, "10.3.0.2") {
		t.Errorf("the route of somebody else: %q", got)
	}
}
