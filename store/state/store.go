package state

import (
	"fmt"
	"iter"
	"sync/atomic"

	"berth"

	"github.com/hashicorp/go-memdb"
)

// Commit tells what one committed Tx did.
type Commit struct {
	// Index is the raft index up to which the state is complete now.
	Index uint64
	// Changes are the service names and nodes touched, each once; all names in lower case.
	// Empty when the commit touched no node, service or check.
	Changes []berth.Change
	// Deltas are the rows of nodes, services and checks that came, changed or went, in the
	// order in which a replica has to apply them.
	Deltas []Delta
}

// Store holds the tables. One goroutine writes, by Begin; any number read.
type Store struct {
	db       *memdb.MemDB
	onCommit func(Commit)
	latest   atomic.Pointer[Reader]
	abandon  chan struct{}
}

// New returns an empty store. onCommit, which may be nil, is called after each Tx.Commit on
// the committing goroutine, when readers see the new state already; it must only copy and
// signal. The slices it gets are its own, the rows in them are shared.
func New(onCommit func(Commit)) *Store {
	db, err := memdb.NewMemDB(schema())
	must(err)
	s := &Store{db: db, onCommit: onCommit, abandon: make(chan struct{})}
	s.latest.Store(&Reader{txn: db.Txn(false)})
	return s
}

// must stops the process on errors of go-memdb: they only say that the schema and its use
// disagree, in which case the state cannot be trusted.
func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("state: tables are used against their schema: %v", err))
	}
}

// Read returns the newest committed state as one immutable snapshot. It never blocks.
func (s *Store) Read() *Reader { return s.latest.Load() }

// View returns the newest committed state as DNS wants it. It never blocks.
func (s *Store) View() View { return View{s.Read()} }

// Index is the raft index up to which the state is complete.
func (s *Store) Index() uint64 { return s.Read().Index() }

// AbandonCh is closed when the store has been replaced by another one, as a restore does:
// blocking queries watch it besides their watch set and then start over on the new store.
func (s *Store) AbandonCh() <-chan struct{} { return s.abandon }

// Abandon closes AbandonCh. It is called once, after the new store can be found by readers.
func (s *Store) Abandon() { close(s.abandon) }

// commit makes what txn wrote the state at index. Readers find it before the watches on what it
// replaces fire: whoever woke to the state it had would find its watch fired already, and read
// again and again.
func (s *Store) commit(txn *memdb.Txn, index uint64) {
	s.latest.Store(&Reader{txn: txn.Snapshot(), index: index})
	txn.Commit()
}

// first returns the row under k, nil when there is none, and adds its watch to ws.
func first[T any](txn *memdb.Txn, ws memdb.WatchSet, table, index string, k key) *T {
	ch, raw, err := txn.FirstWatch(table, index, k)
	must(err)
	ws.Add(ch)
	if raw == nil {
		return nil
	}
	return raw.(*T)
}

// each yields the rows below k in key order and adds the watch of all that is below k to ws.
// In a write transaction the rows are those at the time of the call.
func each[T any](txn *memdb.Txn, ws memdb.WatchSet, table, index string, k key) iter.Seq[*T] {
	it, err := txn.Get(table, index, k)
	must(err)
	ws.Add(it.WatchCh())
	return func(yield func(*T) bool) {
		for raw := it.Next(); raw != nil; raw = it.Next() {
			if !yield(raw.(*T)) {
				return
			}
		}
	}
}
