package fsm

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"berth/store/command"
	"berth/store/state"

	"github.com/hashicorp/raft"
)

// A snapshot is the magic, then records: a type byte, the length of what follows as a uvarint,
// and the row in msgpack. The first record is the header, the last the trailer with the number
// of records between them and the CRC-32C of all bytes before it, so that a cut or damaged
// snapshot is noticed.
const (
	magic   = "berthsnp"
	version = 1

	// maxRecordBytes bounds what a damaged length can make the restore allocate; values of the
	// key/value store are at most some megabytes.
	maxRecordBytes = 256 << 20
)

// Types of records. Append only; those with the high bit (command.Ignorable) may be skipped by
// versions that do not know them.
const (
	recHeader     = 1
	recNode       = 2
	recService    = 3
	recCheck      = 4
	recSession    = 5
	recKV         = 6
	recTombstone  = 7
	recLockDelay  = 8
	recCoordinate = 9
	recQuery      = 10
	recAutopilot  = 11
	recIndex      = 12
	recTrailer    = 127
)

type header struct {
	Version int
	Index   uint64
}

type trailer struct {
	Records uint64
	CRC     uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Snapshot captures the state; it costs nothing until it is persisted.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) {
	return &snapshot{f.State().Read()}, nil
}

type snapshot struct{ r *state.Reader }

// Persist writes the snapshot to sink and closes it, or cancels it on an error.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	if err := Write(sink, s.r); err != nil {
		_ = sink.Cancel() // the first error says why
		return err
	}
	return sink.Close()
}

// Release does nothing: the memory goes with the last reference.
func (s *snapshot) Release() {}

// Write writes the state of r as a snapshot.
func Write(w io.Writer, r *state.Reader) error {
	buf := bufio.NewWriterSize(w, 256<<10)
	sum := crc32.New(castagnoli)
	rw := recordWriter{w: io.MultiWriter(buf, sum)}
	if _, err := io.WriteString(rw.w, magic); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	if err := rw.write(recHeader, header{Version: version, Index: r.Index()}); err != nil {
		return err
	}
	var records uint64
	for rec := range r.Records() {
		t, row := split(&rec)
		if err := rw.write(t, row); err != nil {
			return err
		}
		records++
	}
	if err := rw.write(recTrailer, trailer{Records: records, CRC: sum.Sum32()}); err != nil {
		return err
	}
	if err := buf.Flush(); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

type recordWriter struct {
	w   io.Writer
	enc command.Encoder
}

func (w *recordWriter) write(t byte, row any) error {
	b, err := w.enc.Value(t, row)
	if err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	head := binary.AppendUvarint([]byte{t}, uint64(len(b)-1))
	for _, part := range [][]byte{head, b[1:]} {
		if _, err := w.w.Write(part); err != nil {
			return fmt.Errorf("write snapshot: %w", err)
		}
	}
	return nil
}

func split(rec *state.Record) (byte, any) {
	switch {
	case rec.Node != nil:
		return recNode, rec.Node
	case rec.Service != nil:
		return recService, rec.Service
	case rec.Check != nil:
		return recCheck, rec.Check
	case rec.Session != nil:
		return recSession, rec.Session
	case rec.KV != nil:
		return recKV, rec.KV
	case rec.Tombstone != nil:
		return recTombstone, rec.Tombstone
	case rec.LockDelay != nil:
		return recLockDelay, rec.LockDelay
	case rec.Coordinate != nil:
		return recCoordinate, rec.Coordinate
	case rec.Query != nil:
		return recQuery, rec.Query
	case rec.Autopilot != nil:
		return recAutopilot, rec.Autopilot
	}
	return recIndex, rec.Index
}
