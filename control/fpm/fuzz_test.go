package fpm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"
)

// FuzzStream feeds a server with what a peer sends, in one connection and then
// again in another one. It does not panic and does not keep more than it was sent;
// its books are right; how the bytes are cut does not matter; and when all has been
// swept nothing is left.
func FuzzStream(f *testing.F) {
	for _, c := range badFrames {
		f.Add(c.bytes)
		f.Add(append(frame(object1(1, "198.51.100.1"), by("192.0.2.0/24", 1)), c.bytes...))
	}
	f.Add(bytes.Join([][]byte{
		frame(by("192.0.2.0/24", 3), group(3, 1, 2, 3, 2), object1(2, "fe80::2")),
		frame(without("192.0.2.0/24"), via("192.0.2.0/24", "198.51.100.1"), withoutObject(3)),
		frame(netlink(unix.RTM_NEWNEIGH, make([]byte, 12)), withoutObject(2), group(2, 1)),
	}, nil))
	in := &reader{} // one for all: it is large
	f.Fuzz(func(t *testing.T, b []byte) {
		sink := newSink()
		s := New(Config{Sink: sink})
		for range 2 {
			c := feed(t, s, in, bytes.NewReader(b))
			if o := feed(t, New(Config{Sink: newSink()}), in, iotest.OneByteReader(bytes.NewReader(b))); c != o {
				t.Errorf("%x: %+v, byte by byte %+v", b, c, o)
			}
			if n := queued(s); uint64(n) > c.Messages || n*messageHeader > len(b) {
				t.Errorf("%x: %d changes of %d messages", b, n, c.Messages)
			}
			if err := s.drain(context.Background()); err != nil {
				t.Fatal(err)
			}
			checkBooks(t, s, sink)
			s.table.age()
			checkBooks(t, s, sink)
		}
		if err := s.sweep(context.Background(), ""); err != nil {
			t.Fatal(err)
		}
		if n := s.table.count + len(s.inbox.index.keys) - len(s.inbox.index.free) + len(s.table.objects) + len(sink.routes) + len(sink.nextHops) + s.table.stale + s.table.known; n != 0 {
			t.Errorf("%x: %d things are left", b, n)
		}
	})
}

// feed reads a stream to its end.
func feed(t *testing.T, s *Server, in *reader, from io.Reader) (c Counts) {
	in.from = from
	d := decoder{log: slog.New(slog.DiscardHandler), generation: s.table.generation}
	for {
		messages, err := in.next()
		if errors.Is(err, ErrFrame) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return c
		}
		if err != nil || len(messages) == 0 {
			t.Fatalf("%d messages, %v", len(messages), err)
		}
		s.inbox.add(func() {
			for _, m := range messages {
				d.take(&s.inbox, m)
			}
		})
		c.take(&d.counts)
	}
}

// checkBooks counts again what the table has counted.
func checkBooks(t *testing.T, s *Server, sink *sink) {
	t.Helper()
	routes, groups, stale, known := map[objectKey]int{}, map[objectKey]int{}, 0, 0
	there := 0
	for _, r := range s.table.routes {
		if r.kind == 0 {
			continue
		}
		there++
		if r.nextHop != 0 {
			routes[objectKey{r.generation, r.nextHop}]++
		}
		if r.generation != s.table.generation {
			stale++
		}
	}
	for k, o := range s.table.objects {
		for _, m := range o.Members {
			groups[objectKey{k.generation, m.ID}]++
		}
		if o.known {
			known++
		}
	}
	for k, o := range s.table.objects {
		if o.routes != routes[k] || o.groups != groups[k] || !o.known && o.routes+o.groups == 0 {
			t.Errorf("object %+v: %+v, %d routes, %d groups", k, o, routes[k], groups[k])
		}
		delete(routes, k)
		delete(groups, k)
	}
	if len(routes)+len(groups) != 0 || stale != s.table.stale || known != s.table.known {
		t.Errorf("objects forgotten: %v, %v; %d stale, counted %d; %d known, counted %d", routes, groups, stale, s.table.stale, known, s.table.known)
	}
	if len(sink.routes) != there || s.table.count != there || len(sink.nextHops) != known {
		t.Errorf("the sink has %d routes and %d objects, the table %d and %d", len(sink.routes), len(sink.nextHops), s.table.count, known)
	}
}

// queued returns how many changes wait.
func queued(s *Server) int {
	n, _ := s.inbox.status()
	return n
}
