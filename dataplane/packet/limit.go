package packet

import (
	"time"

	"weft/fib"
)

// Limits are how many ICMP errors there may be: RFC 1812 4.3.2.8, RFC 4443 2.4 (f). They
// are those of Linux, under Linux's names. The zero value limits nothing.
type Limits struct {
	PerSecond, Burst int           // net.ipv4.icmp_msgs_per_sec, icmp_msgs_burst: of both families, to all hosts
	Interval4        time.Duration // net.ipv4.icmp_ratelimit: between errors to one host; 0: no limit
	Mask4            uint64        // net.ipv4.icmp_ratemask: bits of the types that are limited
	Interval6        time.Duration // net.ipv6.icmp.ratelimit
	Mask6            [4]uint64     // net.ipv6.icmp.ratemask
	ErrorCost        time.Duration // net.ipv4.route.error_cost: of an IPv4 error about a route, beside Interval4; 0: none
	ErrorBurst       time.Duration // net.ipv4.route.error_burst
}

// DefaultLimits are those that Linux 6.18 begins with.
var DefaultLimits = Limits{
	PerSecond: 1000, Burst: 50,
	Interval4: time.Second, Mask4: 1<<Unreachable4 | 1<<4 | 1<<TimeExceeded4 | 1<<12,
	Interval6: 100 * time.Millisecond, Mask6: [4]uint64{(1<<64 - 1) &^ (1 << TooBig6), 1<<64 - 1},
	ErrorCost: time.Second, ErrorBurst: 5 * time.Second,
}

const (
	peerSets    = 1024
	peerWays    = 4
	burstFactor = 6                 // XRLIM_BURST_FACTOR
	globalLeast = time.Second / 50  // that credit is given for
	longAgo     = -60 * time.Second // when a peer that is not known was answered last
)

// Limiter counts the errors of one goroutine. It knows so many hosts that were answered
// last; others have their burst again, as in Linux, which forgets, too.
type Limiter struct {
	limits Limits
	credit int // of all hosts
	stamp  time.Duration
	random uint32
	peers  [peerSets][peerWays]peer
}

// peer is a token bucket: time that it has not been answered for.
type peer struct {
	addr   fib.Addr6 // IPv4: mapped
	tokens time.Duration
	last   time.Duration
}

// NewLimiter returns one that has answered nobody.
func NewLimiter(l Limits) *Limiter {
	m := &Limiter{limits: l, credit: l.Burst, random: 1}
	for i := range m.peers {
		for j := range m.peers[i] {
			m.peers[i][j].last = longAgo
		}
	}
	return m
}

// Allow4 tells whether an error may be sent to a host now, and counts it. now only grows;
// route is for errors about routes: none, unreachable, prohibited.
func (m *Limiter) Allow4(now time.Duration, to uint32, e Error, route bool) bool {
	l := &m.limits
	p := m.peer(fib.Addr6{Lo: 0xffff<<32 | uint64(to)})
	// ip_error of net/ipv4/route.c.
	if route && l.ErrorCost > 0 && !p.take(now, l.ErrorCost, l.ErrorBurst) {
		return false
	}
	pathMTU := e.Type == Unreachable4 && e.Code == FragNeeded // what would break if it was limited
	if pathMTU || e.Type >= 64 || l.Mask4>>e.Type&1 == 0 {
		return true
	}
	return m.allow(now, p, l.Interval4)
}

// Allow6 is Allow4 for ICMPv6, which knows no costs of routes.
func (m *Limiter) Allow6(now time.Duration, to fib.Addr6, e Error) bool {
	if e.Type >= leastInformational || e.Type == TooBig6 || m.limits.Mask6[e.Type/64]>>(e.Type%64)&1 == 0 {
		return true
	}
	return m.allow(now, m.peer(to), m.limits.Interval6)
}

// allow asks for all hosts, then for one: icmp_global_allow of net/ipv4/icmp.c.
func (m *Limiter) allow(now time.Duration, p *peer, interval time.Duration) bool {
	if m.credit <= 0 && !m.earn(now) {
		return false
	}
	if interval > 0 && !p.take(now, interval, burstFactor*interval) {
		return false
	}
	// As Linux: 1 on average, so that nobody can count what others are sent (CVE-2020-25705).
	m.random = m.random*1664525 + 1013904223
	m.credit -= int(uint64(m.random) * 3 >> 32)
	return true
}

func (m *Limiter) earn(now time.Duration) bool {
	passed := min(now-m.stamp, time.Second)
	earned := m.limits.PerSecond * int(passed/time.Microsecond) / 1_000_000
	if passed < globalLeast || earned == 0 {
		return false
	}
	m.stamp = now
	m.credit = min(m.credit+earned, m.limits.Burst)
	return true
}

// take is inet_peer_xrlim_allow of net/ipv4/inetpeer.c.
func (p *peer) take(now, cost, most time.Duration) bool {
	p.tokens = min(p.tokens+now-p.last, most)
	p.last = now
	if p.tokens < cost {
		return false
	}
	p.tokens -= cost
	return true
}

// peer finds a host, or forgets the one answered longest ago.
func (m *Limiter) peer(a fib.Addr6) *peer {
	set := &m.peers[(a.Hi^a.Hi>>29^a.Lo^a.Lo>>17)*0x9e3779b97f4a7c15>>54%peerSets]
	oldest := &set[0]
	for i := range set {
		p := &set[i]
		if p.addr == a {
			return p
		}
		if p.last < oldest.last {
			oldest = p
		}
	}
	*oldest = peer{addr: a, last: longAgo}
	return oldest
}
