package fib

func withoutAVX512(f func()) {
	defer func(have bool) { haveAVX512 = have }(haveAVX512)
	haveAVX512 = false
	f()
}
