package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"weft/control/api"
)

// generations is what there is to go back to.
type generations struct {
	Running     uint64       `json:"running"`
	Pending     uint64       `json:"pending,omitempty"`
	Before      *uint64      `json:"before,omitempty"` // that comes back if Pending is not confirmed
	Left        float64      `json:"left_seconds,omitempty"`
	Generations []generation `json:"generations"`
}

type generation struct {
	Number  uint64 `json:"generation"`
	Time    string `json:"time"`
	UID     uint32 `json:"uid"`
	PID     int64  `json:"pid"`
	User    string `json:"user,omitempty"`
	Action  string `json:"action"`
	File    string `json:"file,omitempty"`
	Summary string `json:"changes"`
}

func (e *env) listGenerations(ctx context.Context) error {
	var m *api.Generations
	err := e.ask(ctx, func(ctx context.Context, c api.RouterClient) (err error) {
		m, err = c.ListGenerations(ctx, &api.GenerationsRequest{})
		return err
	})
	if err != nil {
		return err
	}
	g := &generations{Running: m.GetRunning(), Pending: m.GetPending(), Left: time.Duration(m.GetLeft()).Seconds(), Generations: []generation{}}
	if g.Pending != 0 {
		g.Before = new(m.GetBefore())
	}
	for _, one := range m.GetGenerations() {
		g.Generations = append(g.Generations, generation{
			one.GetNumber(), e.stamp(one.GetTime()), one.GetUid(), one.GetPid(), one.GetUser(), one.GetAction(), one.GetFile(), one.GetSummary(),
		})
	}
	if e.json {
		return e.printJSON(g)
	}
	return e.printGenerations(g)
}

func (e *env) printGenerations(g *generations) error {
	out := e.out()
	if len(g.Generations) == 0 {
		fmt.Fprintln(out, "no configuration has been applied")
		return out.Flush()
	}
	table := newTable(out)
	fmt.Fprintln(table, "GENERATION\tTIME\tUSER\tACTION\tFILE\tCHANGES\tSTATE")
	for _, one := range g.Generations {
		state, user, file := "-", one.User, one.File
		switch one.Number {
		case g.Pending:
			state = "in force for " + short(time.Duration(g.Left*float64(time.Second)).Round(time.Second)) + " unless confirmed"
		case g.Running:
			state = "in force"
		}
		if user == "" {
			user = strconv.FormatUint(uint64(one.UID), 10)
		}
		if file == "" {
			file = "-"
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", one.Number, one.Time[:len("2006-01-02T15:04:05")], user, one.Action, file, one.Summary, state)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return out.Flush()
}
