package state

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"berth"
)

// Errors of KV writes. The texts reach HTTP clients, which match on them.
var (
	errMissingKey     = errors.New("Must provide key") //nolint:staticcheck // clients match this text
	errMissingSession = errors.New("missing session")
)

// KV applies one write. ok is false when a compare failed or a lock was not free. now is the
// proposer's wall clock in Unix nanoseconds.
func (t *Tx) KV(idx uint64, now int64, op berth.KVOp) (ok bool, err error) {
	t.began()
	ok, _, err = t.kvOp(idx, now, &op)
	return ok, err
}

// kvOp also returns the row as it is after the write, nil when there is none.
func (t *Tx) kvOp(idx uint64, now int64, op *berth.KVOp) (bool, *berth.KVEntry, error) {
	e := &op.Entry
	if e.Key == "" && op.Verb != berth.KVDeleteTree {
		return false, nil, errMissingKey
	}
	old := t.kv(e.Key)
	switch op.Verb {
	case berth.KVSet:
		return true, t.setKV(idx, old, e), nil
	case berth.KVCAS:
		if old == nil && e.ModifyIndex != 0 || old != nil && old.ModifyIndex != e.ModifyIndex {
			return false, old, nil
		}
		return true, t.setKV(idx, old, e), nil
	case berth.KVLock:
		return t.lockKV(idx, now, old, e)
	case berth.KVUnlock:
		return t.unlockKV(idx, old, e)
	case berth.KVDelete:
		if old != nil {
			t.deleteKV(idx, old)
		}
		return true, nil, nil
	case berth.KVDeleteCAS:
		if old == nil {
			return true, nil, nil
		}
		if old.ModifyIndex != e.ModifyIndex {
			return false, old, nil
		}
		t.deleteKV(idx, old)
		return true, nil, nil
	case berth.KVDeleteTree:
		t.deleteTree(idx, e.Key)
		return true, nil, nil
	}
	return false, nil, fmt.Errorf("unknown KV operation: %s", op.Verb)
}

func (t *Tx) kv(k string) *berth.KVEntry {
	return lookup[berth.KVEntry](t, tableKV, kvKey(k))
}

// setKV writes value and flags and keeps the lock.
func (t *Tx) setKV(idx uint64, old, e *berth.KVEntry) *berth.KVEntry {
	row := &berth.KVEntry{Key: e.Key, Flags: e.Flags, Value: e.Value}
	if old != nil {
		row.Session, row.LockIndex = old.Session, old.LockIndex
	}
	return t.putChangedKV(idx, old, row)
}

func (t *Tx) lockKV(idx uint64, now int64, old, e *berth.KVEntry) (bool, *berth.KVEntry, error) {
	if e.Session == "" {
		return false, nil, errMissingSession
	}
	s := t.session(e.Session)
	if s == nil {
		return false, nil, fmt.Errorf("invalid session %q", e.Session)
	}
	row := &berth.KVEntry{Key: e.Key, Flags: e.Flags, Value: e.Value, Session: s.ID, LockIndex: 1}
	switch {
	case old != nil && old.Session == s.ID:
		row.LockIndex = old.LockIndex
	case old != nil && old.Session != "":
		return false, old, nil
	case t.lockDelayed(now, e.Key):
		return false, old, nil
	case old != nil:
		row.LockIndex = old.LockIndex + 1
	}
	return true, t.putChangedKV(idx, old, row), nil
}

func (t *Tx) unlockKV(idx uint64, old, e *berth.KVEntry) (bool, *berth.KVEntry, error) {
	if e.Session == "" {
		return false, nil, errMissingSession
	}
	if old == nil || !strings.EqualFold(old.Session, e.Session) {
		return false, old, nil
	}
	row := &berth.KVEntry{Key: e.Key, Flags: e.Flags, Value: e.Value, LockIndex: old.LockIndex}
	return true, t.putChangedKV(idx, old, row), nil
}

// lockDelayed is whether the key's lock-delay is not over; one that is over is forgotten.
func (t *Tx) lockDelayed(now int64, k string) bool {
	d := lookup[LockDelay](t, tableLockDelays, kvKey(k))
	if d == nil {
		return false
	}
	if now < d.Until {
		return true
	}
	t.remove(tableLockDelays, kvKey(d.Key), d)
	return false
}

// putChangedKV stores row with its indexes unless old has the same content.
func (t *Tx) putChangedKV(idx uint64, old, row *berth.KVEntry) *berth.KVEntry {
	row.CreateIndex, row.ModifyIndex = idx, idx
	if old != nil {
		if old.Flags == row.Flags && old.Session == row.Session && old.LockIndex == row.LockIndex && bytes.Equal(old.Value, row.Value) {
			return old
		}
		row.CreateIndex = old.CreateIndex
	}
	t.putKV(idx, row)
	return row
}

// putKV stores a row as it is.
func (t *Tx) putKV(idx uint64, row *berth.KVEntry) {
	t.insert(tableKV, kvKey(row.Key), row)
	t.raise(&t.g.KV, idx)
}

func (t *Tx) deleteKV(idx uint64, e *berth.KVEntry) {
	t.remove(tableKV, kvKey(e.Key), e)
	t.bury(idx, e.Key)
}

// deleteTree deletes all keys below prefix; one tombstone stands for them.
func (t *Tx) deleteTree(idx uint64, prefix string) {
	found := false
	for e := range each[berth.KVEntry](t.txn, nil, tableKV, byID, kvKey(prefix)) {
		t.remove(tableKV, kvKey(e.Key), e)
		found = true
	}
	if found {
		t.bury(idx, prefix)
	}
}

func (t *Tx) bury(idx uint64, k string) {
	t.raise(&t.g.KV, idx)
	t.raise(&t.g.Tombstones, idx)
	if k == "" { // everything went; what is below "" has the index of the table
		t.raise(&t.g.Forgotten, idx)
		return
	}
	t.insert(tableTombstones, kvKey(k), &Tombstone{Key: k, Index: idx})
}

// Reap forgets the tombstones of deletions at or before upTo and the lock-delays that are
// over at now, the proposer's wall clock in Unix nanoseconds.
func (t *Tx) Reap(now int64, upTo uint64) {
	t.began()
	for d := range each[Tombstone](t.txn, nil, tableTombstones, byIndex, nil) {
		if d.Index > upTo {
			break
		}
		t.remove(tableTombstones, kvKey(d.Key), d)
		t.raise(&t.g.Forgotten, d.Index)
	}
	for d := range each[LockDelay](t.txn, nil, tableLockDelays, byID, nil) {
		if d.Until <= now {
			t.remove(tableLockDelays, kvKey(d.Key), d)
		}
	}
}
