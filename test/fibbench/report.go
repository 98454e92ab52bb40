package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// environment says where and how the figures were taken.
type environment struct {
	Kernel     string   `json:"kernel"`
	CPU        string   `json:"cpu"`
	Go         string   `json:"go"`
	Date       string   `json:"date"` // RFC 3339
	Rounds     int      `json:"rounds"`
	PinnedCPU  int      `json:"pinned_cpu"`
	FloorBytes int      `json:"floor_bytes"`
	Notes      []string `json:"notes,omitempty"`
}

// samples holds what the rounds measured, one value per round and row.
type samples struct {
	order  []string // rows as first seen
	units  map[string]string
	values map[string][]float64
}

func newSamples() *samples {
	return &samples{units: make(map[string]string), values: make(map[string][]float64)}
}

func (s *samples) add(row, unit string, value float64) {
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
func (s *samples) ratio(g goal) (ratio float64, ok bool) {
	rows, peers := s.values[g.row], s.values[g.peer]
	if len(rows) == 0 || g.peer != "" && len(peers) != len(rows) {
		return 0, false
	}
	ratios := make([]float64, len(rows))
	for i := range rows {
		peer := 0.0
		if g.peer != "" {
			peer = peers[i]
		}
		ratios[i] = g.ratio(rows[i], peer)
	}
	return median(ratios), true
}

func writeJSON(w io.Writer, s *samples, env environment) error {
	type row struct {
		Name  string  `json:"name"`
		Value float64 `json:"value"`
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
		Environment environment `json:"environment"`
	}{Rows: []row{}, Goals: []outcome{}, Environment: env}
	for _, name := range s.order {
		doc.Rows = append(doc.Rows, row{name, median(s.values[name]), s.units[name]})
	}
	for _, g := range goals() {
		if r, ok := s.ratio(g); ok {
			doc.Goals = append(doc.Goals, outcome{g.row, g.peer, r, g.String(), g.met(r)})
		}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(doc)
}

// writeTable prints a line for each goal of each row, and one for a row without goal.
func writeTable(w io.Writer, s *samples, env environment) error {
	fmt.Fprintf(w, "kernel %s, %s, %s, %s\n", env.Kernel, env.CPU, env.Go, env.Date)
	fmt.Fprintf(w, "medians of %d rounds on CPU %d; floor of %d MiB; a ratio is the median of the rounds' ratios\n",
		env.Rounds, env.PinnedCPU, env.FloorBytes>>20)
	for _, n := range env.Notes {
		fmt.Fprintln(w, n)
	}
	fmt.Fprintln(w)

	byRow := make(map[string][]goal)
	for _, g := range goals() {
		byRow[g.row] = append(byRow[g.row], g)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "ROW\tFIGURE\tPEER\tITS FIGURE\tRATIO\tGOAL\tMET")
	for _, name := range s.order {
		figure := s.figure(name)
		if len(byRow[name]) == 0 {
			fmt.Fprintf(tw, "%s\t%s\t\t\t\t\t\n", name, figure)
		}
		for _, g := range byRow[name] {
			peer, peerFigure, ratio, met := g.peer, "", "", "no peer"
			if r, ok := s.ratio(g); ok {
				met = map[bool]string{true: "yes", false: "NO"}[g.met(r)]
				if g.peer != "" {
					peerFigure, ratio = s.figure(g.peer), quantity(r)
				}
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", name, figure, peer, peerFigure, ratio, g, met)
		}
	}
	return tw.Flush()
}

func (s *samples) figure(row string) string {
	return quantity(median(s.values[row])) + " " + s.units[row]
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
