package proof

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
)

// File is the environment's variable that names the file of records.
const File = "WEFT_PROOF"

// Kind is what sort of thing was proved. Records are told in this order.
type Kind string

// Kinds.
const (
	Agreement   Kind = "agreement"   // packets that went through several forwarders, whose answers were equal
	Case        Kind = "case"        // named packets, each of which moved the counter that it should, and no other
	Conformance Kind = "conformance" // statements of RFCs
	Fault       Kind = "fault"       // faults under traffic, by the number of the promise (R1 ...)
	Failpoint   Kind = "failpoint"   // places at which the daemon was killed, or a call failed
	Upgrade     Kind = "upgrade"     // from one format of the pins to another
	Verifier    Kind = "verifier"    // programs that the kernel's verifier took
	Soak        Kind = "soak"        // long runs
)

var kinds = []Kind{Agreement, Case, Conformance, Fault, Failpoint, Upgrade, Verifier, Soak}

// Result is what one test has proved.
type Result struct {
	Kind    Kind   `json:"kind"`
	Name    string `json:"name"`              // R2, ipv4, ...
	What    string `json:"what"`              // one line for people
	Count   uint64 `json:"count,omitempty"`   // of cases, places, statements, rounds
	Packets uint64 `json:"packets,omitempty"` // sent or compared
	Lost    uint64 `json:"lost"`              // of those: lost, or answered differently
}

// Record keeps what a test has proved, unless the test has failed.
func Record(t testing.TB, r Result) {
	t.Helper()
	t.Logf("proved: %s %s: %s: %d, %d packets, %d lost", r.Kind, r.Name, r.What, r.Count, r.Packets, r.Lost)
	path := os.Getenv(File)
	if path == "" || t.Failed() {
		return
	}
	if err := Append(path, r); err != nil {
		t.Errorf("record what was proved: %v", err)
	}
}

// Append adds a record to a file. Processes may do so at once.
func Append(path string, r Result) error {
	if !slices.Contains(kinds, r.Kind) {
		return fmt.Errorf("no such kind: %q", r.Kind)
	}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// Read returns the records of a file, in the order in which they are told. No
// file is no records.
func Read(path string) ([]Result, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []Result
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var r Result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, len(all)+1, err)
		}
		all = append(all, r)
	}
	slices.SortStableFunc(all, func(a, b Result) int {
		if a.Kind != b.Kind {
			return slices.Index(kinds, a.Kind) - slices.Index(kinds, b.Kind)
		}
		return compareNames(a.Name, b.Name)
	})
	return all, lines.Err()
}

// compareNames has R2 before R10.
func compareNames(a, b string) int {
	stem := func(s string) string { return strings.TrimRight(s, "0123456789") }
	if stem(a) == stem(b) && len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// Write tells records as a table of Markdown.
func Write(w io.Writer, all []Result) error {
	var b strings.Builder
	b.WriteString("| | | count | packets | lost |\n|---|---|---|---|---|\n")
	var packets, lost uint64
	for _, r := range all {
		fmt.Fprintf(&b, "| %s %s | %s | %s | %s | %d |\n", r.Kind, r.Name, r.What, number(r.Count), number(r.Packets), r.Lost)
		packets, lost = packets+r.Packets, lost+r.Lost
	}
	fmt.Fprintf(&b, "| all | %d records | | %s | %d |\n", len(all), number(packets), lost)
	_, err := io.WriteString(w, b.String())
	return err
}

// number writes a number with commas; 0 is nothing.
func number(n uint64) string {
	if n == 0 {
		return ""
	}
	s := fmt.Sprint(n)
	for at := len(s) - 3; at > 0; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}
