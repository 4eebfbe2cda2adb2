package config

import (
	"strings"
)

// didYouMean gives a hint for the message about a word that is not one of
// those known, or "".
func didYouMean(word string, known []string) string {
	best, at := "", 1<<30
	for _, k := range known {
		if n := distance(strings.ToLower(word), strings.ToLower(k)); n < at {
			best, at = k, n
		}
	}
	if best == "" || at > max(1, min(len(word), len(best))/3) {
		return ""
	}
	return " (did you mean " + quote(best) + "?)"
}

// distance counts the letters to insert, drop, change or swap with their
// neighbour to make b of a (optimal string alignment).
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 1 << 20
	}
	before, last, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(last[j+1]+1, next[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, last, next = last, next, before
	}
	return last[len(b)]
}
