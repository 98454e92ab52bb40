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
	var tables []table
	for _, test := range d.tests() {
		tables = append(tables, d.table(test))
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
	scale := "mrr" // in which tables are measured
	if slices.Contains(d.tests(), "scale") {
		scale = "scale"
	}
	count := func(k Key) (string, bool) { return strings.CutPrefix(k.Metric, "rate_of_") }
	for _, family := range []string{"ipv4", "ipv6"} {
		all = append(all,
			d.over("mrr", "Throughput by frame size, "+family, "bytes", func(k Key) (string, bool) { return k.Size, k.Table == "1" }, family),
			d.over(scale, "Throughput by routes, "+family, "routes of the family", func(k Key) (string, bool) { return k.Table, k.Size == smallest(family) }, family),
			d.over("ecmp", "Throughput by next hops, "+family, "next hops of a route", count, family),
			d.over("routers", "Throughput by routers in a row, "+family, "routers", count, family),
			d.over("cores", "Throughput by CPUs, "+family, "CPUs", count, family),
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
func (d *Document) over(test, title, x string, number func(Key) (string, bool), family string) plot {
	p := plot{Title: title, X: x, Y: "packets/s"}
	lines := map[string][][2]float64{}
	for _, r := range d.Rows {
		text, ok := number(r.Key)
		if text == "full" {
			text = map[string]string{"ipv4": "901899", "ipv6": "160147"}[family]
		}
		v, err := strconv.ParseFloat(text, 64)
		if ok && err == nil && r.Test == test && r.Family == family && strings.HasPrefix(r.Metric, "rate") {
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
