//go:build !amd64

package fib

func (im *Image) lanes4(uint32, []uint32, []GroupID) int { return 0 }
func (im *Image) lanes6(uint32, []Addr6, []GroupID) int  { return 0 }
