package policytest

import (
	"fmt"
	"strings"
)

// maxDiffCells bounds the work of comparing two texts line by line.
const maxDiffCells = 4 << 20

// diffLines compares two texts line by line: lines that only want has start
// with "-", those that only got has with "+", common ones with a space.
// Common lines far from any difference are left out.
func diffLines(want, got string) []string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	var head, tail []string
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		head, a, b = append(head, "  "+a[0]), a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		tail, a, b = append(tail, "  "+a[len(a)-1]), a[:len(a)-1], b[:len(b)-1]
	}
	lines := append(head, changed(a, b)...)
	for i := len(tail) - 1; i >= 0; i-- {
		lines = append(lines, tail[i])
	}
	return near(lines)
}

// changed aligns the lines of a and b by their longest common subsequence.
func changed(a, b []string) []string {
	var lines []string
	if (len(a)+1)*(len(b)+1) > maxDiffCells {
		for _, l := range a {
			lines = append(lines, "- "+l)
		}
		for _, l := range b {
			lines = append(lines, "+ "+l)
		}
		return lines
	}
	width := len(b) + 1
	longest := make([]int32, (len(a)+1)*width)
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				longest[i*width+j] = longest[(i+1)*width+j+1] + 1
			} else {
				longest[i*width+j] = max(longest[(i+1)*width+j], longest[i*width+j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			lines = append(lines, "  "+a[i])
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && longest[(i+1)*width+j] >= longest[i*width+j+1]:
			lines = append(lines, "- "+a[i])
			i++
		default:
			lines = append(lines, "+ "+b[j])
			j++
		}
	}
	return lines
}

// near keeps the lines of a diff that differ and three around them.
func near(lines []string) []string {
	const around = 3
	keep := make([]bool, len(lines))
	for i, l := range lines {
		if l[0] != ' ' {
			for k := max(0, i-around); k <= min(len(lines)-1, i+around); k++ {
				keep[k] = true
			}
		}
	}
	var out []string
	left := 0
	for i, l := range lines {
		if keep[i] {
			if left > 0 {
				out = append(out, fmt.Sprintf("  ... %d more", left))
			}
			left = 0
			out = append(out, l)
		} else {
			left++
		}
	}
	if left > 0 {
		out = append(out, fmt.Sprintf("  ... %d more", left))
	}
	return out
}
