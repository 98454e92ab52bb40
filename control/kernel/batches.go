package kernel

// Batches collects n changes, sends them as often as it takes, and hands on the
// answer to each: nil or a *Refused. Those behind an error are not answered.
//
// Errors: see Flush.
func (w *Writer) Batches(n int, change func(i int), answered func(i int, err error)) error {
	first := 0
	for i := range n {
		change(i)
		if !w.IsFull() && i < n-1 {
			continue
		}
		results, err := w.Flush()
		if err != nil {
			return err
		}
		for j, err := range results {
			answered(first+j, err)
		}
		first = i + 1
	}
	return nil
}
