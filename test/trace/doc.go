// Package trace tests that packets can be looked at on their way: by traces and captures of a
// router whose ports one of the engines has, without a packet lost.
package trace
