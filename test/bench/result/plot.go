package result

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
)

// series is a line of a plot.
type series struct {
	Name   string
	Points [][2]float64 // x ascending
}

// plot is lines over a logarithmic axis.
type plot struct {
	Title, X, Y string
	Series      []series
	LogY        bool
}

const (
	plotWidth, plotHeight         = 640.0, 320.0
	plotLeft, plotTop, plotBottom = 70.0, 30.0, 45.0
	plotRight                     = 150.0
	innerWidth                    = plotWidth - plotLeft - plotRight
	innerHeight                   = plotHeight - plotTop - plotBottom
)

// colors are told apart by most people (Okabe and Ito).
var colors = []string{"#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000"}

// SVG draws the plot; it is "" if there is nothing to draw.
func (p plot) SVG() template.HTML {
	x, y := p.axis(0, true), p.axis(1, p.LogY)
	if x.empty() || y.empty() {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, plotWidth, plotHeight, template.HTMLEscapeString(p.Title))
	text := func(x, y float64, anchor, s string) {
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`, x, y, anchor, template.HTMLEscapeString(s))
	}
	text(plotLeft, 16, "start", p.Title)
	for _, v := range x.ticks() {
		at := plotLeft + x.at(v)*innerWidth
		fmt.Fprintf(&b, `<path class="grid" d="M%.1f %.1fV%.1f"/>`, at, plotTop, plotTop+innerHeight)
		text(at, plotTop+innerHeight+15, "middle", quantity(v))
	}
	for _, v := range y.ticks() {
		at := plotTop + (1-y.at(v))*innerHeight
		fmt.Fprintf(&b, `<path class="grid" d="M%.1f %.1fH%.1f"/>`, plotLeft, at, plotLeft+innerWidth)
		text(plotLeft-6, at+4, "end", quantity(v))
	}
	text(plotLeft+innerWidth/2, plotHeight-10, "middle", p.X)
	fmt.Fprintf(&b, `<text transform="translate(14 %.1f) rotate(-90)" text-anchor="middle">%s</text>`, plotTop+innerHeight/2, template.HTMLEscapeString(p.Y))
	for i, s := range p.Series {
		color, marks := colors[i%len(colors)], ""
		var d strings.Builder
		for j, pt := range s.Points {
			px, py := plotLeft+x.at(pt[0])*innerWidth, plotTop+(1-y.at(pt[1]))*innerHeight
			fmt.Fprintf(&d, "%c%.1f %.1f", "ML"[min(j, 1)], px, py)
			if len(s.Points) < 20 {
				marks += fmt.Sprintf(`<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`, px, py, color)
			}
		}
		fmt.Fprintf(&b, `<path d="%s" fill="none" stroke="%s" stroke-width="2"/>%s`, d.String(), color, marks)
		at := plotTop + 12 + 18*float64(i)
		fmt.Fprintf(&b, `<path d="M%.1f %.1fh18" stroke="%s" stroke-width="3"/>`, plotLeft+innerWidth+10, at-4, color)
		text(plotLeft+innerWidth+33, at, "start", s.Name)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) // of numbers, and of text that is escaped
}

// axis is from Low to High.
type axis struct {
	Low, High float64
	log       bool
}

func (a axis) empty() bool { return !(a.High > a.Low) }

// axis covers one coordinate of all points. A linear one begins at 0, a logarithmic one has no room for 0.
func (p plot) axis(coordinate int, log bool) axis {
	a := axis{math.Inf(1), math.Inf(-1), log}
	for _, s := range p.Series {
		for _, pt := range s.Points {
			if v := pt[coordinate]; v > 0 || !log {
				a.Low, a.High = min(a.Low, v), max(a.High, v)
			}
		}
	}
	if !log {
		a.Low = 0
		a.High *= 1.05
	} else if a.Low == a.High {
		a.Low, a.High = a.Low/2, a.High*2
	}
	return a
}

// at returns where a value is, 0 to 1.
func (a axis) at(v float64) float64 {
	if a.log {
		return math.Log(max(v, a.Low)/a.Low) / math.Log(a.High/a.Low)
	}
	return (v - a.Low) / (a.High - a.Low)
}

// ticks are round values.
func (a axis) ticks() (all []float64) {
	if !a.log {
		step := math.Pow(10, math.Floor(math.Log10(a.High/2)))
		for a.High/step > 6 {
			step *= 2
		}
		for v := 0.0; v <= a.High; v += step {
			all = append(all, v)
		}
		return all
	}
	for e := math.Floor(math.Log10(a.Low)); e <= math.Ceil(math.Log10(a.High)); e++ {
		for _, m := range []float64{1, 2, 5} {
			if v := m * math.Pow(10, e); v >= a.Low*0.999 && v <= a.High*1.001 {
				all = append(all, v)
			}
		}
	}
	if len(all) > 8 {
		all = slices.DeleteFunc(all, func(v float64) bool {
			e := math.Log10(v)
			return math.Abs(e-math.Round(e)) > 0.01
		})
	}
	return all
}
