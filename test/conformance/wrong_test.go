package conformance

import (
	"strings"
	"testing"

	"weft/dataplane"
)

// TestWrongCases holds that a case which says what is not so is found out.
func TestWrongCases(t *testing.T) {
	n := openNetwork(t)
	ip := packet{src: source(1, false), dst: eastern4}.bytes()
	right := Case{Name: "right", Frame: portNamed(west).in(ip), Reason: dataplane.Forwarded, Sent: []Sent{forwarded(east, ip)}}
	if err := n.Try(t.Context(), &right); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		edit       func(*Case)
	}{
		{"another reason", `port "west" counted 4 packets, 296 bytes for forwarded, want 0 and 0`, func(c *Case) { c.Reason = dataplane.Glean }},
		{"another port", `port "wide" counted 0 packets, 0 bytes for forwarded, want 4 and 296`, func(c *Case) {
			c.Port = wide
			c.Frame = portNamed(west).in(ip) // to the MAC of west: not wide's
		}},
		{"nothing comes out", "came out of east that should not", func(c *Case) { c.Sent = nil }},
		{"it comes out elsewhere", "came out of wide 0 times, want 4", func(c *Case) { c.Sent = []Sent{forwarded(wide, ip)} }},
		{"the TTL stays", "bytes differ", func(c *Case) { c.Sent = []Sent{comes(east, portNamed(east).out(ip))} }},
		{"an answer", "ICMP error type 11 code 0 came out of west 0 times", func(c *Case) {
			c.Sent = []Sent{icmpError{kind: timeExceeded4, about: ip}.sent()}
		}},
	} {
		wrong := right
		c.edit(&wrong)
		if err := n.Try(t.Context(), &wrong); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if err := n.Try(t.Context(), &right); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestWrongAnswers changes one thing after another of an ICMP error that is right.
func TestWrongAnswers(t *testing.T) {
	for _, src := range []string{source(1, false), source(1, true)} {
		dst, own, header := eastern4, own4, ip4Len
		e := icmpError{kind: timeExceeded4}
		if strings.Contains(src, ":") {
			dst, own, header, e = eastern6, own6, ip6Len, icmpError{kind: timeExceeded6}
		}
		e.about = packet{src: src, dst: dst, ttl: 1}.bytes()
		is := e.sent().Is
		body := append(make([]byte, 4), e.about...)
		p := packet{src: own, dst: src, tos: 0xc0 | e.about[1]&0x1e, protocol: 1, payload: icmp4(timeExceeded4, 0, body...)}
		if header == ip6Len {
			p.protocol, p.payload = 58, icmp6(own, src, timeExceeded6, 0, body...)
		}
		frame := portNamed(west).out(p.bytes())
		if err := is(frame); err != nil {
			t.Errorf("%s: a right answer: %v", src, err)
		}
		for name, at := range map[string]int{
			"MAC": 5, "EtherType": 13, "version": ethLen, "source": ethLen + header - len(p.dst), "type": ethLen + header,
			"code": ethLen + header + 1, "rest": ethLen + header + 7, "quote": len(frame) - 1,
		} {
			if err := is(with(frame, at, frame[at]^0x11)); err == nil {
				t.Errorf("%s: an answer with another %s is right", src, name)
			}
		}
		if err := is(frame[:len(frame)-1]); err == nil {
			t.Errorf("%s: an answer that quotes less is right", src)
		}
	}
}

func TestFind(t *testing.T) {
	all := Cases()
	c := Clause{cases: []string{"ipv4/ttl *", "eth/two VLANs"}}
	if found, err := c.find(all); err != nil || len(found) < 8 {
		t.Errorf("%d cases, %v", len(found), err)
	}
	for _, like := range []string{"ipv4/no such case", "[", "plain"} {
		c.cases[1] = like
		if _, err := c.find(all); err == nil {
			t.Errorf("%q is like a case", like)
		}
	}
}
