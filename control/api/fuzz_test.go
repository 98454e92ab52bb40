package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// raw sends bytes as they are, and takes what comes.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (raw) Unmarshal(b []byte, v any) error { *v.(*[]byte) = bytes.Clone(b); return nil }

// requests are those of the methods, which streams are asked by, and answers.
var requests = map[string]func() proto.Message{
	"GetStatus": func() proto.Message { return new(StatusRequest) }, "ListPorts": func() proto.Message { return new(PortsRequest) },
	"ListRoutes": func() proto.Message { return new(RoutesRequest) }, "ListNeighbors": func() proto.Message { return new(NeighborsRequest) },
	"ListGroups": func() proto.Message { return new(GroupsRequest) }, "Lookup": func() proto.Message { return new(LookupRequest) },
	"Monitor": func() proto.Message { return new(MonitorRequest) }, "Verify": func() proto.Message { return new(VerifyRequest) },
	"Stop": func() proto.Message { return new(StopRequest) }, "GetConfig": func() proto.Message { return new(GetConfigRequest) },
	"PlanConfig": func() proto.Message { return new(PlanConfigRequest) }, "ApplyConfig": func() proto.Message { return new(ApplyConfigRequest) },
	"ConfirmConfig": func() proto.Message { return new(ConfirmConfigRequest) }, "RollbackConfig": func() proto.Message { return new(RollbackConfigRequest) },
	"ListBGPNeighbors": func() proto.Message { return new(BGPNeighborsRequest) }, "ListBGPPaths": func() proto.Message { return new(BGPPathsRequest) },
	"ClearBGP":        func() proto.Message { return new(ClearBGPRequest) },
	"SetPorts":        func() proto.Message { return new(SetPortsRequest) },
	"ListGenerations": func() proto.Message { return new(GenerationsRequest) }, "ChangeRoute": func() proto.Message { return new(ChangeRouteRequest) },
}

// FuzzRequests sends anything to every method of a daemon that forwards. It goes on, and answers with a status that says whose
// fault it is: Internal and Unknown are for daemons that are broken, or for bytes that are no request.
func FuzzRequests(f *testing.F) {
	w := serve(f, 1<<20, nil)
	stopped := make(chan struct{})
	close(stopped)
	w.config.Stop, w.config.Stopped = func() {}, stopped // it answers, and goes on
	w.config.Configuration, w.config.BGP = configStore(f, &taken{}), &fakeBGP{paths: 3}
	conn, err := grpc.NewClient("unix://"+w.socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { conn.Close() })
	var methods []string
	for _, m := range Router_ServiceDesc.Methods {
		methods = append(methods, m.MethodName)
	}
	for _, s := range Router_ServiceDesc.Streams {
		methods = append(methods, s.StreamName)
	}
	for i, m := range methods {
		if requests[m] == nil {
			f.Fatalf("what does %s take?", m)
		}
		f.Add(uint8(i), []byte{})
		f.Add(uint8(i), []byte{0xff})
	}
	vrf := uint32(7)
	for m, q := range map[string][]proto.Message{
		"Lookup": {
			&LookupRequest{Dst: "10.0.2.9", Src: "10.0.1.2", Iif: "port1", Protocol: 6, Sport: 1, Dport: 2, Ttl: 3, Length: 1500},
			&LookupRequest{Dst: "2001:db8:2::9", Length: 9000}, &LookupRequest{Dst: "::ffff:10.0.2.9", Src: "fe80::1%port1"}, &LookupRequest{Dst: "10.0.2.9", Ttl: 256},
		},
		"ListRoutes": {
			&RoutesRequest{Family: 4, Prefix: "10.0.0.0/8", Vrf: &vrf, Dev: "port1", Protocol: "kernel", Type: "unicast", All: true, Limit: 1},
			&RoutesRequest{Prefix: "10.0.0.1/8", Exact: true}, &RoutesRequest{Family: 5}, &RoutesRequest{All: true, Limit: 1 << 63},
		},
		"ListGroups": {&GroupsRequest{Id: 1}, &GroupsRequest{Id: 1<<32 - 1}},
		"ApplyConfig": {
			&ApplyConfigRequest{Text: "version: 1\nroutes: [{prefix: 10.9.0.0/16, type: blackhole}]", File: "f", Confirm: 1e12}, &ApplyConfigRequest{Text: "version: 1"},
		},
		"ChangeRoute": {
			&ChangeRouteRequest{Op: "add", Prefix: "10.9.1.0/24", Nexthops: []*NextHop{{Gateway: "10.0.1.2", Dev: "port1", Weight: 3}}, Preference: 9, Table: 7},
			&ChangeRouteRequest{Op: "del", Prefix: "10.9.1.0/24"}, &ChangeRouteRequest{Op: "replace", Prefix: "::/0", Type: "prohibit", Vrf: "blue"},
		},
		"SetPorts":       {&SetPortsRequest{Match: []string{"port1", "port*"}, Engine: "soft"}, &SetPortsRequest{Match: []string{"["}, Engine: "x"}, &SetPortsRequest{}},
		"RollbackConfig": {&RollbackConfigRequest{Changes: 1}},
		"Monitor":        {&MonitorRequest{Kinds: []string{"link", "route"}}, &MonitorRequest{Kinds: []string{"", "x"}}},
	} {
		for _, q := range q {
			b, err := proto.Marshal(q)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(slices.Index(methods, m)), b)
		}
	}
	f.Fuzz(func(t *testing.T, number uint8, b []byte) {
		method := methods[int(number)%len(methods)]
		err := ask(conn, method, b)
		code := status.Code(err)
		isRequest := proto.Unmarshal(b, requests[method]()) == nil
		switch {
		case !isRequest && code != codes.Internal:
			t.Errorf("%s: what is no request is answered: %v", method, err)
		case isRequest && !slices.Contains([]codes.Code{codes.OK, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.Aborted}, code):
			t.Errorf("%s: %v", method, err)
		}
		if err := ask(conn, "GetStatus", nil); err != nil {
			t.Errorf("behind %s: %v", method, err)
		}
	})
}

// ask calls a method, and leaves a stream when it has said the first thing.
func ask(conn *grpc.ClientConn, method string, b []byte) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/weft.v1.Router/"+method)
	if err == nil {
		err = stream.SendMsg(&b)
	}
	if err == nil {
		err = stream.CloseSend()
	}
	if header, headerErr := stream.Header(); err == nil && method == "Monitor" && headerErr == nil && header != nil {
		return nil // it listens
	}
	for err == nil {
		var answer []byte
		err = stream.RecvMsg(&answer)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
