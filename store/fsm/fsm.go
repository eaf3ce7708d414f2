package fsm

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"berth"
	"berth/store/command"
	"berth/store/state"

	"github.com/hashicorp/raft"
)

// FSM is raft's view of the state. Raft calls Apply, ApplyBatch, Snapshot and Restore from one
// goroutine; State may be called by anybody.
type FSM struct {
	// Fatal is called with why an entry cannot be applied: going on would make this server's state
	// differ from the others'. It does not return; by default it panics. Set it before raft starts.
	Fatal func(error)

	logger   *slog.Logger
	onCommit func(state.Commit)
	store    atomic.Pointer[state.Store]
	dec      command.Decoder
}

var (
	_ raft.BatchingFSM = (*FSM)(nil)
	_ raft.FSMSnapshot = (*snapshot)(nil)
)

// New returns an FSM with an empty state. onCommit, which may be nil, is called on raft's
// apply goroutine after each commit and each restore, when readers see the new state already;
// it must only copy and signal. After a restore the commit's one change has All set.
func New(logger *slog.Logger, onCommit func(state.Commit)) *FSM {
	f := &FSM{logger: logger, onCommit: onCommit, Fatal: func(err error) { panic(err) }}
	f.store.Store(state.New(onCommit))
	return f
}

// State returns the store in use. A restore replaces it and then closes its AbandonCh.
func (f *FSM) State() *state.Store { return f.store.Load() }

// Apply applies one log entry and returns a command.Result. An entry that cannot be decoded is Fatal.
func (f *FSM) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch applies log entries so that readers see them together; results[i] is a
// command.Result for entry i, nil when it is none of ours. It is Fatal like Apply.
func (f *FSM) ApplyBatch(logs []*raft.Log) []any {
	results := make([]any, len(logs))
	tx := f.State().Begin()
	last := f.State().Index()
	for i, l := range logs {
		last = max(last, l.Index)
		if l.Type == raft.LogCommand {
			results[i] = f.apply(tx, l.Index, l.Data, false)
		}
	}
	tx.Commit(last)
	return results
}

func (f *FSM) apply(tx *state.Tx, idx uint64, entry []byte, member bool) command.Result {
	c, err := f.dec.Decode(entry)
	if errors.Is(err, command.ErrIgnorable) {
		f.logger.Warn("skipped a log entry of a newer version", "index", idx, "err", err)
		return command.Result{Index: idx, Ignored: true}
	}
	if err != nil {
		f.Fatal(fmt.Errorf("apply log entry %d: %w", idx, err))
		return command.Result{Index: idx, Err: err}
	}
	res := command.Result{Index: idx, OK: true}
	switch c := c.(type) {
	case *command.Catalog:
		res.Errs = tx.Catalog(idx, c.Now, c.Ops)
	case *command.KV:
		res.OK, res.Err = tx.KV(idx, c.Now, c.Op)
	case *command.Session:
		res.Err = applySession(tx, idx, c)
	case *command.Txn:
		res.Txn = tx.Txn(idx, c.Now, c.Ops)
		res.OK = len(res.Txn.Errors) == 0
	case *command.Reap:
		tx.Reap(c.Now, c.Index)
	case *command.Coordinates:
		tx.Coordinates(idx, c.Updates)
	case *command.Query:
		res.Err = applyQuery(tx, idx, c)
	case *command.Autopilot:
		res.OK = tx.Autopilot(idx, c.Config, c.CAS)
	case *command.Batch:
		if member {
			f.Fatal(fmt.Errorf("apply log entry %d: a batch inside a batch", idx))
		}
		res.Members = make([]command.Result, len(c.Members))
		for i, m := range c.Members {
			res.Members[i] = f.apply(tx, idx, m, true)
		}
	}
	return res
}

func applySession(tx *state.Tx, idx uint64, c *command.Session) error {
	switch c.Verb {
	case command.VerbCreate:
		return tx.SessionCreate(idx, c.Now, &c.Session)
	case command.VerbDestroy:
		tx.SessionDestroy(idx, c.Now, c.Session.ID)
		return nil
	}
	return unknownVerb("session", c.Verb)
}

func applyQuery(tx *state.Tx, idx uint64, c *command.Query) error {
	switch c.Verb {
	case command.VerbCreate:
		return tx.QuerySet(idx, &c.Query)
	case command.VerbUpdate:
		return tx.QueryUpdate(idx, &c.Query)
	case command.VerbDelete:
		tx.QueryDelete(idx, c.Query.ID)
		return nil
	}
	return unknownVerb("prepared query", c.Verb)
}

func unknownVerb(what, verb string) error {
	return berth.Rejected(fmt.Sprintf("unknown %s operation: %s", what, verb))
}
