package fsm

import (
	"bufio"
	"fmt"
	"hash/crc32"
	"io"

	"berth"
)

// Row is one row of a snapshot.
type Row struct {
	Kind string // as users call it: Node, Service, Check, KVS, Session, ...
	Size int    // bytes in the file
	Key  string // of a KVS row
}

var kinds = map[byte]string{
	recNode: "Node", recService: "Service", recCheck: "Check", recSession: "Session", recKV: "KVS", recTombstone: "Tombstone",
	recLockDelay: "LockDelay", recCoordinate: "Coordinate", recQuery: "PreparedQuery", recAutopilot: "Autopilot", recIndex: "Index",
}

// Inspect reads a snapshot to its end and calls f for each row. Errors are as those of Read; it does
// not check that a state can be made of the rows.
func Inspect(r io.Reader, f func(Row)) error {
	rr := &recordReader{r: bufio.NewReaderSize(r, 256<<10), sum: crc32.New(castagnoli)}
	if _, err := rr.start(); err != nil {
		return err
	}
	for {
		sum := rr.sum.Sum32()
		t, body, err := rr.next()
		if err != nil {
			return err
		}
		if t == recTrailer {
			return rr.finish(body, sum)
		}
		row := Row{Kind: kinds[t], Size: len(body)}
		if row.Kind == "" {
			row.Kind = fmt.Sprintf("Type%d", t)
		}
		if t == recKV {
			var e berth.KVEntry
			if err := rr.dec.Value(body, &e); err != nil {
				return fmt.Errorf("%w: record %d: %w", ErrBadSnapshot, rr.records, err)
			}
			row.Key = e.Key
		}
		f(row)
		rr.records++
	}
}
