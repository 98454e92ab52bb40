package fpm

import (
	"net/netip"
	"time"
)

// Counts are what a Server has seen since it was made.
type Counts struct {
	Connections   uint64
	Refused       uint64 // connections
	Frames        uint64 // well-formed
	BadFrames     uint64 // each ended a connection
	Messages      uint64
	Ignored       uint64 // messages about something else than routes by destination
	Undecodable   uint64 // messages
	Sweeps        uint64
	Swept         uint64 // stale routes that were removed
	Offloaded     uint64 // acknowledgements sent
	OffloadFailed uint64 // likewise
}

// take adds the counters of a decoder, after a frame.
func (c *Counts) take(d *Counts) {
	c.Frames++
	c.Messages += d.Messages
	c.Ignored += d.Ignored
	c.Undecodable += d.Undecodable
	*d = Counts{}
}

// Status is how a Server is.
type Status struct {
	Address  netip.AddrPort // at which it listens; invalid: nowhere
	Peer     netip.AddrPort // invalid: none
	Since    time.Time      // of Peer
	Routes   int
	Stale    int // of Routes: told over an earlier connection
	Parked   int // of Routes: for next-hop objects and tables that are not known
	NextHops int
	Queued   int // changes that the Sink has not been told
	Counts
}

// Status returns it as it is now. It costs some time for each next-hop object.
func (s *Server) Status() Status {
	queued, read := s.inbox.status()
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{Routes: s.table.count, Stale: s.table.stale, NextHops: s.table.known, Queued: queued, Counts: s.counts}
	st.Frames, st.Messages, st.Ignored, st.Undecodable = read.Frames, read.Messages, read.Ignored, read.Undecodable
	_, st.Parked = s.table.parked()
	if s.listener != nil {
		st.Address = s.listener.Addr()
	}
	if s.peer != nil {
		st.Peer, st.Since = s.peer.addr, s.peer.since
	}
	return st
}
