package result

import "strings"

// table is the figures of a test, in words.
type table struct {
	Test  string
	Head  []string
	Lines [][]string
}

// mostColumns is how many systems stand side by side; more stand one below the other.
const mostColumns = 8

func (d *Document) table(test string) table {
	systems, cases := d.systems(test), d.cases(test)
	if len(systems) > mostColumns {
		return d.turned(test, systems, cases)
	}
	t := table{Test: test, Head: []string{"family", "table", "size", "metric", "unit"}}
	for _, s := range systems {
		t.Head = append(t.Head, d.title(s))
	}
	for _, c := range cases {
		line := []string{c.Family, c.Table, c.Size, c.Metric, c.Unit}
		for _, s := range systems {
			line = append(line, d.cell(c.Key, s))
		}
		t.Lines = append(t.Lines, line)
	}
	return t
}

// turned has a line for each system, a column for each case.
func (d *Document) turned(test string, systems []string, cases []Row) table {
	t := table{Test: test, Head: []string{"system"}}
	for _, c := range cases {
		t.Head = append(t.Head, strings.Join([]string{c.Family, c.Table, c.Size, c.Metric, c.Unit}, " "))
	}
	for _, s := range systems {
		line := []string{d.title(s)}
		for _, c := range cases {
			line = append(line, d.cell(c.Key, s))
		}
		t.Lines = append(t.Lines, line)
	}
	return t
}
