package soft

// lookup asks the FIB for the next-hop groups of all packets, a table at a time: the
// cache misses of one overlap with those of the others.
func (w *Worker) lookup() {
	four, six := &w.v.four, &w.v.six
	from := 0
	for i := range four.nRuns {
		r := &four.runs[i]
		r.table.LookupBatch4(four.dst[from:r.end], four.group[from:r.end])
		from = r.end
	}
	from = 0
	for i := range six.nRuns {
		r := &six.runs[i]
		r.table.LookupBatch6(six.dst[from:r.end], six.group[from:r.end])
		from = r.end
	}
}
