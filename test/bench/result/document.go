package result

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Schema is the version of the document. One that is greater may mean other things by the same fields.
const Schema = 1

// Document is one run.
type Document struct {
	Schema  int       `json:"schema"`
	Version string    `json:"version"` // of weft
	Command []string  `json:"command"`
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
	Partial string    `json:"partial,omitempty"` // why the run ended before it was done; "": it is whole
	Machine Machine   `json:"machine"`
	Seed    uint64    `json:"seed"`
	Rounds  int       `json:"rounds"`
	Systems []System  `json:"systems"`
	Notes   []string  `json:"notes,omitempty"`
	Rows    []Row     `json:"rows"`
}

// Machine is what it was measured on.
type Machine struct {
	Kernel      string   `json:"kernel"`
	CPU         string   `json:"cpu"`
	CPUs        int      `json:"cpus"`
	MemoryMiB   int      `json:"memory_mib"`
	Go          string   `json:"go"`
	Mitigations []string `json:"mitigations,omitempty"` // of the CPU's faults: they make XDP slower
	Load        string   `json:"load"`                  // of others, when it began: /proc/loadavg
}

// System is one that was measured.
type System struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	Note    string `json:"note"`
	Version string `json:"version,omitempty"`
}

// Key tells rows apart.
type Key struct {
	Test   string `json:"test"`
	Family string `json:"family"` // ipv4, ipv6
	Table  string `json:"table"`  // routes: 1, 1000, full
	Size   string `json:"size"`   // of frames, bytes with checksum, or imix
	System string `json:"system"`
	Metric string `json:"metric"` // rate, ndr, p99_50 ...
}

func (k Key) String() string {
	return strings.Join([]string{k.Test, k.Family, k.Table, k.Size, k.System, k.Metric}, "/")
}

// Case is the key without the system: what is compared side by side.
func (k Key) Case() Key {
	k.System = ""
	return k
}

// Row is a figure.
type Row struct {
	Key
	Unit    string       `json:"unit"`             // pkt/s, ns, ...
	Lower   bool         `json:"lower_is_better"`  // otherwise higher is
	Samples []float64    `json:"samples"`          // one of each round, in order
	Points  [][2]float64 `json:"points,omitempty"` // of a curve, as the Metric has it: x and y
	Median  float64      `json:"median"`
	Min     float64      `json:"min"`
	Max     float64      `json:"max"`
}

// Add adds a sample to a row, which is made if it is not there.
func (d *Document) Add(k Key, unit string, lower bool, value float64) *Row {
	r := d.Find(k)
	if r == nil {
		d.Rows = append(d.Rows, Row{Key: k, Unit: unit, Lower: lower})
		r = &d.Rows[len(d.Rows)-1]
	}
	r.Samples = append(r.Samples, value)
	r.Median, r.Min, r.Max = median(r.Samples), slices.Min(r.Samples), slices.Max(r.Samples)
	return r
}

// Find returns a row, nil if there is none.
func (d *Document) Find(k Key) *Row {
	i := slices.IndexFunc(d.Rows, func(r Row) bool { return r.Key == k })
	if i < 0 {
		return nil
	}
	return &d.Rows[i]
}

// Spread is a median with the least and the greatest.
type Spread struct{ Median, Min, Max float64 }

// Ratio compares a row with that of another system, round by round; ok is false if there is none, or of other rounds.
func (d *Document) Ratio(k Key, system string) (s Spread, ok bool) {
	a := d.Find(k)
	k.System = system
	b := d.Find(k)
	if a == nil || b == nil || len(a.Samples) != len(b.Samples) {
		return s, false
	}
	var ratios []float64
	for i := range a.Samples {
		if b.Samples[i] == 0 {
			return s, false
		}
		ratios = append(ratios, a.Samples[i]/b.Samples[i])
	}
	return Spread{median(ratios), slices.Min(ratios), slices.Max(ratios)}, true
}

func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}

// Write writes the document as JSON.
func (d *Document) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(d)
}

// ErrDocument is JSON that is no document of this Schema.
var ErrDocument = errors.New("not a document of weft bench")

// Read reads one.
//
// Errors: ErrDocument.
func Read(r io.Reader) (*Document, error) {
	d := new(Document)
	if err := json.NewDecoder(r).Decode(d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	if d.Schema != Schema {
		return nil, fmt.Errorf("%w: its schema is %d, want %d", ErrDocument, d.Schema, Schema)
	}
	for _, r := range d.Rows {
		if len(r.Samples) == 0 {
			return nil, fmt.Errorf("%w: %s has no samples", ErrDocument, r.Key)
		}
	}
	return d, nil
}
