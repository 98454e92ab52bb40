package trace

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"weft/bpf"
	"weft/dataplane"
)

// What leaves is put together of the headers as sent and the rest as received, whatever tags came or went.
func TestSent(t *testing.T) {
	mac := []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	body := append([]byte{8, 0, 0x45}, bytes.Repeat([]byte("payload "), 40)...)
	tag := []byte{0x81, 0, 0, 5}
	plain, tagged := slices.Concat(mac, body), slices.Concat(mac, tag, body)
	for _, c := range []struct {
		name           string
		received, sent []byte
		kept           int // of received
		beside         uint32
		want           []byte
	}{
		{"as it came", plain, plain, len(plain), 0, plain},
		{"a tag more", plain, tagged, len(plain), 0, tagged},
		{"a tag less", tagged, plain, len(tagged), 0, plain},
		{"padding cut off", plain, plain[:200], len(plain), 0, plain[:200]},
		{"short", plain[:60], plain[:60], 60, 0, plain[:60]},
		{"of half of it", plain, plain, 150, 0, plain[:150]},
		{"a tag beside", plain, plain, len(plain), 0x05000081, tagged},
	} {
		r := &bpf.Record{Bytes: uint32(len(c.received)), SentBytes: uint32(len(c.sent)), SentKept: uint32(min(len(c.sent), bpf.SentMost))}
		copy(r.Sent[:], c.sent)
		r.Steps.Tag = c.beside
		got := newRecord(r, c.received[:c.kept], time.Time{})
		if !bytes.Equal(got.Packet, c.want) || !bytes.Equal(got.Frame, c.received[:c.kept]) {
			t.Errorf("%s: sent\n% x, want\n% x", c.name, got.Packet, c.want)
		}
		r.Reason = uint32(dataplane.IPLengthWrong)
		if got := newRecord(r, c.received[:c.kept], time.Time{}); !bytes.Equal(got.Packet, got.Frame) || got.Egress != 0 {
			t.Errorf("%s: what is dropped is sent as % x", c.name, got.Packet)
		}
	}
}
