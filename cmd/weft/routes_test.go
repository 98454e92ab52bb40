package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

// meter counts lines and looks at the heap while it is written to.
type meter struct {
	lines, bytes int
	heap         uint64 // the most
	first, last  []byte
}

func (m *meter) Write(b []byte) (int, error) {
	if m.bytes>>20 != (m.bytes+len(b))>>20 {
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		m.heap = max(m.heap, s.HeapInuse)
	}
	if m.first == nil {
		m.first = bytes.Clone(b[:1])
	}
	m.last = bytes.Clone(b[max(len(b)-3, 0):])
	m.bytes += len(b)
	m.lines += bytes.Count(b, []byte("\n"))
	return len(b), nil
}

// TestManyRoutes lists a million routes. Client and daemon are one process here,
// so the bound is for both.
func TestManyRoutes(t *testing.T) {
	if testing.Short() {
		t.Skip("a million routes take seconds")
	}
	const many = 1000000
	for _, args := range [][]string{{"routes"}, {"--json", "routes"}} {
		var m meter
		var stdout, stderr bytes.Buffer
		e := testEnv(t, &stdout, &stderr)
		e.stdout = &m
		exit := command(context.Background(), e, append([]string{"--socket", serve(t, &fake{many: many})}, args...))
		if exit != 0 || m.lines != many {
			t.Errorf("%s: exit %d, %d lines: %s", args, exit, m.lines, &stderr)
		}
		if args[0] == "--json" && (string(m.first) != "[" || string(m.last) != "]\n") {
			t.Errorf("JSON begins %q and ends %q", m.first, m.last)
		}
		const bound = 64 << 20
		t.Logf("%s: %d MB out, heap %.1f MiB at most", args, m.bytes/1e6, float64(m.heap)/(1<<20))
		if m.heap == 0 || m.heap > bound {
			t.Errorf("%s: the heap had %d bytes, want less than %d", args, m.heap, bound)
		}
	}
}

// notifier tells when it is written to.
type notifier struct {
	bytes.Buffer
	written chan struct{}
}

func (s *notifier) Write(b []byte) (int, error) {
	if s.Len() == 0 {
		close(s.written)
	}
	return s.Buffer.Write(b)
}

// TestFirstLine lets the daemon wait with the second route until the first is
// out.
func TestFirstLine(t *testing.T) {
	for _, args := range []string{"routes", "routes --json"} {
		f := &fake{pause: make(chan struct{})}
		var stdout, stderr bytes.Buffer
		e := testEnv(t, &stdout, &stderr)
		out := &notifier{written: make(chan struct{})}
		e.stdout = out
		go func() {
			<-out.written
			close(f.pause)
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if exit := command(ctx, e, append([]string{"--socket", serve(t, f)}, strings.Fields(args)...)); exit != 0 {
			t.Errorf("%s: %s", args, &stderr)
		}
		cancel()
	}
}

// TestPaste gives each line to 'ip route add', and compares what ip then prints
// with ours: as JSON, and key by key where ip has the key.
func TestPaste(t *testing.T) {
	ns := newNetns(t)
	ip := func(args ...string) []byte {
		t.Helper()
		out, err := exec.Command("ip", append([]string{"-n", ns}, args...)...).Output()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Errorf("ip %s: %s", strings.Join(args, " "), exit.Stderr)
		}
		return out
	}
	ip("link", "set", "in-here", "name", "eth0")
	ip("addr", "add", "192.0.2.254/24", "dev", "eth0")
	ip("nexthop", "add", "id", "7", "via", "192.0.2.1", "dev", "eth0")
	for _, r := range someRoutes {
		ours := newRoute(r)
		line, _, _ := strings.Cut(ours.text(), " #")
		family := map[string]string{"inet": "-4", "inet6": "-6"}[ours.Family]
		ip(append([]string{"route", "add"}, strings.Fields(line)...)...)
		var all []map[string]any
		args := []string{family, "-j", "-d", "route", "show", "table", ours.Table, "exact", r.GetDst()}
		if err := json.Unmarshal(ip(args...), &all); err != nil {
			t.Fatal(err)
		}
		compareRoute(t, line, ours, all)
		ip(append([]string{family, "route", "del"}, strings.Fields(line)...)...)
	}
}

func compareRoute(t *testing.T, line string, ours *route, all []map[string]any) {
	t.Helper()
	if len(all) != 1 {
		t.Errorf("%s: ip has %v", line, all)
		return
	}
	b, err := json.Marshal(ours)
	if err != nil {
		t.Fatal(err)
	}
	var have map[string]any
	if err := json.Unmarshal(b, &have); err != nil {
		t.Fatal(err)
	}
	for key, want := range all[0] {
		switch key {
		case "flags", "pref", "prefsrc", "nhid", "nh_info", "metrics":
			continue // ip's own; metrics has what the kernel adds
		case "nexthops":
			for _, h := range want.([]any) {
				delete(h.(map[string]any), "flags")
			}
			for _, h := range have[key].([]any) {
				delete(h.(map[string]any), "flags")
			}
		}
		w, _ := json.Marshal(want)
		h, _ := json.Marshal(have[key])
		if !bytes.Equal(w, h) {
			t.Errorf("%s: %s is %s, ip has %s", line, key, h, w)
		}
	}
}
