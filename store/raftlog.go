package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
)

// raftLog is the log and the stable store on disk. After a write that failed, which a full disk
// makes, the library's log takes no more writes: it is opened anew before the next one, as soon
// as there is room again, so that the server recovers without a restart.
type raftLog struct {
	dir     string
	segment int
	log     hclog.Logger

	fatal  func(error)   // called when an entry is damaged; does not return
	ending chan struct{} // closed when raft is about to end

	mu     sync.RWMutex // guards w, meta and failed; held for writing while they are opened anew
	w      *wal.WAL
	meta   *metadb.BoltMetaDB
	failed bool
}

var (
	_ raft.LogStore          = (*raftLog)(nil)
	_ raft.StableStore       = (*raftLog)(nil)
	_ raft.MonotonicLogStore = (*raftLog)(nil)
)

var errLogMissing = errors.New("the log's segments are missing though its metadata is there")

// openRaftLog opens the log in dir.
func openRaftLog(dir string, segment int, log hclog.Logger) (*raftLog, error) {
	l := &raftLog{dir: dir, segment: segment, log: log, fatal: func(err error) { panic(err) }, ending: make(chan struct{})}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("raft directory: %w", err)
	}
	err := l.complete()
	if err == nil {
		err = l.open()
	}
	if err != nil {
		return nil, fmt.Errorf("open raft log in %s: %w: the log is damaged or of another program; restore from a snapshot or remove the directory to rejoin empty", dir, err)
	}
	return l, nil
}

// complete refuses a directory whose segments were removed: the library would take it for an
// empty log, and the server would wait for ever for a cluster that it belongs to.
func (l *raftLog) complete() error {
	if _, err := os.Stat(filepath.Join(l.dir, metadb.FileName)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	segments, err := filepath.Glob(filepath.Join(l.dir, "*.wal"))
	if err == nil && len(segments) == 0 {
		err = errLogMissing
	}
	return err
}

func (l *raftLog) open() error {
	meta := &metadb.BoltMetaDB{}
	w, err := wal.Open(l.dir, wal.WithLogger(l.log), wal.WithMetaStore(meta), wal.WithSegmentSize(l.segment), wal.WithSegmentFiler(newSegments(l.dir)))
	if err != nil {
		_ = meta.Close()
		return err
	}
	l.w, l.meta, l.failed = w, meta, false
	return nil
}

// Close frees the files; the library leaves its metadata open.
func (l *raftLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.close()
}

func (l *raftLog) close() error { return errors.Join(l.w.Close(), l.meta.Close()) }

// read and write run f with the open log.
func (l *raftLog) read(f func(*wal.WAL) error) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return f(l.w)
}

func (l *raftLog) write(f func(*wal.WAL) error) error {
	l.mu.RLock()
	failed := l.failed
	l.mu.RUnlock()
	if failed {
		if err := l.reopen(); err != nil {
			return err
		}
	}
	err := l.read(f)
	if err == nil {
		return nil
	}
	l.mu.Lock()
	l.failed = true
	l.mu.Unlock()
	return err
}

// keep writes a term or a vote. Raft ends the process when that fails, and must not go on without
// it; so its goroutine waits here until there is room. Meanwhile the server neither votes
// nor leads. When raft ends while it waits, the goroutine ends here.
func (l *raftLog) keep(f func(*wal.WAL) error) error {
	for tries := 0; ; tries++ {
		err := l.read(f)
		if errors.Is(err, wal.ErrClosed) { // opening it anew has failed before
			if err = l.reopen(); err == nil {
				continue
			}
		}
		if err == nil {
			return nil
		}
		if tries%60 == 0 {
			l.log.Error("cannot write to the data directory: this server neither votes nor leads until it can; make room there", "dir", l.dir, "error", err)
		}
		select {
		case <-l.ending:
			runtime.Goexit()
		case <-time.After(time.Second):
		}
	}
}

// end lets go of a goroutine that waits in keep.
func (l *raftLog) end() { close(l.ending) }

// reopen opens the log anew, once a whole segment has room: what has begun must not fail again
// half-way.
func (l *raftLog) reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.failed {
		return nil
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(l.dir, &fs); err != nil {
		return fmt.Errorf("raft log: %w", err)
	}
	if free := uint64(fs.Bsize) * fs.Bavail; free < uint64(l.segment)/4 {
		return fmt.Errorf("raft log in %s: %w: %d MiB are free, %d are needed before writing goes on", l.dir, syscall.ENOSPC, free>>20, l.segment>>22)
	}
	if err := l.close(); err != nil {
		return fmt.Errorf("raft log: %w", err)
	}
	if err := l.open(); err != nil {
		return fmt.Errorf("open raft log anew: %w", err)
	}
	l.log.Info("raft log opened anew after a failed write")
	return nil
}

// FirstIndex is the oldest entry's index.
func (l *raftLog) FirstIndex() (i uint64, err error) {
	err = l.read(func(w *wal.WAL) error { i, err = w.FirstIndex(); return err })
	return i, err
}

// LastIndex is the newest entry's index.
func (l *raftLog) LastIndex() (i uint64, err error) {
	err = l.read(func(w *wal.WAL) error { i, err = w.LastIndex(); return err })
	return i, err
}

// GetLog reads an entry.
func (l *raftLog) GetLog(index uint64, into *raft.Log) error {
	err := l.read(func(w *wal.WAL) error { return w.GetLog(index, into) })
	if errors.Is(err, wal.ErrCorrupt) {
		l.fatal(fmt.Errorf("read log entry %d: %w", index, err)) // raft itself would panic
	}
	return err
}

// StoreLog appends an entry.
func (l *raftLog) StoreLog(e *raft.Log) error { return l.StoreLogs([]*raft.Log{e}) }

// StoreLogs appends entries; they are on disk when it returns.
func (l *raftLog) StoreLogs(entries []*raft.Log) error {
	return l.write(func(w *wal.WAL) error { return w.StoreLogs(entries) })
}

// DeleteRange removes entries at either end.
func (l *raftLog) DeleteRange(low, high uint64) error {
	return l.write(func(w *wal.WAL) error { return w.DeleteRange(low, high) })
}

// Set keeps a value.
func (l *raftLog) Set(key, val []byte) error {
	return l.keep(func(w *wal.WAL) error { return w.Set(key, val) })
}

// Get reads a value.
func (l *raftLog) Get(key []byte) (v []byte, err error) {
	err = l.read(func(w *wal.WAL) error { v, err = w.Get(key); return err })
	return v, err
}

// SetUint64 keeps a number.
func (l *raftLog) SetUint64(key []byte, val uint64) error {
	return l.keep(func(w *wal.WAL) error { return w.SetUint64(key, val) })
}

// GetUint64 reads a number.
func (l *raftLog) GetUint64(key []byte) (v uint64, err error) {
	err = l.read(func(w *wal.WAL) error { v, err = w.GetUint64(key); return err })
	return v, err
}

// IsMonotonic: entries have no gaps.
func (l *raftLog) IsMonotonic() bool { return true }
