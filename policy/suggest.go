package policy

import "strings"

// suggestion gives the end of a message about a word that is not one of
// those known: the one that was probably meant, or the whole choice where it
// is small.
func suggestion(word string, known []string) string {
	best, at := "", 1<<30
	for _, k := range known {
		if n := distance(strings.ToLower(word), strings.ToLower(k)); n < at {
			best, at = k, n
		}
	}
	switch {
	case best != "" && at <= max(1, min(len(word), len(best))/3):
		return "; did you mean " + best + "?"
	case len(known) > 0 && len(known) <= 14:
		return "; there are " + strings.Join(known, ", ")
	}
	return ""
}

// distance counts the letters to insert, drop or change to make b of a.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 1 << 20
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
