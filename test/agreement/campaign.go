package agreement

import (
	"context"
	"fmt"
	"slices"
)

// Campaign is rounds of a State and packets for it, all functions of one seed: it can
// be interrupted after each round, and go on.
type Campaign struct {
	Seed       uint64   `json:"seed"`
	Rounds     uint64   `json:"states"`  // done
	Packets    uint64   `json:"packets"` // done
	Divergent  uint64   `json:"differences"`
	Tally      *Tally   `json:"tally"`
	found      []string // kinds of divergences that were saved
	MaxSaved   int      `json:"-"`
	batch      []Packet
	buffers    [][]byte
	Divergence func(Divergence) `json:"-"` // told of the first of each kind
}

const (
	batchSize  = 512
	roundSize  = 40 * batchSize // packets for each State
	tagsMost   = 64             // bytes by which tags may make a frame longer
	kindsSaved = 20             // divergences that are told, of different kinds
)

// NewCampaign returns one that is to begin.
func NewCampaign(seed uint64) *Campaign { return &Campaign{Seed: seed, Tally: NewTally()} }

// Run goes on until so many packets are done, or ctx ends. Progress, if not nil, is
// called after each round.
func (c *Campaign) Run(ctx context.Context, t *Table, packets uint64, progress func() error) error {
	for c.Packets < packets {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := c.round(t, min(roundSize, packets-c.Packets)); err != nil {
			return fmt.Errorf("state %d of seed %d: %w", c.Rounds, c.Seed, err)
		}
		if progress != nil {
			if err := progress(); err != nil {
				return err
			}
		}
	}
	return nil
}

// round gives packets of one State to all forwarders. What it counts is added when it
// is over.
func (c *Campaign) round(t *Table, packets uint64) error {
	seed := c.Seed + c.Rounds
	s := NewState(seed)
	if err := t.Set(s); err != nil {
		return err
	}
	g, tally, divergent := NewGenerator(s, seed), NewTally(), uint64(0)
	for done := uint64(0); done < packets; {
		batch := c.next(g, int(min(batchSize, packets-done)))
		all, err := t.Run(batch, tally)
		if err != nil {
			return err
		}
		for _, d := range all {
			c.tell(d)
		}
		divergent += uint64(len(all))
		done += uint64(len(batch))
	}
	c.Tally.Add(tally)
	c.Rounds, c.Packets, c.Divergent = c.Rounds+1, c.Packets+packets, c.Divergent+divergent
	return nil
}

// next makes packets in memory that the next call uses again.
func (c *Campaign) next(g *Generator, n int) []Packet {
	if c.batch == nil {
		c.batch, c.buffers = make([]Packet, batchSize), make([][]byte, batchSize)
		for i := range c.buffers {
			c.buffers[i] = make([]byte, 0, maxFrame+tagsMost)
		}
	}
	for i := range n {
		c.batch[i] = g.Next(c.buffers[i])
	}
	return c.batch[:n]
}

// tell tells of a divergence, if it is the first of its kind.
func (c *Campaign) tell(d Divergence) {
	kind := d.Kind()
	if c.Divergence == nil || len(c.found) >= kindsSaved || slices.Contains(c.found, kind) {
		return
	}
	c.found = append(c.found, kind)
	c.Divergence(d)
}
