package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// printJSON prints one value.
func (e *env) printJSON(v any) error {
	b, err := e.marshal(v, "")
	if err != nil {
		return err
	}
	_, err = e.stdout.Write(append(b, '\n'))
	return err
}

func (e *env) marshal(v any, prefix string) ([]byte, error) {
	if e.pretty {
		return json.MarshalIndent(v, prefix, "    ")
	}
	return json.Marshal(v)
}

// texter is a value of JSON that is also a line.
type texter interface{ text() string }

// list prints elements one at a time, as lines or as one array. What it holds
// does not grow. If nothing was added before an error, nothing is printed.
type list struct {
	e *env
	w *bufio.Writer
	n int
}

func (e *env) list() *list { return &list{e: e, w: e.out()} }

func (l *list) add(v texter) error {
	l.n++
	if !l.e.json {
		_, err := fmt.Fprintln(l.w, v.text())
		return err
	}
	between, indent := ",\n", ""
	if l.n == 1 {
		between = "["
	}
	if l.e.pretty {
		indent = "    "
		if l.n == 1 {
			between = "[\n"
		}
		between += indent
	}
	b, err := l.e.marshal(v, indent)
	if err == nil {
		// Errors of a bufio.Writer stay until Flush.
		_, _ = l.w.WriteString(between)
		_, err = l.w.Write(b)
	}
	return err
}

// flush lets the reader have what there is.
func (l *list) flush() error { return l.w.Flush() }

// close ends the list, unless err says that it is not whole.
func (l *list) close(err error) error {
	if err == nil && l.e.json {
		end := "]\n"
		switch {
		case l.n == 0:
			end = "[]\n"
		case l.e.pretty:
			end = "\n]\n"
		}
		_, err = l.w.WriteString(end)
	}
	if flushed := l.w.Flush(); err == nil {
		err = flushed
	}
	return err
}

// printLine prints an element of an endless list at once: a line of text or of
// JSON.
func (e *env) printLine(v texter) error {
	if !e.json {
		_, err := fmt.Fprintln(e.stdout, v.text())
		return err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = e.stdout.Write(append(b, '\n'))
	return err
}

func newTable(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 8, 2, ' ', 0) }

// stamp is nanoseconds since 1970 as ISO 8601; 0 is "".
func (e *env) stamp(ns int64) string {
	if ns == 0 {
		return ""
	}
	return time.Unix(0, ns).In(e.now().Location()).Format("2006-01-02T15:04:05.000000Z07:00")
}

// short prints a duration to two units or less.
func short(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == 0:
		return "0 s"
	case d < time.Millisecond:
		return fmt.Sprintf("%d us", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < day:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d %d h", d/day, int(d.Hours())%24)
}

// size prints bytes.
func size(bytes uint64) string {
	switch {
	case bytes >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
	case bytes >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(bytes)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", bytes)
}

// count prints a number of things: "1 route", "2 routes".
func count[N int | uint32 | uint64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	switch thing[len(thing)-1] {
	case 'y':
		thing = thing[:len(thing)-1] + "ie"
	case 'x':
		thing += "e"
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
