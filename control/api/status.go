package api

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"weft/control"
	"weft/control/bgp"
	"weft/control/fpm"
	"weft/control/rib"
)

// States of a daemon.
const (
	Loading    = "loading"    // the FIB is being filled; Linux forwards what is not there yet
	Forwarding = "forwarding" // as it should
	Kernel     = "kernel"     // the FIB has no room for changes: Linux forwards all
	Degraded   = "degraded"   // a program that ports need is refused: the one before forwards
)

// GetStatus implements RouterServer.
func (s *Server) GetStatus(ctx context.Context, _ *StatusRequest) (*Status, error) {
	id := &s.config.Identity
	st := &Status{
		Version: id.Version, Pid: int64(os.Getpid()), Started: id.Started.UnixNano(), Netns: id.Netns, Pins: id.Pins,
		Adopted: id.Adopted, State: Loading, Fib: &FIB{}, Memory: residentMemory(),
	}
	for _, p := range s.config.Engine.Ports() {
		st.Ports++
		st.Unaccounted += p.Unaccounted
	}
	select {
	case <-s.config.Follower.Synced(): // before what follows is read, so that it has the first dump
		st.State = Forwarding
	default:
	}
	if s.config.FPM != nil {
		st.Fpm = s.config.FPM()
	}
	s.describeOwn(st)
	var err error
	if st.Bgp, err = s.bgpStatus(); err != nil && !errors.Is(err, bgp.ErrNoBGP) {
		return nil, bgpError(err)
	}
	counts, err := s.config.Follower.Counts(ctx)
	if err != nil {
		return nil, ended(err)
	}
	st.Netlink = &Netlink{
		Changes: counts.Changes, Overruns: counts.Overruns, Interrupted: counts.Interrupted, Syncs: counts.Syncs,
		Failed: counts.Failed, Undecodable: counts.Undecodable, LastSync: int64(counts.LastSync), Rereading: describeRereading(counts.Rereading),
	}
	astray := false
	if err := s.do(ctx, func(r *rib.RIB) {
		describeFIB(st.Fib, r)
		astray = r.Counts().Astray
	}); err != nil {
		return nil, err
	}
	if st.State == Forwarding && astray {
		st.State = Kernel
	}
	if st.Degraded = s.config.Degraded(); st.State == Forwarding && st.Degraded != "" {
		st.State = Degraded
	}
	if st.Program, err = s.config.Program(); err != nil {
		return nil, status.Errorf(codes.Internal, "describe the program: %v", err)
	}
	return st, nil
}

func describeRereading(r control.Rereading) *Rereading {
	if r.Why == "" {
		return nil
	}
	return &Rereading{Why: r.Why, Since: r.Since.UnixNano(), Running: r.Running}
}

// DescribeFPM says how the server for FRR is.
func DescribeFPM(address netip.AddrPort, s fpm.Status) *FPM {
	f := &FPM{
		Address: address.String(), Routes: uint64(s.Routes), Stale: uint64(s.Stale), Parked: uint64(s.Parked), Nexthops: uint64(s.NextHops),
		Queued: uint64(s.Queued), Connections: s.Connections, Refused: s.Refused, Frames: s.Frames, BadFrames: s.BadFrames,
		Messages: s.Messages, Ignored: s.Ignored, Undecodable: s.Undecodable, Swept: s.Swept, Offloaded: s.Offloaded,
		OffloadFailed: s.OffloadFailed,
	}
	if s.Peer.IsValid() {
		f.Peer, f.Since = s.Peer.String(), s.Since.UnixNano()
	}
	return f
}

func describeFIB(f *FIB, r *rib.RIB) {
	im := r.Image()
	counts := r.Counts()
	f.Size, f.Used, f.Generation = uint64(im.Size()), uint64(im.Used()), im.Generation()
	f.Groups, f.Adjacencies, f.NotInstalled = uint64(counts.Groups), uint64(counts.Adjacencies), uint64(counts.NotInstalled)
	f.Unresolved, f.Parked, f.Exported = uint64(counts.Unresolved), uint64(counts.Parked), uint64(counts.Exported)
	for vrf := range r.VRFs {
		t, err := im.Table(vrf)
		if err != nil {
			continue // the image has no room for it: its routes count as not installed
		}
		v4, v6 := t.Len()
		f.Ipv4Routes, f.Ipv6Routes, f.Vrfs = f.Ipv4Routes+uint64(v4), f.Ipv6Routes+uint64(v6), f.Vrfs+1
	}
}

// residentMemory returns what /proc says of this process, in bytes, or 0.
func residentMemory() uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}

// errNoGroup: the group that was asked for is not there.
var errNoGroup = errors.New("no such group")
