package store

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"berth/store/command"
	"berth/store/state"
)

// replica is a client's copy of nodes, services and checks. One goroutine fills it
// (followReplica); any number read.
type replica struct {
	file     string // "": not kept
	log      *slog.Logger
	onCommit func(state.Commit)
	store    atomic.Pointer[state.Store]
	filled   atomic.Bool

	snapshots, resumed atomic.Uint64 // streams that began with everything, and those that went on

	// Of the follower alone.
	feed  string
	seq   uint64
	mark  uint64 // of the log's entry at the state's index
	dirty bool   // changed since it was last written to the file

	mu     sync.Mutex    // guards heard, behind
	heard  time.Time     // last sign of life of the server
	behind time.Duration // how far the server itself was behind the leader then
}

// openReplica starts from the file of the last run, so that a restarted host answers before it
// reaches a server.
func openReplica(file string, onCommit func(state.Commit), log *slog.Logger) (*replica, error) {
	r := &replica{file: file, log: log, onCommit: onCommit}
	r.store.Store(state.New(onCommit))
	if err := r.load(); err != nil {
		log.Warn("replica file cannot be used, starting empty", "file", file, "err", err)
	}
	return r, nil
}

func (r *replica) state() *state.Store { return r.store.Load() }
func (r *replica) synced() bool        { return r.filled.Load() }

// lag is the time since a leader is known to have been in touch with this replica.
func (r *replica) lag() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.heard.IsZero() {
		return never
	}
	return min(never, time.Since(r.heard)+r.behind)
}

func (r *replica) hear(behind time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard, r.behind = time.Now(), behind
}

// replace puts a new state in the place of the old one and wakes who waits on the old one.
func (r *replica) replace(s *state.Store) {
	old := r.store.Swap(s)
	r.filled.Store(true)
	old.Abandon()
	r.dirty = true
}

// loadRecords makes a state of records.
type recordLoader struct {
	loader *state.Loader
	dec    command.Decoder
}

func (r *replica) newLoader() *recordLoader {
	return &recordLoader{loader: state.NewLoader(r.onCommit)}
}

func (l *recordLoader) add(payload []byte) error {
	var batch records
	if err := l.dec.Value(payload, &batch); err != nil {
		return err
	}
	for _, rec := range batch.Records {
		if err := l.loader.Add(rec); err != nil {
			return err
		}
	}
	return nil
}
