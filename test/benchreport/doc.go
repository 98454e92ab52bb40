// Package benchreport is what the bench programs say in the end: figures, how they compare, which goals they meet, and
// where they were taken.
//
// A Samples has one value for each round and row. A row's figure is the median of its rounds; a ratio of two rows is the
// median of the rounds' ratios, so rows that are compared must be measured in turns.
package benchreport
