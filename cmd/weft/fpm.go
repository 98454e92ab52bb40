package main

import (
	"fmt"
	"time"

	"weft/control/api"
)

// fpmStatus is the server that FRR connects to.
type fpmStatus struct {
	Address       string `json:"address"`
	Peer          string `json:"peer,omitempty"`
	Since         string `json:"since,omitempty"` // of the peer
	Routes        uint64 `json:"routes"`
	Stale         uint64 `json:"stale"`
	Parked        uint64 `json:"parked"`
	NextHops      uint64 `json:"nexthops"`
	Queued        uint64 `json:"queued"`
	Connections   uint64 `json:"connections"`
	Refused       uint64 `json:"refused"`
	Frames        uint64 `json:"frames"`
	BadFrames     uint64 `json:"bad_frames"`
	Messages      uint64 `json:"messages"`
	Ignored       uint64 `json:"ignored"`
	Undecodable   uint64 `json:"undecodable"`
	Swept         uint64 `json:"swept"`
	Offloaded     uint64 `json:"offloaded"`
	OffloadFailed uint64 `json:"offload_failed"`

	connected time.Duration
}

func (e *env) newFPMStatus(f *api.FPM) *fpmStatus {
	if f == nil {
		return nil
	}
	out := &fpmStatus{
		Address: f.GetAddress(), Peer: f.GetPeer(), Routes: f.GetRoutes(), Stale: f.GetStale(), Parked: f.GetParked(), NextHops: f.GetNexthops(),
		Queued: f.GetQueued(), Connections: f.GetConnections(), Refused: f.GetRefused(), Frames: f.GetFrames(), BadFrames: f.GetBadFrames(),
		Messages: f.GetMessages(), Ignored: f.GetIgnored(), Undecodable: f.GetUndecodable(), Swept: f.GetSwept(), Offloaded: f.GetOffloaded(),
		OffloadFailed: f.GetOffloadFailed(),
	}
	if out.Peer != "" {
		out.Since, out.connected = e.stamp(f.GetSince()), e.now().Sub(time.Unix(0, f.GetSince()))
	}
	return out
}

func (f *fpmStatus) String() string {
	text := "nobody is connected to " + f.Address
	if f.Peer != "" {
		text = fmt.Sprintf("connected from %s for %s", f.Peer, short(f.connected))
	}
	text += fmt.Sprintf("; %s, %d stale, %d parked; %s, %d bad", count(f.Routes, "route"), f.Stale, f.Parked, count(f.Frames, "frame"), f.BadFrames)
	if f.Undecodable > 0 {
		text += fmt.Sprintf(", %d undecodable", f.Undecodable)
	}
	if f.Refused > 0 {
		text += fmt.Sprintf("; %s refused", count(f.Refused, "connection"))
	}
	return text
}
