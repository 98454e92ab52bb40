// Package xsk receives and sends packets by AF_XDP.
package xsk
