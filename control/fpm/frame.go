package fpm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrFrame: what the peer sent is not a frame of netlink messages.
var ErrFrame = errors.New("not a frame of netlink messages")

// Of fpm/fpm.h in FRR.
const (
	version     = 1
	typeNetlink = 1
	typeProto   = 2 // protobuf
	frameHeader = 4 // version, type, length of the frame in 16 bits, big-endian
	maxFrame    = 1<<16 - 1
)

const (
	messageHeader = 16 // struct nlmsghdr
	messageAlign  = 4
)

// message is a netlink message in a frame.
type message struct {
	kind    uint16 // RTM_*
	payload []byte
}

// reader reads frames. What it returns is valid until the next call.
type reader struct {
	from     io.Reader
	buffer   [maxFrame]byte
	messages []message
}

// next returns the messages of the next frame.
//
// Errors: io.EOF between two frames; ErrFrame; those of the connection.
func (r *reader) next() ([]message, error) {
	header := r.buffer[:frameHeader]
	if _, err := io.ReadFull(r.from, header); err != nil {
		return nil, err
	}
	n, err := frameLength(header)
	if err != nil {
		return nil, err
	}
	payload := r.buffer[frameHeader:n]
	if _, err := io.ReadFull(r.from, payload); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read frame of %d bytes: %w", n, err)
	}
	r.messages, err = split(r.messages[:0], payload)
	return r.messages, err
}

// frameLength checks the header of a frame, as fpm_msg_hdr_ok does.
func frameLength(header []byte) (int, error) {
	n := int(binary.BigEndian.Uint16(header[2:]))
	switch {
	case header[0] != version:
		return 0, fmt.Errorf("%w: version %d, want %d", ErrFrame, header[0], version)
	case header[1] == typeProto:
		return 0, fmt.Errorf("%w: it is of protobuf: start zebra with '-M dplane_fpm_nl'", ErrFrame)
	case header[1] != typeNetlink:
		return 0, fmt.Errorf("%w: type %d, want %d", ErrFrame, header[1], typeNetlink)
	case n < frameHeader+messageHeader:
		return 0, fmt.Errorf("%w: %d bytes, want at least %d", ErrFrame, n, frameHeader+messageHeader)
	case n%messageAlign != 0:
		return 0, fmt.Errorf("%w: %d bytes, which is no multiple of %d", ErrFrame, n, messageAlign)
	}
	return n, nil
}

// split appends the messages of a frame, whose length is aligned.
func split(to []message, b []byte) ([]message, error) {
	for len(b) > 0 {
		if len(b) < messageHeader {
			return nil, fmt.Errorf("%w: %d bytes where a message should be", ErrFrame, len(b))
		}
		n := uint64(binary.NativeEndian.Uint32(b))
		if n < messageHeader || n > uint64(len(b)) {
			return nil, fmt.Errorf("%w: message of %d bytes in %d", ErrFrame, n, len(b))
		}
		to = append(to, message{binary.NativeEndian.Uint16(b[4:]), b[messageHeader:n]})
		b = b[(n+messageAlign-1)&^(messageAlign-1):]
	}
	return to, nil
}
