package store

import (
	"fmt"

	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// segments opens the files of raft's log. raft-wal 0.4.0 marks a segment that lost its end to a
// new leader as sealed without having written the index by which it finds entries in sealed
// segments (hashicorp/raft-wal#31): the entries are there, and such a log could not be opened
// again. Here the index of such a segment is made anew by reading it through, as is done
// for an unsealed one.
type segments struct{ types.SegmentFiler }

// newSegments is for the segments in a directory.
func newSegments(dir string) segments { return segments{segment.NewFiler(dir, fs.New())} }

// Open opens a sealed segment for reading.
func (s segments) Open(info types.SegmentInfo) (types.SegmentReader, error) {
	if info.IndexStart != 0 {
		return s.SegmentFiler.Open(info)
	}
	w, err := s.RecoverTail(info)
	if err != nil {
		return nil, fmt.Errorf("read segment from index %d through: %w", info.BaseIndex, err)
	}
	if last := w.LastIndex(); last < info.MaxIndex {
		w.Close()
		return nil, fmt.Errorf("%w: segment from index %d ends at %d, not at %d", types.ErrCorrupt, info.BaseIndex, last, info.MaxIndex)
	}
	return cutSegment{w, info.MaxIndex}, nil
}

// cutSegment is a segment whose entries after max were taken back.
type cutSegment struct {
	types.SegmentReader
	max uint64
}

// GetLog gives the raw entry; types.ErrNotFound: it is not in this segment.
func (c cutSegment) GetLog(index uint64) (*types.PooledBuffer, error) {
	if index > c.max {
		return nil, types.ErrNotFound
	}
	return c.SegmentReader.GetLog(index)
}
