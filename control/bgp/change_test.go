package bgp

import (
	"strings"
	"testing"
	"time"

	"weft/test/proof"
)

// A change of one neighbor leaves the others' sessions alone; one that fails leaves
// all as it was.
func TestChange(t *testing.T) {
	t.Parallel()
	hub := newNamespace(t)
	h := newRouter(t, hub)
	var leaves []*router
	for _, n := range []string{"1", "2"} {
		leaf := newNamespace(t)
		wire(t, hub, leaf, "to"+n, "hub")
		ip(t, "-n "+hub+" addr add 10.0."+n+".1/24 dev to"+n)
		ip(t, "-n "+leaf+" addr add 10.0."+n+".2/24 dev hub")
		r := newRouter(t, leaf)
		r.apply("  as: 6500" + n + "\n  neighbors: [{address: 10.0." + n + ".1, remote_as: 65100, password: key" + n + "}]\n  networks: [{prefix: 10." + n + ".0.0/16, always: true}]")
		leaves = append(leaves, r)
	}
	const first = "{address: 10.0.1.2, remote_as: 65001, password: key1}"
	section := func(neighbors ...string) string {
		return "  as: 65100\n  neighbors: [" + strings.Join(neighbors, ", ") + "]\n"
	}
	h.apply(section(first))
	h.hasRoutes("10.1.0.0/16 via 10.0.1.2 metric 20")
	since := h.neighbor("10.0.1.2").Since

	h.apply(section(first, "{address: 10.0.2.2, remote_as: 65002, password: wrong}"))
	eventually(t, func() string {
		if n := h.neighbor("10.0.2.2"); n.State == Established {
			t.Error("a session with another password")
		}
		if n := leaves[1].neighbor("10.0.2.1"); n.State == Established {
			t.Error("a session with another password")
		}
		return ""
	})
	h.apply(section(first, "{address: 10.0.2.2, remote_as: 65002, password: key2}"))
	h.hasRoutes("10.1.0.0/16 via 10.0.1.2 metric 20", "10.2.0.0/16 via 10.0.2.2 metric 20")

	h.apply("  as: 65100\n  default_export: reject-route\n" + strings.TrimPrefix(section(strings.Replace(first, "remote_as", "description: x, timers: {hold: 30s}, maximum_prefixes: 100, remote_as", 1), "{address: 10.0.2.2, remote_as: 65002, password: key2}"), "  as: 65100\n"))
	if n := h.neighbor("10.0.1.2"); n.Since != since || n.State != Established || n.Families[0].Maximum != 100 {
		t.Errorf("the session began %v, then %v: %+v", since, n.Since, n)
	}

	t.Log("without its password a neighbor is open to all: the listening socket has forgotten it")
	h.apply(section(first))
	h.hasRoutes("10.1.0.0/16 via 10.0.1.2 metric 20")
	leaves[1].apply("  as: 65002\n  neighbors: [{address: 10.0.2.1, remote_as: 65100, timers: {connect_retry: 2s}}]\n  networks: [{prefix: 10.2.0.0/16, always: true}]")
	h.apply(section(first, "{address: 10.0.2.2, remote_as: 65002, passive: true}"))
	h.hasRoutes("10.1.0.0/16 via 10.0.1.2 metric 20", "10.2.0.0/16 via 10.0.2.2 metric 20")

	t.Log("what is refused")
	for _, m := range []struct{ section, want string }{
		{section(first, "{address: 10.0.2.1, remote_as: 65002}"), "neighbor 10.0.2.1 is this machine"},
		{section(first) + "  listen_addresses: [192.0.2.99]\n", "must be addresses of this machine"},
	} {
		if _, err := h.ask(request{Apply: whole(m.section)}); err == nil || !strings.Contains(err.Error(), m.want) {
			t.Errorf("%s: %v", m.section, err)
		}
	}
	h.established("10.0.1.2", "10.0.2.2")
	h.apply(section(strings.Replace(first, "remote_as", "description: x, timers: {hold: 30s}, maximum_prefixes: 100, remote_as", 1)))
	h.hasRoutes("10.1.0.0/16 via 10.0.1.2 metric 20")
}

// The port of another router is named, and what to do about it.
func TestPortInUse(t *testing.T) {
	t.Parallel()
	netns := newNamespace(t)
	a, b := newRouter(t, netns), newRouter(t, netns)
	const section = "  as: 65001\n  router_id: 10.0.0.1\n"
	a.apply(section)
	if _, err := b.ask(request{Apply: whole(section)}); err == nil || !strings.Contains(err.Error(), "another router listens there: 'ss -tlnp sport = 179' names it") {
		t.Errorf("%v", err)
	}
	b.apply(section + "  listen_port: 1179\n")
}

// A neighbor of our own AS is none of external ones; one that sends too much, or comes from
// too far, has no session.
func TestRefusedNeighbors(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	a.apply("  as: 65001\n  neighbors: [{address: 192.0.2.2, remote_as: internal}, {address: '2001:db8::2', remote_as: 65001}]\n" + networks)
	b.apply("  as: 65001\n  neighbors: [{address: 192.0.2.1, remote_as: external}, {address: '2001:db8::1', remote_as: internal, families: [ipv6-unicast], maximum_prefixes: 2}]")
	eventually(t, func() string {
		if n := b.neighbor("192.0.2.1"); !strings.Contains(n.LastError, "our own AS") || n.State == Established || !n.Refused {
			return n.LastError + " " + string(n.State)
		}
		if n := b.neighbor("2001:db8::1"); !n.OverLimit || !strings.Contains(n.LastError, "maximum_prefixes, 2") {
			return "within its limit: " + n.LastError
		}
		if n := a.neighbor("2001:db8::2"); !strings.Contains(n.LastDown, "maximum number of prefixes reached") {
			return "it is not told why: " + n.LastDown
		}
		return ""
	})
	b.hasRoutes()
	b.must(request{Clear: new("2001:db8::1"), How: Hard})
	eventually(t, func() string {
		if n := b.neighbor("2001:db8::1"); n.Refused {
			return "it is not tried again"
		}
		return ""
	})
	b.apply("  as: 65001\n  neighbors: [{address: 192.0.2.1, remote_as: internal}, {address: '2001:db8::1', remote_as: internal, maximum_prefixes: 3}]")
	b.hasRoutes("2001:db8:1::/48 via 2001:db8::1 metric 200", "2001:db8:2::/48 via 2001:db8::1 metric 200", "2001:db8:3::/48 via 2001:db8::1 metric 200")
}

const networks = "  networks: [{prefix: '2001:db8:1::/48', always: true}, {prefix: '2001:db8:2::/48', always: true}, {prefix: '2001:db8:3::/48', always: true}]\n"

// GTSM: a neighbor that is one hop away may be so.
func TestTTLSecurity(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	a.apply("  as: 65001\n  neighbors: [{address: 192.0.2.2, remote_as: 65002, ttl_security: 1}]\n  networks: [{prefix: 198.18.0.0/15, always: true}]")
	b.apply("  as: 65002\n  neighbors: [{address: 192.0.2.1, remote_as: 65001, ttl_security: 1}]")
	b.hasRoutes("198.18.0.0/15 via 192.0.2.1 metric 20")
}

// A restart of one side: the other keeps what it had, is told that packets have gone
// on, and what does not come again goes when all has been sent.
func TestGracefulRestart(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	const timers = "timers: {hold: 9s, connect_retry: 2s}"
	const restart = "  graceful_restart: {restart_time: 60s, deferral_time: 30s}\n"
	section := func(networks string) string {
		return "  as: 65001\n" + restart + "  neighbors: [{address: 192.0.2.2, remote_as: 65002, " + timers + "}]\n  networks: [" + networks + "]"
	}
	a.apply(section("{prefix: 198.18.0.0/16, always: true}, {prefix: 198.19.0.0/16, always: true}"))
	b.apply("  as: 65002\n" + restart + "  neighbors: [{address: 192.0.2.1, remote_as: 65001, " + timers + "}]\n  networks: [{prefix: 203.0.113.0/24, always: true}]")
	both := []string{"198.18.0.0/16 via 192.0.2.1 metric 20", "198.19.0.0/16 via 192.0.2.1 metric 20"}
	b.hasRoutes(both...)
	a.hasRoutes("203.0.113.0/24 via 192.0.2.2 metric 20")
	a.kill()
	eventually(t, func() string {
		if n := b.neighbor("192.0.2.1"); n.State == Established || !n.Restarting {
			return string(n.State)
		}
		return ""
	})
	b.hasRoutes(both...)
	if got := b.paths(Filter{}); strings.Count(got, "best stale") != 2 {
		t.Errorf("paths:\n%s", got)
	}
	a = start(t, a.netns, "restarted")
	if a.must(request{Synced: true}).Synced {
		t.Error("synchronized before there is a configuration")
	}
	begun := time.Now()
	a.apply(section("{prefix: 198.18.0.0/16, always: true}"))
	a.hasRoutes("203.0.113.0/24 via 192.0.2.2 metric 20")
	eventually(t, func() string {
		if !a.must(request{Synced: true}).Synced {
			return "not synchronized"
		}
		return ""
	})
	if took := time.Since(begun); took > 25*time.Second {
		t.Errorf("synchronized after %v: by the timer", took)
	}
	b.hasRoutes(both[0])
	var bits string
	for _, c := range b.neighbor("192.0.2.1").Capabilities {
		if c.Name == "graceful-restart" && c.Remote {
			bits = c.Text
		}
	}
	if bits != "60 s, restarted, ipv4-unicast" {
		t.Errorf("capability of the restarted: %q", bits)
	}

	proof.Record(t, proof.Result{Kind: proof.Fault, Name: "R2", What: "BGP speaker killed and started again: its neighbor keeps its routes, and drops those that do not come again", Count: 1})

	t.Log("an end that is told of is none that one comes back from")
	a.must(request{Close: true})
	b.hasRoutes()
}

// Another AS takes another life of GoBGP, in which nothing is left of the one before; without
// BGP in the configuration nothing is left at all.
func TestOtherLife(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	section := func(as string) string {
		return "  as: " + as + "\n  neighbors: [{address: 192.0.2.2, remote_as: 65002, timers: {connect_retry: 2s}}]\n  networks: [{prefix: 198.18.0.0/15, always: true}]"
	}
	a.apply(section("65001"))
	b.apply("  as: 65002\n  neighbors: [{address: 192.0.2.1, remote_as: external, timers: {connect_retry: 2s}}]\n  networks: [{prefix: 203.0.113.0/24, always: true}]")
	b.hasRoutes("198.18.0.0/15 via 192.0.2.1 metric 20")
	a.hasRoutes("203.0.113.0/24 via 192.0.2.2 metric 20")
	a.apply(section("65009"))
	if got := a.routes(); got != "" {
		t.Errorf("%s is left of another life", got)
	}
	eventually(t, func() string {
		if got := b.paths(Filter{}); !strings.Contains(got, "198.18.0.0/15 via 192.0.2.1 as [65009] best") {
			return got
		}
		return ""
	})
	a.hasRoutes("203.0.113.0/24 via 192.0.2.2 metric 20")
	a.must(request{Apply: new("version: 1\npreferences: {ebgp: 33}\nbgp:\n" + section("65009"))})
	a.hasRoutes("203.0.113.0/24 via 192.0.2.2 metric 33")
	a.must(request{Apply: new("version: 1")})
	a.hasRoutes()
	b.hasRoutes()
	if _, err := a.ask(request{State: true}); err == nil || !strings.Contains(err.Error(), ErrNoBGP.Error()) {
		t.Errorf("asked for neighbors: %v", err)
	}
}
