package main

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"weft/test/lab"
	"weft/test/traffic"
)

// flood is a rate: as many packets as go.
const flood = -1

// A flood is made of calls of the generator that take about callTime each: they cost some 25 ms besides.
const (
	firstCall = 1 << 17 // packets
	leastCall = 1 << 14
	mostCall  = 1 << 21
)

// stream is the traffic from h1 to h2. It counts where it can do so exactly: between two calls of the generator.
type stream struct {
	gen   *traffic.Generator
	sink  *traffic.Sink
	cores cores
	left  *counter // frames that h1's interface refused
	linux *counter // IPv4 packets that r1's kernel forwarded
	ended chan struct{}

	callTime      time.Duration
	refusedBefore uint64

	mu   sync.Mutex // guards what follows; held while packets are being made
	rate int        // packets a second; 0: none
	call int        // packets of the next call in a flood

	markMu sync.Mutex // guards what follows
	last   mark
	err    error
}

// mark is what was counted at one time.
type mark struct {
	at                    time.Time
	sent, arrived, kernel uint64 // kernel: packets that Linux forwarded, of all times
	cpu                   cpuTime
}

func newStream(l *lab.Lab, c cores, callTime time.Duration, s traffic.Spec, sink traffic.SinkOptions) (_ *stream, err error) {
	t := &stream{cores: c, call: firstCall, callTime: callTime, ended: make(chan struct{})}
	close(t.ended) // until start
	err = l.In("h2", func() (err error) {
		index, err := ifindex("eth0")
		if err == nil {
			t.sink, err = traffic.NewSink(index, sink)
		}
		return err
	})
	if err == nil {
		// A device map takes ifindexes of the namespace it is written in.
		err = l.In("h1", func() (err error) {
			if s.Ifindex, err = ifindex("eth0"); err == nil {
				t.gen, err = traffic.NewGenerator(s)
			}
			return err
		})
	}
	if err == nil {
		t.linux, err = openCounter(l, "r1", "snmp", linuxForwarded)
	}
	if err == nil {
		t.left, err = openCounter(l, "h1", "dev", refusedFrames)
	}
	if err == nil {
		t.refusedBefore, err = t.left.value()
	}
	if err == nil {
		err = t.mark()
	}
	if err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// start sends until ctx ends, at the rate that setRate said last.
func (t *stream) start(ctx context.Context) {
	t.ended = make(chan struct{})
	go func() {
		defer close(t.ended)
		runtime.LockOSThread() // never unlocked: the thread stays on its core and ends with the goroutine
		err := t.cores.takeTraffic()
		for begin, due := time.Now(), 0.0; err == nil && ctx.Err() == nil; {
			now := time.Now()
			due += now.Sub(begin).Seconds()
			begin = now
			var sent bool
			if sent, err = t.send(&due); err == nil {
				err = t.mark()
			}
			if !sent {
				time.Sleep(50 * time.Millisecond)
			}
		}
		t.markMu.Lock()
		defer t.markMu.Unlock()
		t.err = err
	}()
}

// send makes what is due since the last call: so many seconds at the rate, or a call of a flood. It tells whether more
// should follow at once.
func (t *stream) send(due *float64) (more bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := int(float64(t.rate) * *due)
	*due = 0
	if t.rate != flood {
		if n > 0 {
			_, err = t.gen.Send(n)
		}
		return false, err
	}
	begin := time.Now()
	_, err = t.gen.Send(t.call)
	t.call = int(float64(t.call) * float64(t.callTime) / float64(time.Since(begin)))
	t.call = min(max(t.call, leastCall), mostCall)
	return true, err
}

// setRate takes effect when it returns: nothing goes out at the rate before.
func (t *stream) setRate(rate int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rate, t.call = rate, firstCall
}

// mark counts. Nothing may be on its way.
func (t *stream) mark() error {
	c, err := t.sink.Counts()
	if err != nil {
		return err
	}
	m := mark{at: time.Now(), arrived: c.Packets}
	if m.kernel, err = t.linux.value(); err != nil {
		return err
	}
	refused, err := t.refused()
	if err != nil {
		return err
	}
	m.sent = t.gen.Sent() - refused
	if m.cpu, err = readCPU(t.cores.traffic); err != nil {
		return err
	}
	t.markMu.Lock()
	defer t.markMu.Unlock()
	t.last = m
	return nil
}

// counted returns the last mark, or why there are no more.
func (t *stream) counted() (mark, error) {
	t.markMu.Lock()
	defer t.markMu.Unlock()
	return t.last, t.err
}

// close ends the stream, whose ctx has ended.
func (t *stream) close() (err error) {
	<-t.ended
	if t.gen != nil {
		t.gen.Close()
	}
	if t.sink != nil {
		err = t.sink.Close()
	}
	for _, c := range []*counter{t.linux, t.left} {
		if c != nil {
			err = errors.Join(err, c.file.Close())
		}
	}
	return err
}

// refused returns how many packets never left h1: its interface had no room for them.
func (t *stream) refused() (uint64, error) {
	n, err := t.left.value()
	return n - t.refusedBefore, err
}
