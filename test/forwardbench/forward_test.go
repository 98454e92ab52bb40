package main

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/cilium/ebpf/rlimit"

	"weft/test/root"
	"weft/test/traffic"
)

// What each engine forwards is complete, and each packet's TTL, MAC and bytes are right.
func TestEnginesForward(t *testing.T) {
	root.Require(t)
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // not unlocked: the thread ends with the test
	r, err := newRouter(t.Context(), oneTable(), traffic.SinkOptions{Check: true, TTL: 63, MAC: hopMAC(1)})
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	const n, size = 5000, 80
	for _, family := range []string{"ipv4", "ipv6"} {
		for _, name := range engineNames {
			what := fmt.Sprintf("%s %s", name, family)
			g, err := r.newGenerator(family, oneDestinations(family, 1024), size)
			if err != nil {
				t.Fatal(err)
			}
			counts, err := r.forward(name, g, 0, n)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			counts.Rate = 0
			if want := (traffic.Counts{Packets: n, Bytes: n * size, IPv6: counts.IPv6, Marked: n, Next: n}); counts != want {
				t.Errorf("%s: sink has %+v, want %+v", what, counts, want)
			}
			if missing, err := r.drain.Missing(0, n); err != nil || len(missing) > 0 {
				t.Errorf("%s: %d packets are missing: %v", what, len(missing), err)
			}
			last, err := r.drain.Last()
			if err != nil {
				t.Fatal(err)
			}
			if want := forwarded(g.Frame(n-1), family); string(last) != string(want) {
				t.Errorf("%s: last frame is\n%x, want\n%x", what, last, want)
			}
			g.Close()
		}
	}
}

// forwarded is what must become of a frame.
func forwarded(b []byte, family string) []byte {
	to := hopMAC(1)
	copy(b, to[:])
	copy(b[6:], outMAC[:])
	ip := b[14:]
	if family == "ipv6" {
		ip[7]--
		return b
	}
	ip[8]--
	ip[10], ip[11] = 0, 0
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(ip[i])<<8 | uint32(ip[i+1])
	}
	sum = sum&0xffff + sum>>16
	sum = ^(sum&0xffff + sum>>16)
	ip[10], ip[11] = byte(sum>>8), byte(sum)
	return b
}

// An engine that leaves packets to Linux must not get Linux's figure.
func TestUnforwardedIsNoticed(t *testing.T) {
	root.Require(t)
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	r, err := newRouter(t.Context(), oneTable(), traffic.SinkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	dst := oneDestinations("ipv4", 2)
	dst[1] = sources["ipv6"].Next() // of another family: refused
	if _, err := r.newGenerator("ipv4", dst, frameSize); err == nil {
		t.Error("a generator took destinations of two families")
	}
	dst[1] = gatewaysIPv4.Next() // attached, not in the tries
	for _, name := range []string{"lpm_trie", "weft_xdp"} {
		dst := dst
		if name == "weft_xdp" {
			dst[1] = sources["ipv4"].Prev() // the router itself
		}
		g, err := r.newGenerator("ipv4", dst, frameSize)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.forward(name, g, 0, 10); err == nil {
			t.Errorf("%s: 5 of 10 packets were not to be forwarded, and nothing was said", name)
		}
		g.Close()
	}
}
