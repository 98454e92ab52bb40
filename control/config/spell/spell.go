// Package spell finds the word that was probably meant.
package spell

import "strings"

// Nearest returns the word that few changes make of another, "" if none is near.
func Nearest(word string, words []string) string {
	best, least := "", 1+len(word)/3
	for _, w := range words {
		d := distance(word, w)
		if strings.HasPrefix(w, word) && len(word) > 2 {
			d = 0
		}
		if d <= least && (best == "" || d < least) {
			best, least = w, d
		}
	}
	return best
}

// longest is what a word may have at most to be compared: the table is square.
const longest = 64

// distance counts the letters to insert, remove, replace or swap with the next
// to make b of a.
func distance(a, b string) int {
	if len(a) > longest || len(b) > longest {
		return max(len(a), len(b))
	}
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := d[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, replace)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
