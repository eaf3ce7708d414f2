package state

import (
	"errors"
	"fmt"
	"strings"

	"berth"
)

var (
	errMissingSessionID = errors.New("Missing session ID")                                       //nolint:staticcheck // clients match this text
	errSessionExists    = errors.New("a session with this ID exists already; choose another ID") // IDs are random
)

// checkTypeSession marks checks that follow a session, see Tx.followSession.
const checkTypeSession = "session"

func (t *Tx) session(id string) *berth.Session {
	return lookup[berth.Session](t, tableSessions, joinKey(fold(id)))
}

// SessionCreate adds a session, whose ID the proposer has chosen; s is not changed. now is the
// proposer's wall clock in Unix nanoseconds.
func (t *Tx) SessionCreate(idx uint64, now int64, s *berth.Session) error {
	t.began()
	if s.ID == "" {
		return errMissingSessionID
	}
	if t.session(s.ID) != nil {
		return errSessionExists
	}
	if err := checkNames("session ID", s.ID); err != nil {
		return err
	}
	row := *s
	switch row.Behavior {
	case "":
		row.Behavior = berth.SessionRelease
	case berth.SessionRelease, berth.SessionDelete:
	default:
		return fmt.Errorf("Invalid Behavior setting '%s'", row.Behavior) //nolint:staticcheck // clients match this text
	}
	node := t.node(s.Node)
	if node == nil {
		return errNoNode
	}
	row.Node = node.Name
	if err := t.sessionChecks(&row); err != nil {
		return err
	}
	row.CreateIndex, row.ModifyIndex = idx, idx
	t.insert(tableSessions, joinKey(fold(row.ID)), &row)
	t.raise(&t.g.Sessions, idx)
	t.followSession(idx, now, &row, berth.StatusPassing)
	return nil
}

// sessionChecks refuses sessions bound to checks that are not there or critical.
func (t *Tx) sessionChecks(s *berth.Session) error {
	ids := s.NodeChecks
	for _, c := range s.ServiceChecks {
		ids = append(ids[:len(ids):len(ids)], c.ID)
	}
	for _, id := range ids {
		c := t.check(s.Node, id)
		if c == nil {
			return fmt.Errorf("Missing check '%s' registration", id) //nolint:staticcheck // clients match this text
		}
		if c.Status == berth.StatusCritical {
			return fmt.Errorf("Check '%s' is in %s state", id, c.Status) //nolint:staticcheck // clients match this text
		}
	}
	return nil
}

// SessionDestroy ends a session; one that is not there is no error. now is the proposer's wall
// clock in Unix nanoseconds: lock-delays start with it.
func (t *Tx) SessionDestroy(idx uint64, now int64, id string) {
	t.began()
	if s := t.session(id); s != nil {
		t.endSession(idx, now, s)
	}
}

// endSessions ends all sessions below a key of an index.
func (t *Tx) endSessions(idx uint64, now int64, index string, k key) {
	for s := range each[berth.Session](t.txn, nil, tableSessions, index, k) {
		if t.session(s.ID) != nil { // an earlier one's end may have ended it
			t.endSession(idx, now, s)
		}
	}
}

func (t *Tx) endSession(idx uint64, now int64, s *berth.Session) {
	t.remove(tableSessions, joinKey(fold(s.ID)), s)
	t.raise(&t.g.Sessions, idx)
	for e := range each[berth.KVEntry](t.txn, nil, tableKV, bySession, joinKey(fold(s.ID))) {
		if s.Behavior == berth.SessionDelete {
			t.deleteKV(idx, e)
		} else {
			row := *e
			row.Session, row.ModifyIndex = "", idx
			t.putKV(idx, &row)
		}
		if s.LockDelay > 0 {
			t.insert(tableLockDelays, kvKey(e.Key), &LockDelay{Key: e.Key, Until: now + s.LockDelay})
		}
	}
	for q := range each[preparedQuery](t.txn, nil, tableQueries, bySession, joinKey(fold(s.ID))) {
		t.dropQuery(idx, q)
	}
	t.followSession(idx, now, s, berth.StatusCritical)
}

// followSession sets the checks of type "session" on the session's node that name it: passing
// while it lives, critical after.
func (t *Tx) followSession(idx uint64, now int64, s *berth.Session, status string) {
	if s.Name == "" {
		return
	}
	for c := range each[berth.Check](t.txn, nil, tableChecks, byID, nodeKey(s.Node)) {
		if c.Type == checkTypeSession && strings.EqualFold(c.Definition.SessionName, s.Name) {
			row := *c
			row.Status = status
			t.applyCheck(idx, now, row.Node, &row)
		}
	}
}
