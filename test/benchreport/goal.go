package benchreport

import "fmt"

// Relation says how a row compares with its peer, or with a limit alone.
type Relation int

const (
	TimesFaster Relation = iota // peer / row is at least the limit: row and peer are times
	TimesRate                   // row / peer is at least the limit: row and peer are rates
	Within                      // row / peer is at most the limit
	AtMost                      // row is at most the limit
	AtLeast                     // row is at least the limit
)

// Goal is one thing that weft claims. Without a peer it is about the row alone, in the row's unit.
type Goal struct {
	Row, Peer string
	Relation  Relation
	Limit     float64
}

func (g Goal) String() string {
	switch g.Relation {
	case TimesFaster:
		return fmt.Sprintf(">= %gx faster", g.Limit)
	case TimesRate:
		return fmt.Sprintf(">= %gx", g.Limit)
	case Within:
		return fmt.Sprintf("<= %gx", g.Limit)
	case AtMost:
		return "<= " + quantity(g.Limit)
	default:
		return ">= " + quantity(g.Limit)
	}
}

// ratio is what the limit is held against, in one round.
func (g Goal) ratio(row, peer float64) float64 {
	switch g.Relation {
	case TimesFaster:
		return peer / row
	case Within, TimesRate:
		return row / peer
	default:
		return row
	}
}

func (g Goal) met(ratio float64) bool {
	switch g.Relation {
	case TimesFaster, TimesRate, AtLeast:
		return ratio >= g.Limit
	default:
		return ratio <= g.Limit
	}
}
