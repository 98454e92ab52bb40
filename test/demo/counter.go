package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"weft/test/lab"
)

// counter reads one number of a node's kernel, over and over.
type counter struct {
	file *os.File
	find func(text []byte) ([]byte, error)
}

// openCounter opens a file of /proc/net. The file stays that of the namespace it was opened in.
func openCounter(l *lab.Lab, node, name string, find func([]byte) ([]byte, error)) (*counter, error) {
	c := &counter{find: find}
	err := l.In(node, func() (err error) {
		c.file, err = os.Open("/proc/thread-self/net/" + name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (c *counter) value() (uint64, error) {
	b := make([]byte, 16<<10)
	n, err := c.file.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("read counters of the kernel: %w", err)
	}
	field, err := c.find(b[:n])
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", c.file.Name(), err)
	}
	return strconv.ParseUint(string(field), 10, 64)
}

// linuxForwarded finds ipSystemStatsOutForwDatagrams of RFC 4293, for IPv4, in /proc/net/snmp.
func linuxForwarded(text []byte) ([]byte, error) {
	var names [][]byte
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) == 0 || string(fields[0]) != "Ip:" {
			continue
		}
		for i, name := range names {
			if string(name) == "ForwDatagrams" && i < len(fields) {
				return fields[i], nil
			}
		}
		names = fields // the first line has the names, the second the numbers
	}
	return nil, errors.New("no ForwDatagrams")
}

// refusedFrames finds how many frames eth0 did not take, in /proc/net/dev: there was no room at the link's other end.
func refusedFrames(text []byte) ([]byte, error) {
	for line := range bytes.Lines(text) {
		if fields := bytes.Fields(line); len(fields) > 12 && string(fields[0]) == "eth0:" {
			return fields[12], nil
		}
	}
	return nil, errors.New("no eth0")
}
