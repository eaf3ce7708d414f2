package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"berth/store/command"
	"berth/store/state"
)

// The change stream is a sequence of frames: 4 bytes of length, one type byte, msgpack. A
// follower gets a hello, then either a snapshot (records, then end) or, when it could resume,
// none, then deltas and heartbeats for ever.
const (
	frameHello     = 1
	frameRecords   = 2
	frameEnd       = 3
	frameDeltas    = 4
	frameHeartbeat = 5
)

const (
	streamVersion = 1
	maxFrame      = 64 << 20
	recordsPer    = 256 // snapshot records in one frame
)

// hello starts a stream. Resumed: what the follower has is kept, and the frames after Seq follow.
type hello struct {
	Version int
	Feed    string // the stream can be resumed while the server's feed has this ID
	Resumed bool
	Seq     uint64
}

// records are a piece of a snapshot.
type records struct{ Records []state.Record }

// endRecords ends a snapshot, which is the state at Index.
type endRecords struct {
	Index uint64
	Seq   uint64
	Mark  uint64 // of the log's entry at Index: servers with the same one there have the same state
}

// deltas are the changes up to Index.
type deltas struct {
	Index  uint64
	Seq    uint64
	Mark   uint64
	Deltas []state.Delta
}

// heartbeat says that the server lives, how current it is, and who leads.
type heartbeat struct {
	Index  uint64
	Leader string
	Lag    time.Duration
}

// encodeFrame gives a whole frame.
func encodeFrame(kind byte, v any) ([]byte, error) {
	var enc command.Encoder
	b, err := enc.Value(kind, v)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 4, 4+len(b))
	binary.BigEndian.PutUint32(out, uint32(len(b)))
	return append(out, b...), nil
}

var errFrame = errors.New("change stream: frame of impossible length")

// readFrame reads one frame into buf, which it may replace, and returns its type and payload.
func readFrame(r io.Reader, buf []byte) (kind byte, payload, next []byte, err error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, buf, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 1 || n > maxFrame {
		return 0, nil, buf, errFrame
	}
	if cap(buf) < int(n) {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(r, buf); err != nil {
		return 0, nil, buf, fmt.Errorf("change stream: %w", err)
	}
	return buf[0], buf[1:], buf, nil
}
