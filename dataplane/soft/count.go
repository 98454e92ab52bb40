package soft

import (
	"sync/atomic"

	"weft/dataplane"
)

// counter has one writer and any readers.
type counter struct{ packets, bytes atomic.Uint64 }

func (c *counter) add(packets, bytes uint64) {
	c.packets.Store(c.packets.Load() + packets)
	c.bytes.Store(c.bytes.Load() + bytes)
}

func (c *counter) read() dataplane.Counter {
	return dataplane.Counter{Packets: c.packets.Load(), Bytes: c.bytes.Load()}
}

// counters is what came in by one port.
type counters [dataplane.NumReasons]counter

func (c *counters) read() (all dataplane.Counters) {
	for r := range c {
		all[r] = c[r].read()
	}
	return all
}

// count counts each packet of the vector, once, for the port that it came in by and the
// reason that it ended for. This is the only place that does.
func (w *Worker) count() {
	v := &w.v
	var packets, bytes uint64
	port := v.packets[0].Port
	for i := range v.n {
		i := uint8(i)
		if p := v.packets[i].Port; p != port {
			w.counters[port].Load()[dataplane.Forwarded].addSome(packets, bytes)
			packets, bytes, port = 0, 0, p
		}
		if r := v.reason[i]; r != dataplane.Forwarded {
			if v.flags[i]&uncounted != 0 {
				continue
			}
			w.counters[port].Load()[r].add(1, uint64(v.bytes[i]))
			continue
		}
		packets++
		bytes += uint64(v.bytes[i])
	}
	w.counters[port].Load()[dataplane.Forwarded].addSome(packets, bytes)
}

func (c *counter) addSome(packets, bytes uint64) {
	if packets > 0 {
		c.add(packets, bytes)
	}
}
