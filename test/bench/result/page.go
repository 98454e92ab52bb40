package result

import (
	_ "embed"
	"encoding/json"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// WritePage writes a page of HTML that needs nothing else: plots, tables, how to do it again, and the document itself.
func (d *Document) WritePage(w io.Writer) error {
	all, err := json.Marshal(d)
	if err != nil {
		return err
	}
	type cell struct {
		Case  Key
		Unit  string
		Cells []string
	}
	type table struct {
		Test    string
		Systems []string
		Cases   []cell
	}
	var tables []table
	for _, test := range d.tests() {
		systems := d.systems(test)
		t := table{Test: test, Systems: d.heads(systems)}
		for _, r := range d.cases(test) {
			c := cell{Case: r.Key, Unit: r.Unit}
			for _, s := range systems {
				c.Cells = append(c.Cells, d.cell(r.Key, s))
			}
			t.Cases = append(t.Cases, c)
		}
		tables = append(tables, t)
	}
	var plots []template.HTML
	for _, p := range d.plots() {
		if svg := p.SVG(); svg != "" {
			plots = append(plots, svg)
		}
	}
	return page.Execute(w, map[string]any{
		"Document": d, "Command": strings.Join(d.Command, " "), "Plots": plots, "Tables": tables, "JSON": string(all),
	})
}

// WritePlot writes the first plot of a title alone, as SVG. ok is false if there is none.
func (d *Document) WritePlot(w io.Writer, title string) (ok bool, err error) {
	for _, p := range d.plots() {
		if svg := p.SVG(); strings.HasPrefix(p.Title, title) && svg != "" {
			text := strings.Replace(string(svg), "<svg ", `<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="12" `, 1)
			text = strings.ReplaceAll(text, `class="grid"`, `stroke="#ddd" fill="none"`)
			_, err := io.WriteString(w, text)
			return true, err
		}
	}
	return false, nil
}

func (d *Document) plots() (all []plot) {
	for _, family := range []string{"ipv4", "ipv6"} {
		all = append(all,
			d.over("Throughput by frame size, "+family, "bytes", func(k Key) (string, bool) { return k.Size, k.Table == "1" }, family),
			d.over("Throughput by routes, "+family, "routes of the family", func(k Key) (string, bool) { return k.Table, k.Size == smallest(family) }, family),
		)
	}
	return append(all, d.curves("latency", "Latency of weft and its peers, ", "us under way", "share of packets"),
		d.curves("loss", "Frame loss, ", "packets/s offered", "% lost"))
}

// smallest is the least frame size of a family.
func smallest(family string) string {
	if family == "ipv6" {
		return "84"
	}
	return "64"
}

// over draws the rate of each system over a number that is in the key.
func (d *Document) over(title, x string, number func(Key) (string, bool), family string) plot {
	p := plot{Title: title, X: x, Y: "packets/s"}
	lines := map[string][][2]float64{}
	for _, r := range d.Rows {
		text, ok := number(r.Key)
		if text == "full" {
			text = map[string]string{"ipv4": "901899", "ipv6": "160147"}[family]
		}
		v, err := strconv.ParseFloat(text, 64)
		if ok && err == nil && r.Test == "mrr" && r.Family == family && r.Metric == "rate" {
			lines[r.System] = append(lines[r.System], [2]float64{v, r.Median})
		}
	}
	for _, s := range d.Systems {
		if points := lines[s.Name]; len(points) > 1 {
			slices.SortFunc(points, func(a, b [2]float64) int { return int(a[0] - b[0]) })
			p.Series = append(p.Series, series{s.Title, points})
		}
	}
	return p
}

// curves draws the points of the first case of a test that has any.
func (d *Document) curves(test, title, x, y string) plot {
	p := plot{Title: title, X: x, Y: y}
	var first Key
	for _, r := range d.Rows {
		if r.Test != test || r.Points == nil || first != (Key{}) && r.Case() != first {
			continue
		}
		if first == (Key{}) {
			first = r.Case()
			p.Title += strings.Join([]string{first.Family, first.Table + " routes", first.Size + " bytes", first.Metric}, ", ")
		}
		p.Series = append(p.Series, series{d.title(r.System), r.Points})
	}
	return p
}
