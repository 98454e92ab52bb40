// Package kernelroutes puts routing tables into the kernel, fast enough for the Internet's.
package kernelroutes
