// Package router tests weft as its users meet it: the program, in network
// namespaces, between hosts (package star).
package router
