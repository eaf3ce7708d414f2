package fsm

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"berth"
	"berth/store/command"
	"berth/store/state"
)

// ErrBadSnapshot: what was read is not a whole, undamaged snapshot of a version that this
// server knows.
var ErrBadSnapshot = errors.New("not a valid snapshot")

// Restore replaces the state by a snapshot. When that cannot be read, the state stays as it
// was.
func (f *FSM) Restore(rc io.ReadCloser) error {
	defer rc.Close()
	st, err := Read(rc, f.onCommit)
	if err != nil {
		return err
	}
	old := f.store.Swap(st)
	old.Abandon()
	f.logger.Info("restored the state from a snapshot", "index", st.Index())
	if f.onCommit != nil {
		f.onCommit(state.Commit{Index: st.Index(), Changes: []berth.Change{{All: true}}})
	}
	return nil
}

// Read returns a new store with the state of a snapshot; onCommit is given to it. Every error
// is an ErrBadSnapshot or comes from r.
func Read(r io.Reader, onCommit func(state.Commit)) (*state.Store, error) {
	rr := &recordReader{r: bufio.NewReaderSize(r, 256<<10), sum: crc32.New(castagnoli)}
	index, err := rr.start()
	if err != nil {
		return nil, err
	}
	l := state.NewLoader(onCommit)
	for {
		sum := rr.sum.Sum32()
		t, body, err := rr.next()
		if err != nil {
			return nil, err
		}
		if t == recTrailer {
			if err := rr.finish(body, sum); err != nil {
				return nil, err
			}
			return l.Done(index), nil
		}
		if err := rr.add(l, t, body); err != nil {
			return nil, fmt.Errorf("%w: record %d: %w", ErrBadSnapshot, rr.records, err)
		}
		rr.records++
	}
}

type recordReader struct {
	r       *bufio.Reader
	sum     hash.Hash32
	dec     command.Decoder
	records uint64
	body    bytes.Buffer
}

// start reads up to the header and returns the state's index.
func (rr *recordReader) start() (uint64, error) {
	b := make([]byte, len(magic))
	if _, err := io.ReadFull(rr.r, b); err != nil {
		return 0, cut(err)
	}
	if string(b) != magic {
		return 0, fmt.Errorf("%w: it does not start with %q", ErrBadSnapshot, magic)
	}
	rr.sum.Write(b)
	t, body, err := rr.next()
	if err != nil {
		return 0, err
	}
	var h header
	if t != recHeader {
		return 0, fmt.Errorf("%w: it starts with a record of type %d instead of the header", ErrBadSnapshot, t)
	}
	if err := rr.dec.Value(body, &h); err != nil {
		return 0, fmt.Errorf("%w: header: %w", ErrBadSnapshot, err)
	}
	if h.Version != version {
		return 0, fmt.Errorf("%w: it has version %d, this server knows version %d; use a berth that wrote it", ErrBadSnapshot, h.Version, version)
	}
	return h.Index, nil
}

// next returns the next record; body is valid until the following call.
func (rr *recordReader) next() (t byte, body []byte, err error) {
	if t, err = rr.r.ReadByte(); err != nil {
		return 0, nil, cut(err)
	}
	n, err := binary.ReadUvarint(rr.r)
	if err != nil {
		return 0, nil, cut(err)
	}
	if n > maxRecordBytes {
		return 0, nil, fmt.Errorf("%w: record %d claims to have %d bytes", ErrBadSnapshot, rr.records, n)
	}
	rr.body.Reset()
	if _, err := io.CopyN(&rr.body, rr.r, int64(n)); err != nil {
		return 0, nil, cut(err)
	}
	rr.sum.Write(binary.AppendUvarint([]byte{t}, n))
	rr.sum.Write(rr.body.Bytes())
	return t, rr.body.Bytes(), nil
}

func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early", ErrBadSnapshot)
	}
	return fmt.Errorf("read snapshot: %w", err)
}

func (rr *recordReader) add(l *state.Loader, t byte, body []byte) error {
	rec, row := newRecord(t)
	if row == nil {
		if t&byte(command.Ignorable) != 0 {
			return nil
		}
		return fmt.Errorf("type %d is not known; use the berth that wrote the snapshot, or a newer one", t)
	}
	if err := rr.dec.Value(body, row); err != nil {
		return err
	}
	return l.Add(*rec)
}

// newRecord returns a record with an empty row of type t, and the row, nil for other types.
func newRecord(t byte) (rec *state.Record, row any) {
	rec = new(state.Record)
	switch t {
	case recNode:
		rec.Node = new(berth.Node)
	case recService:
		rec.Service = new(berth.ServiceInstance)
	case recCheck:
		rec.Check = new(berth.Check)
	case recSession:
		rec.Session = new(berth.Session)
	case recKV:
		rec.KV = new(berth.KVEntry)
	case recTombstone:
		rec.Tombstone = new(state.Tombstone)
	case recLockDelay:
		rec.LockDelay = new(state.LockDelay)
	case recCoordinate:
		rec.Coordinate = new(berth.NodeCoordinate)
	case recQuery:
		rec.Query = new(berth.PreparedQuery)
	case recAutopilot:
		rec.Autopilot = new(berth.AutopilotConfig)
	case recIndex:
		rec.Index = new(state.IndexRow)
	default:
		return nil, nil
	}
	_, row = split(rec)
	return rec, row
}

// finish checks the trailer and that nothing follows it. sum is that of all bytes before it.
func (rr *recordReader) finish(body []byte, sum uint32) error {
	var t trailer
	if err := rr.dec.Value(body, &t); err != nil {
		return fmt.Errorf("%w: trailer: %w", ErrBadSnapshot, err)
	}
	if t.Records != rr.records {
		return fmt.Errorf("%w: it has %d records, its trailer says %d", ErrBadSnapshot, rr.records, t.Records)
	}
	if t.CRC != sum {
		return fmt.Errorf("%w: its checksum does not match", ErrBadSnapshot)
	}
	if _, err := rr.r.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: there is something behind its end", ErrBadSnapshot)
	}
	return nil
}
