// Package api is what client and daemon say to each other: weft.proto, served
// with gRPC over a unix socket. Server answers from a Follower, its ports and an
// engine; Dial is the client's end.
//
// The socket lies in Directory and has the name of the network namespace's
// inode: one daemon for each namespace. Its mode is 0660: who may open it may
// ask, and stop.
//
// Messages keep their field numbers for good; what a client does not know it
// skips.
package api

//go:generate sh -c "protoc --plugin=protoc-gen-go=$(go tool -n protoc-gen-go) --plugin=protoc-gen-go-grpc=$(go tool -n protoc-gen-go-grpc) --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative weft.proto"
