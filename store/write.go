package store

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"berth"
	"berth/store/command"
)

func queryEscape(s string) string { return url.QueryEscape(s) }

func now() int64 { return time.Now().UnixNano() }

// Register puts a node, instance and checks into the catalog; it returns when the leader has
// applied it. Concurrent calls share log entries.
func (s *Store) Register(ctx context.Context, r *berth.Registration) error {
	return s.writeOne(ctx, berth.CatalogOp{Register: r})
}

// Deregister takes a check, an instance or a node out of the catalog.
func (s *Store) Deregister(ctx context.Context, d *berth.Deregistration) error {
	return s.writeOne(ctx, berth.CatalogOp{Deregister: d})
}

func (s *Store) writeOne(ctx context.Context, op berth.CatalogOp) error {
	errs, err := s.Write(ctx, []berth.CatalogOp{op})
	if err == nil && len(errs) > 0 {
		err = errs[0]
	}
	return err
}

// Write applies catalog operations in order as one log entry. errs[i] is why operation i was
// refused; errs is nil when all were taken.
func (s *Store) Write(ctx context.Context, ops []berth.CatalogOp) (errs []error, err error) {
	if len(ops) == 0 {
		return nil, nil
	}
	res, err := s.propose(ctx, &command.Catalog{Now: now(), Ops: ops})
	for i := range ops {
		if d := ops[i].Deregister; err == nil && d != nil && d.ServiceID == "" && !d.Overdue && !d.Forgotten {
			s.vouch(d.CheckID)
		}
	}
	return res.Errs, err
}

// vouch has the members looked at when a node as a whole (checkID is "") or its serfHealth was
// taken out: of a living member both come back at once, since without serfHealth its death would
// not show and no session could be made on it.
func (s *Store) vouch(checkID string) {
	if checkID == "" || checkID == berth.NodeHealthCheckID {
		s.reconcileSoon()
	}
}

// KVApply does one write to the key/value store; false: a compare failed or the lock is taken.
func (s *Store) KVApply(ctx context.Context, op berth.KVOp) (bool, error) {
	res, err := s.propose(ctx, &command.KV{Now: now(), Op: op})
	return res.OK, err
}

// Txn applies all operations or none; what failed is in the response's Errors.
func (s *Store) Txn(ctx context.Context, ops []berth.TxnOp) (berth.TxnResponse, error) {
	res, err := s.propose(ctx, &command.Txn{Now: now(), Ops: ops})
	for i := range ops {
		switch op := &ops[i]; {
		case err != nil || len(res.Txn.Errors) > 0:
		case op.Node != nil && deletes(op.Node.Verb):
			s.vouch("")
		case op.Check != nil && deletes(op.Check.Verb):
			s.vouch(op.Check.Check.CheckID)
		}
	}
	return res.Txn, err
}

func deletes(verb string) bool { return verb == berth.KVDelete || verb == berth.KVDeleteCAS }

const maxSessionTTL = 24 * time.Hour

// SessionCreate makes a session and returns its ID.
func (s *Store) SessionCreate(ctx context.Context, sess *berth.Session) (string, error) {
	c := *sess
	if c.TTL != "" {
		ttl, err := time.ParseDuration(c.TTL)
		if err != nil {
			return "", berth.Rejected(fmt.Sprintf("Session TTL '%s' invalid: %v", c.TTL, err))
		}
		if ttl != 0 && (ttl < s.cfg.SessionTTLMin || ttl > maxSessionTTL) {
			return "", berth.Rejected(fmt.Sprintf("Invalid Session TTL '%d', must be between [%v=%v]", ttl, s.cfg.SessionTTLMin, maxSessionTTL))
		}
	}
	if c.ID == "" {
		c.ID = newUUID()
	}
	if c.Behavior == "" {
		c.Behavior = berth.SessionRelease
	}
	_, err := s.propose(ctx, &command.Session{Now: now(), Verb: command.VerbCreate, Session: c})
	if err != nil {
		return "", err
	}
	return c.ID, nil
}

// SessionDestroy ends a session; an unknown one is no error.
func (s *Store) SessionDestroy(ctx context.Context, id string) error {
	_, err := s.propose(ctx, &command.Session{Now: now(), Verb: command.VerbDestroy, Session: berth.Session{ID: id}})
	return err
}

// QueryApply creates, updates or deletes a prepared query and returns its ID.
func (s *Store) QueryApply(ctx context.Context, verb string, q *berth.PreparedQuery) (string, error) {
	c := *q
	if verb == command.VerbCreate {
		if c.ID != "" {
			return "", berth.Rejected("ID must be empty when creating a new prepared query")
		}
		c.ID = newUUID()
	}
	_, err := s.propose(ctx, &command.Query{Verb: verb, Query: c})
	return c.ID, err
}

// CoordinateUpdate hands a node's network coordinate to a server, which collects them and
// writes them together.
func (s *Store) CoordinateUpdate(ctx context.Context, c berth.NodeCoordinate) error {
	if s.cfg.NoCoordinates {
		return &berth.InvalidError{Status: http.StatusUnauthorized, Text: "Coordinate support disabled"}
	}
	if c.Coord == nil || len(c.Coord.Vec) != 8 {
		return berth.Rejected("incompatible coordinate")
	}
	if s.node != nil {
		s.coords.put(c)
		return nil
	}
	return s.route(ctx, false, func(ctx context.Context, addr string) error {
		return s.sendCoordinate(ctx, addr, c)
	})
}
