package main

import (
	"fmt"
	"time"

	"weft/control/api"
)

// rereading says that all of the kernel's tables are read again, and why.
type rereading struct {
	State   string `json:"state"` // "running", "pending"
	Why     string `json:"why"`
	Since   string `json:"since"`
	Seconds int64  `json:"seconds"`

	age time.Duration
}

func (e *env) newRereading(r *api.Rereading) *rereading {
	if r == nil {
		return nil
	}
	age := e.now().Sub(time.Unix(0, r.GetSince()))
	out := &rereading{State: "pending", Why: r.GetWhy(), Since: e.stamp(r.GetSince()), Seconds: int64(age.Seconds()), age: age}
	if r.GetRunning() {
		out.State = "running"
	}
	return out
}

func (r *rereading) String() string {
	begun := "all again soon, due for"
	if r.State == "running" {
		begun = "all again, for"
	}
	return fmt.Sprintf("%s %s: %s", begun, short(r.age), r.Why)
}
