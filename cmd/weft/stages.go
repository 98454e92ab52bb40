package main

import (
	"context"
	"fmt"
)

// stage is a line of 'weft stats --stages'.
type stage struct {
	Stage     string  `json:"stage"`
	Calls     uint64  `json:"calls"`
	Packets   uint64  `json:"packets"`
	PerCall   float64 `json:"packets_per_call"`
	PerPacket float64 `json:"ns_per_packet"`
}

func (e *env) stages(ctx context.Context) error {
	reply, err := e.askPorts(ctx)
	if err != nil {
		return err
	}
	if len(reply.GetStages()) == 0 {
		return fail(codeNotFound, "no port has the soft engine", "'weft ports set DEV engine soft' gives it one")
	}
	all := []stage{}
	for _, s := range reply.GetStages() {
		one := stage{Stage: s.GetName(), Calls: s.GetCalls(), Packets: s.GetPackets()}
		if one.Calls > 0 && one.Packets > 0 {
			one.PerCall = float64(one.Packets) / float64(one.Calls)
			one.PerPacket = float64(s.GetNanoseconds()) / float64(one.Packets)
		}
		all = append(all, one)
	}
	if e.json {
		return e.printJSON(all)
	}
	t := newTable(e.stdout)
	fmt.Fprintln(t, "STAGE\tCALLS\tPACKETS\tPACKETS/CALL\tNS/PACKET")
	for _, s := range all {
		fmt.Fprintf(t, "%s\t%d\t%d\t%.1f\t%.1f\n", s.Stage, s.Calls, s.Packets, s.PerCall, s.PerPacket)
	}
	return t.Flush()
}
