package main

import (
	"context"
	"encoding/hex"

	"google.golang.org/grpc"

	"weft/control/api"
)

// tracedFrame is a UDP packet of 192.0.2.9 to 10.1.2.3.
func tracedFrame(ttl byte) []byte {
	b, err := hex.DecodeString("020000000001020000000002080045000024000040004011000" + "0c00002090a0102039c400035001000007765667421000000")
	if err != nil {
		panic(err)
	}
	b[22] = ttl
	return b
}

func fakePacket(engine string) *api.CapturedPacket {
	return &api.CapturedPacket{
		Time: began.UnixNano(), Engine: engine, Dev: "eth0", Root: "eth0", Frame: tracedFrame(64), Bytes: 50, Verdict: "forward", Reason: "forwarded",
		Egress: "veth1", EgressRoot: "veth1", Sent: tracedFrame(63), SentBytes: 50, Group: 5, Adjacency: 7,
	}
}

func fakeDecision(engine string) *api.LookupReply {
	return &api.LookupReply{
		Verdict: "forward", Reason: "forwarded", Prefix: "10.1.0.0/16", Route: &api.Route{Source: "kernel"}, Group: 5, GroupKind: "forward", Members: 1,
		Adjacency: 7, Gateway: "192.0.2.1", Dev: "veth1", Lladdr: "02:00:00:00:00:01", Mtu: 1500, Iif: "eth0", Engine: engine, Mode: "native", Generation: 4182,
	}
}

func (f *fake) ShowTraces(_ *api.ShowTracesRequest, stream grpc.ServerStreamingServer[api.Traces]) error {
	if f.noPorts {
		return stream.Send(&api.Traces{})
	}
	expired := &api.TracedPacket{Trace: 2, Packet: fakePacket("soft"), Decision: fakeDecision("soft")}
	expired.Packet.Frame = tracedFrame(1)
	expired.Packet.Egress, expired.Packet.EgressRoot, expired.Packet.Sent, expired.Packet.SentBytes = "", "", nil, 0
	for _, s := range []*string{&expired.Packet.Reason, &expired.Decision.Reason} {
		*s = "ttl_value_is_too_small"
	}
	for _, s := range []*string{&expired.Packet.Verdict, &expired.Decision.Verdict} {
		*s = "punt"
	}
	expired.Packet.Loop = &api.LoopSteps{Slow: true, Partial: true, Tags: 1, Fates: []string{"answered"}, Sent: []*api.SentFrame{{Dev: "eth0", Frame: tracedFrame(64)}}}
	return stream.Send(&api.Traces{
		Traces: []*api.Trace{
			{Id: 1, Request: &api.TraceRequest{Filter: "udp port 53", Count: 1}, Packets: 1, Added: began.UnixNano()},
			{Id: 2, Request: &api.TraceRequest{Count: 10, Verdicts: []string{"punt"}, Dev: "eth0"}, Packets: 1, Lost: 3, Active: true, Added: began.UnixNano()},
		},
		Packets: []*api.TracedPacket{{Trace: 1, Packet: fakePacket("xdp"), Decision: fakeDecision("xdp")}, expired},
	})
}

func (f *fake) AddTrace(context.Context, *api.TraceRequest) (*api.AddTraceReply, error) {
	return &api.AddTraceReply{Id: 3}, f.err
}

func (f *fake) ClearTraces(context.Context, *api.ClearTracesRequest) (*api.ClearTracesReply, error) {
	return &api.ClearTracesReply{Traces: 2}, f.err
}

func (f *fake) Capture(_ *api.TraceRequest, stream grpc.ServerStreamingServer[api.Captured]) error {
	if err := stream.Send(&api.Captured{Ports: []string{"veth1", "eth0"}}); err != nil {
		return err
	}
	dropped := fakePacket("xdp")
	dropped.Verdict, dropped.Reason, dropped.Egress, dropped.Sent = "drop", "ipv4_checksum_wrong", "", nil
	return stream.Send(&api.Captured{Packets: []*api.CapturedPacket{fakePacket("soft"), dropped}, Lost: 7})
}
