// Package house tests that the tree is the house that the architecture says it
// is: which package may import which.
package house
