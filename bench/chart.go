package main

import (
	"fmt"
	"html"
	"strings"
)

// Sizes of the chart, in pixels.
const (
	chartWidth = 760
	labelWidth = 230
	barHeight  = 22
	barGap     = 6
	groupGap   = 46
)

// charted are the trials that the chart shows.
var charted = []string{"forward", "hit", "new-es256", "day"}

// chart draws CPU time per request as bars, one group a trial, in an SVG that
// follows the reader's light or dark scheme.
func (r *report) chart() string {
	var body strings.Builder
	y := 64
	for _, id := range charted {
		t := r.trial(id)
		if t == nil {
			continue
		}
		longest := 0.0
		for _, e := range t.Entrants {
			longest = max(longest, median(e.values(cpu)))
		}
		if longest == 0 {
			continue
		}
		fmt.Fprintf(&body, "<text class=\"group\" x=\"20\" y=\"%d\">%s</text>\n", y+14, html.EscapeString(t.Title))
		y += 26
		for _, e := range t.Entrants {
			m := median(e.values(cpu))
			width := m / longest * (chartWidth - labelWidth - 100)
			class := "peer"
			if strings.HasPrefix(e.Name, hopgate) {
				class = "ours"
			}
			fmt.Fprintf(&body, "<text class=\"name\" x=\"%d\" y=\"%d\">%s</text>\n", labelWidth-10, y+16, html.EscapeString(e.Name))
			fmt.Fprintf(&body, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"3\"/>\n", class, labelWidth, y, width, barHeight)
			fmt.Fprintf(&body, "<text class=\"value\" x=\"%.1f\" y=\"%d\">%.1f µs</text>\n", labelWidth+width+8, y+16, m)
			y += barHeight + barGap
		}
		y += groupGap - 26
	}
	height := y + 10
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="CPU time per request, hopgate and its peers">
<style>
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 17px; font-weight: 600 } .group { font-weight: 600 } .note { fill: #59636e; font-size: 12px }
.name { text-anchor: end } .value { font-variant-numeric: tabular-nums }
.back { fill: #ffffff } .ours { fill: #0969da } .peer { fill: #afb8c1 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .note { fill: #9198a1 } .back { fill: #0d1117 } .ours { fill: #4493f8 } .peer { fill: #545d68 }
}
</style>
<rect class="back" width="%d" height="%d" rx="8"/>
<text class="title" x="20" y="30">CPU time per request (less is better)</text>
<text class="note" x="20" y="50">%s</text>
`, chartWidth, height, chartWidth, height, chartWidth, height,
		html.EscapeString(fmt.Sprintf("%s, proxy on one core, %d connections, 1 KB answers; %s", r.Machine.CPU, conns, r.Machine.Time.Format("2006-01-02"))))
	b.WriteString(body.String())
	b.WriteString("</svg>\n")
	return b.String()
}
