package state

import (
	"errors"
	"fmt"

	"berth"
)

// Loader fills a new store from records. It is for one goroutine.
type Loader struct {
	s *Store
	t *Tx
}

// NewLoader starts a store that will call onCommit, as New's does, for what is committed after
// it has been loaded.
func NewLoader(onCommit func(Commit)) *Loader {
	s := New(onCommit)
	return &Loader{s: s, t: s.Begin()}
}

var errEmptyRecord = errors.New("record without a row")

// Add stores a record. Rows come after those that they refer to: nodes, services, checks,
// sessions, the rest, and indexes last. After an error the loader is of no use.
func (l *Loader) Add(rec Record) error {
	if l.t.ops == opsPerFlush {
		l.t.pending = Commit{}
		l.t.flushed = 0
	}
	l.t.began()
	switch {
	case rec.Node != nil, rec.Service != nil, rec.Check != nil:
		return l.addCatalog(&rec)
	case rec.Session != nil:
		return l.addSession(rec.Session)
	case rec.KV != nil:
		return l.addKV(rec.KV)
	case rec.Index != nil:
		return l.addIndex(rec.Index)
	}
	return l.addOther(&rec)
}

func (l *Loader) addCatalog(rec *Record) error {
	d := Delta{Node: rec.Node, Service: rec.Service, Check: rec.Check}
	if err := d.check(); err != nil {
		return err
	}
	switch t := l.t; {
	case d.Node != nil:
		if t.node(d.Node.Name) != nil {
			return fmt.Errorf("node %q is there twice", d.Node.Name)
		}
		t.applyDelta(d.Node.ModifyIndex, &d)
	case d.Service != nil:
		return l.addInstance(&d)
	default:
		return l.addCheck(&d)
	}
	return nil
}

func (l *Loader) addInstance(d *Delta) error {
	s := d.Service
	if l.t.node(s.Node) == nil {
		return fmt.Errorf("service %q is on the unknown node %q", s.ID, s.Node)
	}
	if l.t.instance(s.Node, s.ID) != nil {
		return fmt.Errorf("service %q is on node %q twice", s.ID, s.Node)
	}
	l.t.applyDelta(s.ModifyIndex, d)
	return nil
}

func (l *Loader) addCheck(d *Delta) error {
	c := d.Check
	if l.t.node(c.Node) == nil {
		return fmt.Errorf("check %q is on the unknown node %q", c.CheckID, c.Node)
	}
	if c.ServiceID != "" && l.t.instance(c.Node, c.ServiceID) == nil {
		return fmt.Errorf("check %q is for the unknown service %q on node %q", c.CheckID, c.ServiceID, c.Node)
	}
	if l.t.check(c.Node, c.CheckID) != nil {
		return fmt.Errorf("check %q is on node %q twice", c.CheckID, c.Node)
	}
	l.t.applyDelta(c.ModifyIndex, d)
	return nil
}

func (l *Loader) addSession(s *berth.Session) error {
	if s.ID == "" {
		return errMissingSessionID
	}
	if l.t.node(s.Node) == nil {
		return fmt.Errorf("session %q is on the unknown node %q", s.ID, s.Node)
	}
	if l.t.session(s.ID) != nil {
		return fmt.Errorf("session %q is there twice", s.ID)
	}
	l.t.insert(tableSessions, joinKey(fold(s.ID)), s)
	l.t.raise(&l.t.g.Sessions, s.ModifyIndex)
	return nil
}

func (l *Loader) addKV(e *berth.KVEntry) error {
	if e.Key == "" {
		return errMissingKey
	}
	if e.Session != "" && l.t.session(e.Session) == nil {
		return fmt.Errorf("key %q is locked by the unknown session %q", e.Key, e.Session)
	}
	if l.t.kv(e.Key) != nil {
		return fmt.Errorf("key %q is there twice", e.Key)
	}
	l.t.putKV(e.ModifyIndex, e)
	return nil
}

func (l *Loader) addOther(rec *Record) error {
	t := l.t
	switch {
	case rec.Tombstone != nil:
		if rec.Tombstone.Key == "" {
			return errMissingKey
		}
		t.insert(tableTombstones, kvKey(rec.Tombstone.Key), rec.Tombstone)
		t.raise(&t.g.Tombstones, rec.Tombstone.Index)
	case rec.LockDelay != nil:
		t.insert(tableLockDelays, kvKey(rec.LockDelay.Key), rec.LockDelay)
	case rec.Coordinate != nil:
		c := rec.Coordinate
		if t.node(c.Node) == nil || c.Coord == nil {
			return fmt.Errorf("coordinate of the unknown node %q", c.Node)
		}
		t.insert(tableCoordinates, instanceKey(c.Node, c.Segment), c)
	case rec.Query != nil:
		if rec.Query.ID == "" {
			return errMissingQueryID
		}
		row, _ := compileQuery(rec.Query)
		if err := t.queryConflict(row); err != nil {
			return err
		}
		t.putQuery(rec.Query.ModifyIndex, row)
	case rec.Autopilot != nil:
		t.putAutopilot(rec.Autopilot.ModifyIndex, rec.Autopilot)
	default:
		return errEmptyRecord
	}
	return nil
}

// addIndex raises the index of a service or a node, which its rows have set too low when what
// raised it is gone, and sets the others, which rows may have set too high: those of counts,
// say, are not raised by changes. Kinds of newer versions are skipped.
func (l *Loader) addIndex(row *IndexRow) error {
	t := l.t
	switch row.Kind {
	case indexOfService:
		if lookup[serviceRow](t, tableServiceIndex, joinKey(row.Of)) == nil && t.services[row.Of] == nil {
			return fmt.Errorf("index of the unknown service %q", row.Of)
		}
		t.touchService(row.Index, row.Of, 0)
	case indexOfNode:
		if t.node(row.Of) == nil {
			return fmt.Errorf("index of the unknown node %q", row.Of)
		}
		t.removedFrom(row.Index, row.Of)
	default:
		for _, m := range t.g.members() {
			if m.kind == row.Kind {
				*m.index, t.gDirty = row.Index, true
			}
		}
	}
	return nil
}

// Done makes the records readable as the state at index and returns the store.
func (l *Loader) Done(index uint64) *Store {
	l.t.complete()
	l.s.commit(l.t.txn, index)
	return l.s
}
