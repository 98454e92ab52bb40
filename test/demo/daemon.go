package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"weft/control/api"
)

// daemonAPI asks the daemon what the live lines show. What an operator sees is shown by commands instead.
type daemonAPI struct {
	conn   *grpc.ClientConn
	client api.RouterClient
	start  map[string]uint64 // drops that were counted before
}

// startDaemon runs weft in the router and waits until it forwards; a live line each second meanwhile.
func (s *show) startDaemon(ctx context.Context) (learned time.Duration, all samples, err error) {
	var inode string
	if err := s.lab.In("r1", func() (err error) { inode, err = api.Netns(); return err }); err != nil {
		return 0, all, err
	}
	begin := time.Now()
	if s.daemon, err = s.lab.Start("r1", s.weft, "run"); err != nil {
		return 0, all, err
	}
	conn, err := api.Dial(api.Socket(inode))
	if err != nil {
		return 0, all, err
	}
	s.weftAt = &daemonAPI{conn: conn, client: api.NewRouterClient(conn)}
	forwarding := make(chan error, 1)
	go func() {
		err := s.weftAt.await(ctx, s.daemon.Done)
		learned = time.Since(begin)
		forwarding <- err
	}()
	ready := func() bool { return len(forwarding) > 0 }
	if all, err = s.watch(ctx, 60, func() string { return "weft takes in the table" }, ready); err != nil {
		return 0, all, err
	}
	if !ready() {
		return 0, all, fmt.Errorf("weft does not forward after 60 s: %s", s.log())
	}
	if err := <-forwarding; err != nil {
		return 0, all, fmt.Errorf("%w: %s", err, s.log())
	}
	s.weftAt.start, err = s.weftAt.drops(ctx)
	return learned, all, err
}

// await waits until the daemon forwards.
func (d *daemonAPI) await(ctx context.Context, ended <-chan struct{}) error {
	for {
		st, err := d.client.GetStatus(ctx, &api.StatusRequest{})
		if err == nil && st.State == "forwarding" {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ended:
			return fmt.Errorf("weft run has ended")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// log returns the end of what the daemon wrote.
func (s *show) log() string {
	b, err := os.ReadFile(s.daemon.Log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}

// killDaemon ends it as nothing can prevent.
func (s *show) killDaemon() error {
	if err := s.daemon.Signal(unix.SIGKILL); err != nil {
		return err
	}
	<-s.daemon.Done
	if s.weftAt != nil {
		s.weftAt.conn.Close()
	}
	s.daemon, s.weftAt = nil, nil
	return nil
}

// drops returns packets dropped by reason, over all ports.
func (d *daemonAPI) drops(ctx context.Context) (map[string]uint64, error) {
	ports, err := d.client.ListPorts(ctx, &api.PortsRequest{})
	if err != nil {
		return nil, fmt.Errorf("ask weft for its drops: %w", err)
	}
	drops := map[string]uint64{}
	for _, p := range ports.Ports {
		for _, c := range p.Counters {
			if c.Verdict == "drop" {
				drops[c.Reason] += c.Packets
			}
		}
	}
	return drops, nil
}

// topDrops names the reasons that most packets were dropped for since the daemon forwards.
func (s *show) topDrops(ctx context.Context) string {
	if s.weftAt == nil {
		return ""
	}
	drops, err := s.weftAt.drops(ctx)
	if err != nil {
		return ""
	}
	var reasons []string
	for r := range drops {
		if drops[r] -= s.weftAt.start[r]; drops[r] > 0 {
			reasons = append(reasons, r)
		}
	}
	if len(reasons) == 0 {
		return "no drops"
	}
	slices.SortFunc(reasons, func(a, b string) int { return cmp.Compare(drops[b], drops[a]) })
	var b strings.Builder
	for _, r := range reasons[:min(2, len(reasons))] {
		fmt.Fprintf(&b, "%s %d  ", r, drops[r])
	}
	return b.String()
}
