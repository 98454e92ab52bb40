package failpoints

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"weft/test/kernelroutes"

	"golang.org/x/sys/unix"
)

// stopping is how the daemon comes to some failpoints.
type stopping struct {
	name    string
	points  []string
	fresh   bool            // the next daemon attaches ports anew: their counters begin at 0
	start   string          // the command that comes there: prepare has ended the daemon; "": the daemon that runs
	prepare func(r *router) // nil: nothing
	begin   func(r *router) // makes the daemon that runs come there, and does not wait
	undo    func(r *router) // makes the kernel again what it was; nil: nothing
}

// stops has each failpoint once.
var stops = []stopping{{
	name: "first start", start: "run", fresh: true, prepare: stopped,
	points: []string{
		"lockOpened", "lockTaken", "daemonLocked", "imageMapMade", "stateMapsMade", "programLoaded",
		"pinsPartMade", "pinsImagePinned", "pinsStatePinned", "pinsCreated", "tracepointAttached", "tracepointPinned",
		"daemonEngine", "fibCreated", "daemonImage", "followerSubscribed", "socketMade", "daemonListens",
		"syncLinks", "syncDumped", "ribSwept", "ribLoadBegun", "fibLoadRecorded", "fibLoadBuilt", "ribLoaded",
		"portsStart", "portTake", "portTaken", "attachEntered", "attachLinked", "egressTried", "attachOpened", "linkPinning",
		"attachPinned", "daemonReady", "daemonForwards",
	},
}, {
	name: "take over", start: "run", prepare: (*router).kill,
	points: []string{
		"pinsOpened", "adoptLinks", "adoptEntries", "adoptUpdate", "linkUpdated", "fibOpenSurveyed", "fibOpenAdopted",
		"syncBegun", "followerPortsChanged", "fibReplaceBegun", "fibReplaceCame", "syncEnded", "syncRelease",
	},
}, {
	name: "take over beside", start: "run",
	points: []string{"takeOverBegun", "takeOverCurrent", "takeOverLinked", "takeOverSwept"},
	prepare: func(r *router) { // a map is missing: all are made anew
		r.kill()
		r.Pins(func(dir string) {
			if err := os.Remove(filepath.Join(dir, "current", "trace")); err != nil {
				r.Fatal(err)
			}
		})
	},
}, {
	name: "route comes", points: []string{"followerPublish", "fibInsertPainted", "fibInsertRecorded", "fibPublish"},
	begin: func(r *router) { r.IP("r1", "route add 10.200.0.0/24 via 10.2.0.7") },
	undo:  func(r *router) { r.IP("r1", "route del 10.200.0.0/24") },
}, {
	name: "route goes", points: []string{"fibDeletePainted", "fibDeleteRecorded", "fibGroupDeleted", "fibAdjacencyDeleted"},
	prepare: func(r *router) { r.IP("r1", "route add 10.200.0.0/24 via 10.2.0.7"); r.CatchUp() },
	begin:   func(r *router) { r.IP("r1", "route del 10.200.0.0/24") },
}, {
	name: "group changes", points: []string{"fibBucketsWritten", "fibGroupWritten", "fibGroupStored"},
	begin: func(r *router) { r.IP("r1", "nexthop replace id 60 group 50,3/51,2") },
	undo:  func(r *router) { r.IP("r1", "nexthop replace id 60 group 50/51") },
}, {
	name: "neighbor changes", points: []string{"fibAdjacencyWritten", "fibAdjacencyStored"},
	prepare: func(r *router) { r.neighbor(1); r.IP("r1", "route add 10.200.0.0/24 via 10.2.0.7"); r.CatchUp() },
	begin:   func(r *router) { r.neighbor(2) },
	undo: func(r *router) {
		r.IP("r1", "route del 10.200.0.0/24")
		r.IP("r1", "neigh del 10.2.0.7 dev to-h2")
	},
}, {
	name: "neighbor is idle", points: []string{"followerRefresh"},
	begin: func(r *router) { r.IP("r1", "neigh change 10.2.0.2 dev to-h2 nud stale") },
}, {
	name: "many routes come", prepare: func(r *router) { stopped(r); r.run(); r.Before = r.Accounts() },
	points: []string{"fibPageCleared", "fibTableCopied", "fibTableMoved", "fibReshape", "fibPeriodBegun"},
	begin:  func(r *router) { r.fill(4000) },
	undo:   (*router).empty,
}, {
	name: "image grows", prepare: func(r *router) { stopped(r); r.run(); r.Before = r.Accounts() },
	points: []string{
		"growMade", "fibCopyExtended", "growCopied", "imageNextPinned", "imageSwapped", "imageReplaced", "growReplaced", "ribGrown",
	},
	begin: func(r *router) { r.fill(40000) },
	undo:  (*router).empty,
}, {
	name: "program changes", points: []string{"swapLoaded", "swapUpdated"},
	begin: (*router).later, // whose peer leaves checksums to hardware
	undo: func(r *router) {
		id := r.Status().Program.ID
		r.IP("r1", "link del later")
		r.Until("the program is the one without", func() bool { return r.Status().Program.ID != id })
	},
}, {
	name: "port takes nothing", points: []string{"egressClose"},
	begin: (*router).later,
	undo:  func(r *router) { r.IP("r1", "link del later") },
}, {
	name: "port goes", points: []string{"portRelease", "removeBegun", "detachUnpinned", "forgetEntered", "forgetCleared", "portReleased"},
	prepare: func(r *router) {
		r.later()
		r.Until("later is a port", func() bool { return r.Ports()["later"].Mode == "native" })
	},
	begin: func(r *router) {
		for _, family := range []string{"ipv4", "ipv6"} {
			r.Sysctl("r1", "net."+family+".conf.later.forwarding", "0")
		}
	},
	undo: func(r *router) { r.IP("r1", "link del later") },
}, {
	// By it packets leave: what has come in by a loop's port is lost with the loop.
	name: "port changes its engine", points: []string{"portSwitch", "portSwitched"},
	begin: func(r *router) {
		if _, err := r.Lab.Start("r1", r.weft, "ports", "set", "to-h2", "engine", "soft"); err != nil {
			r.Fatal(err)
		}
	},
}, {
	name: "end", fresh: true, points: []string{"leaveBegun", "leaveStop", "stopDetached", "pinsRemove", "lockRelease"},
	begin: func(r *router) {
		if err := r.Daemon.Signal(unix.SIGINT); err != nil {
			r.Fatal(err)
		}
	},
}, {
	name: "end of what was left", start: "stop", fresh: true, prepare: (*router).kill,
	points: []string{"leftLocked", "pinsMoved", "leftRemoved"},
}}

// stopped ends the daemon, and the router is Linux's.
func stopped(r *router) {
	r.Helper()
	if o := r.Weft("stop"); o.Code != 0 {
		r.Fatalf("weft stop: exit code %d\n%s", o.Code, o.Stderr)
	}
	if code := r.Ended(); code != 0 {
		r.Fatalf("weft ended with code %d\n%s", code, r.DaemonLog())
	}
}

// neighbor gives a host that there is not an address.
func (r *router) neighbor(n int) {
	r.Helper()
	r.IP("r1", fmt.Sprintf("neigh replace 10.2.0.7 lladdr 02:00:00:00:07:%02x dev to-h2 nud permanent", n))
}

// later makes an interface that is a port, and whose peer takes nothing from XDP.
func (r *router) later() {
	r.Helper()
	r.IP("r1", "link add later type veth peer name later netns "+r.Lab.Namespace("h3"))
	r.Command("h3", "ip", "link", "set", "later", "up")
	r.IP("r1", "link set later up")
}

// empty removes what fill has added.
func (r *router) empty() {
	r.Helper()
	r.IP("r1", "nexthop del id 2") // and the routes
	r.IP("r1", "nexthop del id 1")
}

// fill adds routes via h2 and does not wait for weft.
func (r *router) fill(routes int) {
	r.Helper()
	prefixes, hops := make([]netip.Prefix, routes), make([]uint32, routes)
	for i := range prefixes {
		prefixes[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{20 + byte(i>>15), byte(i >> 7), byte(i << 1), 0}), 24)
		hops[i] = 2
	}
	ifindex := r.Link("r1", "to-h2").Attrs().Index
	err := r.Lab.In("r1", func() error {
		return kernelroutes.Add(r.Context(), ifindex, prefixes, hops, netip.MustParseAddr("10.2.0.0"))
	})
	if err != nil {
		r.Fatal(err)
	}
}
