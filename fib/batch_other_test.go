//go:build !amd64

package fib

func withoutAVX512(f func()) { f() }
