package benchreport

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Samples holds what the rounds measured. Make it by NewSamples.
type Samples struct {
	order  []string // rows as first seen
	units  map[string]string
	values map[string][]float64
}

// NewSamples returns one without rows.
func NewSamples() *Samples {
	return &Samples{units: make(map[string]string), values: make(map[string][]float64)}
}

// Add adds the value of a round. Rows are printed in the order in which they come.
func (s *Samples) Add(row, unit string, value float64) {
	if _, ok := s.units[row]; !ok {
		s.order = append(s.order, row)
		s.units[row] = unit
	}
	s.values[row] = append(s.values[row], value)
}

func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}

// ratio returns the median of the rounds' ratios; ok is false if the run lacks the row or its peer.
func (s *Samples) ratio(g Goal) (ratio float64, ok bool) {
	rows, peers := s.values[g.Row], s.values[g.Peer]
	if len(rows) == 0 || g.Peer != "" && len(peers) != len(rows) {
		return 0, false
	}
	ratios := make([]float64, len(rows))
	for i := range rows {
		peer := 0.0
		if g.Peer != "" {
			peer = peers[i]
		}
		ratios[i] = g.ratio(rows[i], peer)
	}
	return median(ratios), true
}

// WriteJSON writes rows, goals that the run has the rows of, and the environment.
func WriteJSON(w io.Writer, s *Samples, goals []Goal, env Environment) error {
	type row struct {
		Name  string  `json:"name"`
		Value float64 `json:"value"`
		Min   float64 `json:"min"`
		Max   float64 `json:"max"`
		Unit  string  `json:"unit"`
	}
	type outcome struct {
		Row   string  `json:"row"`
		Peer  string  `json:"peer,omitempty"`
		Ratio float64 `json:"ratio"`
		Goal  string  `json:"goal"`
		Met   bool    `json:"met"`
	}
	doc := struct {
		Rows        []row       `json:"rows"`
		Goals       []outcome   `json:"goals"`
		Environment Environment `json:"environment"`
	}{Rows: []row{}, Goals: []outcome{}, Environment: env}
	for _, name := range s.order {
		doc.Rows = append(doc.Rows, row{name, median(s.values[name]), slices.Min(s.values[name]), slices.Max(s.values[name]), s.units[name]})
	}
	for _, g := range goals {
		if r, ok := s.ratio(g); ok {
			doc.Goals = append(doc.Goals, outcome{g.Row, g.Peer, r, g.String(), g.met(r)})
		}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(doc)
}

// WriteTable prints a line for each goal of each row, and one for a row without goal.
func WriteTable(w io.Writer, s *Samples, goals []Goal, env Environment) error {
	fmt.Fprintf(w, "kernel %s, %s, %s, %s\n", env.Kernel, env.CPU, env.Go, env.Date)
	fmt.Fprintf(w, "medians of %d rounds on CPU %d; a ratio is the median of the rounds' ratios\n", env.Rounds, env.PinnedCPU)
	for _, n := range env.Notes {
		fmt.Fprintln(w, n)
	}
	fmt.Fprintln(w)

	byRow := make(map[string][]Goal)
	for _, g := range goals {
		byRow[g.Row] = append(byRow[g.Row], g)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "ROW\tFIGURE\tSPREAD\tPEER\tITS FIGURE\tRATIO\tGOAL\tMET")
	for _, name := range s.order {
		figure, spread := s.figure(name), s.spread(name)
		if len(byRow[name]) == 0 {
			fmt.Fprintf(tw, "%s\t%s\t%s\t\t\t\t\t\n", name, figure, spread)
		}
		for _, g := range byRow[name] {
			peer, peerFigure, ratio, met := g.Peer, "", "", "no peer"
			if r, ok := s.ratio(g); ok {
				met = map[bool]string{true: "yes", false: "NO"}[g.met(r)]
				if g.Peer != "" {
					peerFigure, ratio = s.figure(g.Peer), quantity(r)
				}
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", name, figure, spread, peer, peerFigure, ratio, g, met)
		}
	}
	return tw.Flush()
}

func (s *Samples) figure(row string) string {
	return quantity(median(s.values[row])) + " " + s.units[row]
}

func (s *Samples) spread(row string) string {
	return quantity(slices.Min(s.values[row])) + " to " + quantity(slices.Max(s.values[row]))
}

// quantity prints three significant digits, or all of a number of 1,000 or more, in groups of three.
func quantity(v float64) string {
	if v < 999.5 {
		return fmt.Sprintf("%.3g", v)
	}
	digits := fmt.Sprintf("%.0f", v)
	var groups []string
	for len(digits) > 3 {
		groups = append([]string{digits[len(digits)-3:]}, groups...)
		digits = digits[:len(digits)-3]
	}
	return strings.Join(append([]string{digits}, groups...), ",")
}
