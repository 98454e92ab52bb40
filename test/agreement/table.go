package agreement

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"weft/dataplane"
	"weft/test/model"
)

// Row is a forwarder that does as weft does.
type Row struct {
	Forwarder
	Partial bool // it is to do as weft does where hosts leave checksums to hardware
	Every   int  // batch that it takes part in; the others it does not see
}

// Table is all forwarders, in one State.
type Table struct {
	Linux *Linux // nil: it does not take part
	Rows  []Row

	models  [2]*Model // the second one with Partial
	hurried bool      // what Linux does not send at once is not waited for
	s       *model.State
	batches int
}

// NewTable makes a table of everything there is. Needs root.
func NewTable() (_ *Table, err error) {
	t := new(Table)
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close())
		}
	}()
	if t.Linux, err = NewLinux(); err != nil {
		return nil, err
	}
	for _, r := range []struct {
		Variant
		every int
	}{
		{Variant{}, 1},
		{Variant{Chunked: true, Partial: true}, 4},
		{Variant{Mode: dataplane.TC}, 4},
		{Variant{VLAN: true}, 4},
	} {
		e, err := NewEngine(r.Variant)
		if err != nil {
			return nil, err
		}
		t.Rows = append(t.Rows, Row{e, r.Partial, r.every})
		if r.Mode == dataplane.TC {
			continue
		}
		s, err := NewSoft(e)
		if err != nil {
			return nil, err
		}
		t.Rows = append(t.Rows, Row{s, r.Partial, r.every})
	}
	return t, nil
}

// Close ends all forwarders.
func (t *Table) Close() error {
	var errs []error
	if t.Linux != nil {
		errs = append(errs, t.Linux.Close())
	}
	for _, r := range t.Rows {
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}

// atOnce runs functions beside one another.
func atOnce(all ...func() error) error {
	errs := make([]error, len(all))
	var wait sync.WaitGroup
	for i, f := range all {
		wait.Go(func() { errs[i] = f() })
	}
	wait.Wait()
	return errors.Join(errs...)
}

// Set brings all forwarders into a State.
func (t *Table) Set(s *model.State) error {
	t.s = s
	t.models = [2]*Model{{}, {Partial: true}}
	var all []func() error
	for _, m := range t.models {
		all = append(all, func() error { return m.Set(s) })
	}
	for _, r := range t.Rows {
		all = append(all, func() error { return r.Set(s) })
	}
	if t.Linux != nil {
		all = append(all, func() error { return t.Linux.Set(s) })
	}
	return atOnce(all...)
}

// Divergence is a packet with which forwarders do not do the same.
type Divergence struct {
	State  *model.State
	Packet Packet
	difference
}

// Run gives packets to the forwarders whose turn it is, and compares. It adds to tally
// what they came to, and returns what differs.
func (t *Table) Run(packets []Packet, tally *Tally) ([]Divergence, error) {
	t.batches++
	return t.run(packets, tally, slices.DeleteFunc(slices.Clone(t.Rows), func(r Row) bool { return t.batches%r.Every != 0 }))
}

// RunAll is Run with all forwarders.
func (t *Table) RunAll(packets []Packet, tally *Tally) ([]Divergence, error) {
	return t.run(packets, tally, t.Rows)
}

func (t *Table) run(packets []Packet, tally *Tally, rows []Row) (all []Divergence, err error) {
	answers := make([][]Answer, len(rows))
	var said [2][]Answer
	var linux []Answer
	calls := []func() error{}
	call := func(f Forwarder) []Answer {
		a := make([]Answer, len(packets))
		calls = append(calls, func() error { return f.Forward(packets, a) })
		return a
	}
	said[0] = call(t.models[0])
	if t.Linux != nil {
		linux = call(t.Linux)
	}
	for i, r := range rows {
		answers[i] = call(r)
		if r.Partial && said[1] == nil {
			said[1] = call(t.models[1])
		}
	}
	if err := atOnce(calls...); err != nil {
		return nil, err
	}
	for n, p := range packets {
		add := func(d *difference) {
			if d != nil {
				all = append(all, Divergence{t.s, Packet{p.Port, slices.Clone(p.Frame)}, *d})
			}
		}
		add(tally.said(p, &said[0][n]))
		if linux != nil {
			d, err := t.askLinux(p, &said[0][n], &linux[n])
			if err != nil {
				return nil, err
			}
			tally.linux(p, d == nil)
			add(d)
		}
		for i, r := range rows {
			e := &answers[i][n]
			if e.Left != "" {
				tally.Left[r.Name()+": "+e.Left]++
				continue
			}
			m := &said[partial(r.Partial)][n]
			d := compareWeft(m, e, r.Name())
			if d == nil && e.finished {
				d = compareFinished(m, e, r.Name())
				tally.finished(e, d == nil)
			}
			tally.engine(r.Name(), p, m, d == nil)
			if d == nil && linux != nil {
				d = compareDirectly(m, e, &linux[n], r.Name())
			}
			add(d)
		}
	}
	return all, nil
}

func partial(p bool) int {
	if p {
		return 1
	}
	return 0
}

// askLinux compares what Linux has sent, and if it differs asks again: what it sends
// may come late, when the kernel puts a softirq off, and an ICMP error not at all, while
// others have filled the memory for those of all namespaces.
func (t *Table) askLinux(p Packet, m, l *Answer) (*difference, error) {
	for start := time.Now(); ; {
		d := compareLinux(m, l)
		if d == nil || l.asked && (len(l.Linux.Sent) > 0 || t.hurried || m.Linux.Does == model.Discards || time.Since(start) > crowdedMost) {
			return d, nil
		}
		again, err := t.Linux.Patient(p)
		if err != nil {
			return nil, err
		}
		*l = again
		l.asked = true
	}
}

// Tally is what packets came to.
type Tally struct {
	Packets  map[string]uint64 // by forwarder and family: "xdp ipv4"
	Differ   map[string]uint64
	Reasons  map[string]uint64 // as the model says
	Deeds    map[string]uint64 // Linux's, as the model says
	Intended map[string]uint64 // differences between weft and Linux that the model knows
	Left     map[string]uint64 // what a forwarder was not given, and why
}

// NewTally returns an empty one.
func NewTally() *Tally {
	return &Tally{
		map[string]uint64{}, map[string]uint64{}, map[string]uint64{}, map[string]uint64{}, map[string]uint64{}, map[string]uint64{},
	}
}

func (t *Tally) maps() []map[string]uint64 {
	return []map[string]uint64{t.Packets, t.Differ, t.Reasons, t.Deeds, t.Intended, t.Left}
}

// Add adds another one.
func (t *Tally) Add(o *Tally) {
	for i, m := range o.maps() {
		for k, n := range m {
			t.maps()[i][k] += n
		}
	}
}

// familyName is that of a frame's EtherType.
func familyName(f []byte) string {
	switch {
	case len(f) < l3:
	case f[12] == 0x08 && f[13] == 0x00:
		return "ipv4"
	case f[12] == 0x86 && f[13] == 0xdd:
		return "ipv6"
	}
	return "other"
}

func (t *Tally) said(p Packet, m *Answer) *difference {
	t.Packets["all "+familyName(p.Frame)]++
	t.Reasons[m.Reason.String()]++
	t.Deeds[string(m.Linux.Does)]++
	name, d := intended(p, m)
	if name != "" {
		t.Intended[name]++
	}
	return d
}

func (t *Tally) count(name string, p Packet, equal bool) {
	key := name + " " + familyName(p.Frame)
	t.Packets[key]++
	if !equal {
		t.Differ[key]++
	}
}

func (t *Tally) linux(p Packet, equal bool) { t.count("linux", p, equal) }

func (t *Tally) engine(name string, p Packet, m *Answer, equal bool) {
	t.count(name, p, equal)
	if m.Reason == dataplane.ChecksumPartial {
		t.Reasons[m.Reason.String()]++
	}
}

// finished counts a packet that an engine has finished itself, by whether it has sent
// something for that: an ICMP error, fragments, what waited for its checksum.
func (t *Tally) finished(e *Answer, equal bool) {
	key := finishedSilent
	if len(e.Linux.Sent) > 0 {
		key = finishedSent
	}
	t.Packets[key]++
	if !equal {
		t.Differ[key]++
	}
}

// Keys of a Tally's Packets.
const (
	finishedSent   = "finished, sent"
	finishedSilent = "finished, silent"
)

// String prints a tally for people.
func (t *Tally) String() string {
	var b []byte
	for i, title := range []string{"packets", "differ", "reasons", "linux", "intended differences", "left"} {
		b = fmt.Appendf(b, "%s:", title)
		m := t.maps()[i]
		for _, k := range slices.Sorted(maps.Keys(m)) {
			b = fmt.Appendf(b, "\n  %10d %s", m[k], k)
		}
		b = append(b, '\n')
	}
	return string(b)
}
