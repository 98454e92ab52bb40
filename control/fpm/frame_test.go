package fpm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"
)

func TestReader(t *testing.T) {
	one, two := via("192.0.2.0/24", "198.51.100.1"), without("2001:db8::/32")
	odd := netlink(unix.RTM_NEWNEIGH, make([]byte, 13)) // which the next message is aligned behind
	large := frame(netlink(unix.RTM_NEWNEIGH, make([]byte, maxFrame&^3-frameHeader-messageHeader)))
	stream := bytes.Join([][]byte{frame(one), frame(two, one, two), frame(odd, one), large, frame(two)}, nil)
	for name, from := range map[string]io.Reader{
		"whole": bytes.NewReader(stream), "byte by byte": iotest.OneByteReader(bytes.NewReader(stream)),
		"halves": iotest.HalfReader(bytes.NewReader(stream)), "data with the end": iotest.DataErrReader(bytes.NewReader(stream)),
	} {
		in := reader{from: from}
		for i, want := range []int{1, 3, 2, 1, 1} {
			messages, err := in.next()
			if err != nil || len(messages) != want {
				t.Fatalf("%s: frame %d: %d messages, %v; want %d", name, i, len(messages), err, want)
			}
			last := messages[want-1]
			switch i {
			case 1, 4:
				if last.kind != unix.RTM_DELROUTE || !bytes.Equal(last.payload, two[messageHeader:]) {
					t.Errorf("%s: frame %d: %+v", name, i, last)
				}
			case 2:
				if len(messages[0].payload) != 13 || !bytes.Equal(last.payload, one[messageHeader:]) {
					t.Errorf("%s: frame %d: %+v", name, i, messages)
				}
			}
		}
		if _, err := in.next(); !errors.Is(err, io.EOF) || errors.Is(err, ErrFrame) {
			t.Errorf("%s: at the end: %v", name, err)
		}
	}
}

// badFrames are those that end a connection.
var badFrames = []struct {
	name, part string
	bytes      []byte
}{
	{"length 0", "0 bytes", []byte{1, 1, 0, 0}},
	{"length 3", "3 bytes", []byte{1, 1, 0, 3}},
	{"header only", "4 bytes", []byte{1, 1, 0, 4}},
	{"shorter than a message", "16 bytes, want at least 20", []byte{1, 1, 0, 16}},
	{"length 65535", "65535 bytes, which is no multiple", []byte{1, 1, 0xff, 0xff}},
	{"misaligned", "22 bytes, which is no multiple", []byte{1, 1, 0, 22}},
	{"version 0", "version 0", []byte{0, 1, 0, 20}},
	{"version 2", "version 2", []byte{2, 1, 0, 20}},
	{"type 0", "type 0", []byte{1, 0, 0, 20}},
	{"type 3", "type 3", []byte{1, 3, 0, 20}},
	{"protobuf", "dplane_fpm_nl", []byte{1, 2, 0, 20}},
	{"message of length 0", "message of 0 bytes", frame(resized(via("192.0.2.0/24", "198.51.100.1"), 0))},
	{"message of length 15", "message of 15 bytes", frame(resized(via("192.0.2.0/24", "198.51.100.1"), 15))},
	{"message longer than the frame", "message of 9999 bytes", frame(resized(via("192.0.2.0/24", "198.51.100.1"), 9999))},
	{"message of 4 GiB", "message of 4294967295 bytes", frame(resized(via("192.0.2.0/24", "198.51.100.1"), 1<<32-1))},
	{"second message too long", "in 60", frame(without("192.0.2.0/24"), resized(via("192.0.2.0/24", "198.51.100.1"), 64))},
	{"half a header behind a message", "8 bytes where a message", frame(without("192.0.2.0/24"), make([]byte, 8))},
}

func resized(message []byte, n uint32) []byte {
	binary.NativeEndian.PutUint32(message, n)
	return message
}

func TestBadFrames(t *testing.T) {
	for _, c := range badFrames {
		in := reader{from: bytes.NewReader(append(c.bytes, frame(without("192.0.2.0/24"))...))}
		messages, err := in.next()
		if !errors.Is(err, ErrFrame) || !strings.Contains(err.Error(), c.part) || messages != nil {
			t.Errorf("%s: %v, %v; want %q", c.name, messages, err, c.part)
		}
	}
}

// A connection that breaks within a frame has not brought a bad one.
func TestBrokenFrame(t *testing.T) {
	whole := frame(via("192.0.2.0/24", "198.51.100.1"))
	for n := 1; n < len(whole); n++ {
		in := reader{from: bytes.NewReader(whole[:n])}
		if messages, err := in.next(); !errors.Is(err, io.ErrUnexpectedEOF) || messages != nil {
			t.Errorf("%d bytes: %v, %v", n, messages, err)
		}
	}
}

func TestReaderDoesNotAllocate(t *testing.T) {
	bytesOf := frame(without("192.0.2.0/24"), via("192.0.2.0/24", "198.51.100.1"))
	stream := bytes.NewReader(nil)
	in := reader{from: stream}
	n := testing.AllocsPerRun(100, func() {
		stream.Reset(bytesOf)
		if _, err := in.next(); err != nil {
			t.Fatal(err)
		}
	})
	if n > 0 {
		t.Errorf("%v allocations", n)
	}
}
