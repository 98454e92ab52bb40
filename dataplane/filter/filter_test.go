package filter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// filters are what is compared with tcpdump.
var filters = []string{
	"", "ip", "ip6", "arp", "rarp", "tcp", "udp", "sctp", "icmp", "icmp6", "igmp", "esp", "ah", "pim", "vrrp",
	"host 10.0.0.1", "src host 10.0.0.1", "dst 10.0.0.1", "src or dst host 10.0.0.1", "src and dst host 10.0.0.1", "ip host 10.0.0.2",
	"arp host 10.0.0.1", "ip6 host 2001:db8::1", "host 2001:db8::1", "src 2001:db8::2", "not host 10.0.0.1",
	"net 10.0.0.0/30", "net 10", "src net 10.0", "dst net 10.0.0.0 mask 255.255.255.252", "net 0.0.0.0/0", "ip6 net 2001:db8::/32", "net 2001:db8::/126", "net ::/0",
	"port 53", "udp port 53", "tcp port 80", "src port 53", "dst port 80", "src and dst port 80", "tcp src port 80", "port domain", "tcp port http",
	"portrange 50-90", "udp portrange 1-100", "dst portrange 80-443", "sctp port 80",
	"port 80 or 443", "port (80 or 53)", "tcp port (80 or 443) and not host 10.0.0.2", "not port 80 and 53", "host 10.0.0.1 or 10.0.0.2 and udp",
	"udp or tcp and host 10.0.0.1", "tcp and (port 80 or port 443)", "not (tcp or udp)", "!tcp && !udp || icmp",
	"ip proto 17", "ip proto \\tcp", "ip6 proto 6", "proto 1", "ip6 proto 58", "ether proto 0x800", "ether proto \\ip6", "ether proto 0x806",
	"ether host 02:00:00:00:00:01", "ether src 02:00:00:00:00:02", "ether dst host 02:00:00:00:00:01", "ether broadcast", "ether multicast",
	"broadcast", "multicast", "ip multicast", "ip6 multicast",
	"less 80", "greater 100", "len > 100", "len - 14 >= 60", "len <= 90 and udp",
	"vlan", "vlan 5", "vlan 5 and ip", "vlan and udp port 53", "vlan and vlan", "vlan 5 and vlan 6 and ip", "not vlan", "vlan or ip", "ip or vlan 5",
	"tcp[13] & 2 != 0", "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0", "tcp[tcpflags] == tcp-syn", "icmp[icmptype] = icmp-echo", "icmp[icmptype] != icmp-echoreply",
	"icmp6[icmp6type] = icmp6-echo", "ip[0] & 0xf != 5", "ip[6:2] & 0x1fff != 0", "ip[8] < 5", "ip6[7] > 60", "udp[0:2] = 53", "udp[4:2] > 20",
	"ether[0] & 1 = 1", "ether[12:2] = 0x0800", "ip[2:2] > 100 and ip[8] = 64", "ip[ip[0] & 15] > 3", "tcp[(tcp[12] >> 4) * 4] = 65",
	"ip[2:2] - ((ip[0] & 0xf) << 2) > 40", "ip[9] * 2 + 1 = 35", "ip[9] / 2 = 8", "ip[9] % 4 = 1", "ip[9] ^ 0x11 = 0", "(-ip[8]) < 5", "(ip[8] + ip[9]) > 70",
	"1 = 1", "ip[8] = ip[9]", "ip[8] << ip[9] != 0", "arp[6:2] = 1", "ip[2:2] / ip[1] > 3", "ip[100] = 7 or udp", "udp or ip[100] = 7",
	"src host 10.0.0.1 and (dst port 53 or dst port 80) and not vlan and less 1000",
}

// pcap writes packets to a file, the number of each as its time.
func pcap(t testing.TB, packets [][]byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "packets.pcap")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := pcapgo.NewWriterNanos(f)
	err = w.WriteFileHeader(65535, layers.LinkTypeEthernet)
	for i, p := range packets {
		err = errors.Join(err, w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(int64(i), 0), CaptureLength: len(p), Length: len(p)}, p))
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// tcpdump returns which packets of a file it lets through.
func tcpdump(t testing.TB, file string, args ...string) map[int]bool {
	t.Helper()
	cmd := exec.Command("tcpdump", append([]string{"-r", file, "-w", "-"}, args...)...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("tcpdump %q: %v\n%s", args, err, stderr.String())
	}
	all := map[int]bool{}
	r, err := pcapgo.NewReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	for {
		_, ci, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all[int(ci.Timestamp.Unix())] = true
	}
}

func TestTcpdump(t *testing.T) {
	if _, err := exec.LookPath("tcpdump"); err != nil {
		t.Skip("tcpdump is not installed: 'make deps' installs it")
	}
	packets := random(1000)
	file := pcap(t, packets)
	for _, text := range filters {
		f, err := Parse(text)
		if err != nil {
			t.Error(err)
			continue
		}
		want, asWritten := tcpdump(t, file, text), map[int]bool(nil)
		wrong := 0
		for i, p := range packets {
			got := f.Match(p)
			if got != want[i] && asWritten == nil { // libpcap's optimizer leaves loads out that are beyond the end
				asWritten = tcpdump(t, file, "-O", text)
			}
			if got != want[i] && got != asWritten[i] {
				if wrong++; wrong == 1 {
					t.Errorf("%q, packet %d: %v, tcpdump says %v: % x", text, i, got, want[i], p)
				}
			}
		}
		if wrong > 1 {
			t.Errorf("%q: %d packets in all", text, wrong)
		}
		if len(want) == 0 {
			t.Logf("%q: no packet passes", text)
		}
	}
}

// random makes packets of all kinds that the filters tell apart.
func random(n int) (all [][]byte) {
	r := rand.New(rand.NewPCG(6, 6))
	pick := func(of ...int) int { return of[r.IntN(len(of))] }
	for range n {
		frame := []byte{2, 0, 0, 0, 0, byte(pick(1, 2)), 2, 0, 0, 0, 0, byte(pick(1, 2))}
		switch r.IntN(12) {
		case 0:
			copy(frame, []byte{255, 255, 255, 255, 255, 255})
		case 1:
			copy(frame, []byte{1, 0, 0x5e, 0, 0, 1})
		}
		for tags := pick(0, 0, 0, 0, 1, 1, 2); tags > 0; tags-- {
			frame = binary.BigEndian.AppendUint16(frame, uint16(pick(0x8100, 0x8100, 0x88a8, 0x9100)))
			frame = binary.BigEndian.AppendUint16(frame, uint16(pick(5, 6)|pick(0, 0x2000)))
		}
		switch r.IntN(10) {
		case 0:
			frame = append(frame, arp(r, pick)...)
		case 1, 2, 3:
			frame = append(frame, six(r, pick)...)
		default:
			frame = append(frame, four(r, pick)...)
		}
		if r.IntN(30) == 0 {
			frame = frame[:r.IntN(len(frame))]
		}
		all = append(all, frame)
	}
	return all
}

func arp(r *rand.Rand, pick func(...int) int) []byte {
	b := []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, byte(pick(1, 2)), 2, 0, 0, 0, 0, 1, 10, 0, 0, byte(pick(1, 2, 3)), 0, 0, 0, 0, 0, 0, 10, 0, 0, byte(pick(1, 2, 3))}
	if r.IntN(4) == 0 {
		b[0], b[1] = 0x80, 0x35
	}
	return b
}

func four(r *rand.Rand, pick func(...int) int) []byte {
	words := pick(5, 5, 5, 6, 15)
	proto := byte(pick(6, 6, 17, 17, 1, 132, 2, 50, 51, 103, 112))
	b := make([]byte, 4*words)
	b[0], b[1], b[8], b[9] = 0x40|byte(words), byte(pick(0, 0, 3)), byte(pick(1, 4, 64)), proto
	if r.IntN(6) == 0 {
		b[6], b[7] = byte(pick(0x20, 0)), byte(pick(0, 1, 185))
	}
	copy(b[12:], []byte{10, 0, 0, byte(pick(1, 2, 3, 4))})
	copy(b[16:], []byte{10, 0, 0, byte(pick(1, 2, 3, 4))})
	if r.IntN(10) == 0 {
		b[16] = 224
	}
	b = append(b, payload(r, pick, proto)...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return append([]byte{8, 0}, b...)
}

func six(r *rand.Rand, pick func(...int) int) []byte {
	proto := byte(pick(6, 17, 58, 132, 50))
	b := make([]byte, 40)
	b[0], b[6], b[7] = 0x60, proto, byte(pick(1, 64))
	copy(b[8:], []byte{0x20, 1, 0x0d, 0xb8, 15: byte(pick(1, 2, 5))})
	copy(b[24:], []byte{0x20, 1, 0x0d, 0xb8, 15: byte(pick(1, 2, 5))})
	if r.IntN(8) == 0 {
		b[24] = 255
	}
	if r.IntN(6) == 0 {
		b[6] = 44
		b = append(b, proto, 0, 0, byte(pick(0, 1)), 0, 0, 0, 1)
	}
	b = append(b, payload(r, pick, proto)...)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	return append([]byte{0x86, 0xdd}, b...)
}

func payload(r *rand.Rand, pick func(...int) int, proto byte) []byte {
	b := make([]byte, 20+r.IntN(100))
	for i := range b {
		b[i] = byte(pick(0, 65, 7))
	}
	binary.BigEndian.PutUint16(b, uint16(pick(53, 80, 443, 40000)))
	binary.BigEndian.PutUint16(b[2:], uint16(pick(53, 80, 443, 40000)))
	switch proto {
	case 6:
		b[12], b[13] = 0x50, byte(pick(2, 16, 18, 17))
	case 1:
		b[0] = byte(pick(0, 8, 3))
	case 58:
		b[0] = byte(pick(128, 129, 135))
	case 17:
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	}
	return b
}

// What is wrong with a filter is told with its place, and what to do.
func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		"udp prot 53":             `filter "udp prot 53", at byte 4: unexpected "prot": want an address: names are not looked up`,
		"host":                    `filter "host", at its end: unexpected end: want an address: names are not looked up`,
		"host example.org":        `filter "host example.org", at byte 5: unexpected "example.org": want an address: names are not looked up`,
		"tcp port":                `filter "tcp port", at its end: unexpected end: want a number up to 65535, or a service of /etc/services`,
		"port 5-":                 `filter "port 5-", at byte 5: "5-" is no port: want a number up to 65535, or a service of /etc/services`,
		"net":                     `filter "net", at its end: unexpected end: want a prefix like 10.0.0.0/8: names are not looked up`,
		"ip proto":                `filter "ip proto", at its end: unexpected end: want a protocol's number, or a name like tcp`,
		"ether src":               `filter "ether src", at its end: unexpected end: want a MAC like 02:00:00:00:00:01`,
		"port 70000":              `filter "port 70000", at byte 5: "70000" is no port: want a number up to 65535, or a service of /etc/services`,
		"tcp[13":                  `filter "tcp[13", at its end: unexpected end: want "]"`,
		"tcp[13:3] = 1":           `filter "tcp[13:3] = 1", at byte 7: unexpected "3": want a size of 1, 2 or 4 bytes`,
		"(tcp":                    `filter "(tcp", at its end: unexpected end: want ")"`,
		"tcp)":                    `filter "tcp)", at byte 3: unexpected ")": want 'and', 'or' or the end`,
		"tcp and":                 `filter "tcp and", at its end: unexpected end: want a primitive like 'host 192.0.2.1', 'udp port 53', 'icmp' or 'tcp[13] & 2 != 0'`,
		"net 10.0.0.1/8":          `filter "net 10.0.0.1/8", at byte 4: 10.0.0.1/8 has bits behind its length: want 10.0.0.0/8`,
		"net 10.0.0.0/33":         `filter "net 10.0.0.0/33", at byte 13: unexpected "33": want a prefix length up to 32`,
		"icmp port 5":             `filter "icmp port 5", at byte 0: icmp has no ports: want tcp, udp, sctp or nothing in front of 'port'`,
		"ip protochain 6":         `filter "ip protochain 6", at byte 3: "protochain" is not known here: want 'proto', which looks at one header`,
		"inbound":                 `filter "inbound", at byte 0: "inbound" is not known here: frames are those that have come in`,
		"vlan 5000":               `filter "vlan 5000", at byte 5: VLAN 5000: want one up to 4095`,
		"ip[5] / 0 = 1":           `filter "ip[5] / 0 = 1", at byte 6: division by zero`,
		"ether host 10.0.0.1":     `filter "ether host 10.0.0.1", at byte 11: unexpected "10.0.0.1": want a MAC like 02:00:00:00:00:01`,
		"ip host 2001:db8::1":     `filter "ip host 2001:db8::1", at byte 8: ip has no addresses like 2001:db8::1: want ip, ip6, arp or nothing in front of the address`,
		"udp;":                    `filter "udp;", at byte 3: unexpected ";": see pcap-filter(7)`,
		"ip broadcast":            `filter "ip broadcast", at byte 3: ip broadcast is not known here: name the address: 'dst host A'`,
		"net 10 mask 255.0.255.0": `filter "net 10 mask 255.0.255.0", at byte 12: mask 255.0.255.0 has holes: want a mask that a prefix length can say`,
	} {
		_, err := Parse(text)
		var e *Error
		if !errors.As(err, &e) || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
	if _, err := Parse(strings.Repeat("(", 4096)); err == nil {
		t.Error("4096 parentheses are taken")
	}
	if _, err := Parse(strings.Repeat("(", 1000) + "tcp" + strings.Repeat(")", 1000)); err == nil {
		t.Error("1000 parentheses are taken")
	}
}

// A long filter has jumps that are too far for one instruction.
func TestLong(t *testing.T) {
	text := "host 10.0.0.1" + strings.Repeat(" or port 53", 100)
	f, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	short, err := Parse("host 10.0.0.1 or port 53")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range random(300) {
		if f.Match(p) != short.Match(p) {
			t.Fatalf("the long filter says %v, the short one %v: % x", f.Match(p), short.Match(p), p)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	f, err := Parse("tcp port 80 or ip[6:2] & 0x1fff = 0")
	if err != nil {
		t.Fatal(err)
	}
	frame := random(1)[0]
	if n := testing.AllocsPerRun(100, func() { f.Match(frame) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range filters {
		f.Add(text)
	}
	packets := random(20)
	f.Fuzz(func(t *testing.T, text string) {
		one, err := Parse(text)
		var e *Error
		switch {
		case err != nil && (!errors.As(err, &e) || e.At < 0 || e.Cause == ""):
			t.Fatalf("%q: %v", text, err)
		case err != nil:
			return
		}
		for _, p := range packets {
			one.Match(p)
		}
	})
}
