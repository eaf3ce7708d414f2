package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"berth"
	"berth/internal/backoff"
)

// Flags that mark keys of locks, so that nothing else is taken for one. They are those of
// Consul's client library: its users and berth's wait for each other.
const (
	mutexFlag     = 0x2ddccbc058a50c18
	semaphoreFlag = 0xe0f69a2baa414de0
)

const (
	lockTTL   = 15 * time.Second // of the session
	lockRetry = 5 * time.Second  // pause while the servers hold a lock back after its loss
	lockKey   = ".lock"
)

// locker takes a lock or one slot of a semaphore below a prefix.
type locker struct {
	cl      *client
	prefix  string
	name    string
	limit   int
	session string
}

var errLockConflict = errors.New("the key exists and is not a lock: choose another prefix")

// begin makes the session that will hold the lock.
func (l *locker) begin(ctx context.Context) error {
	var out struct{ ID string }
	body := map[string]string{"Name": l.name, "TTL": lockTTL.String()}
	if err := l.cl.put(ctx, "/v1/session/create", nil, body, &out); err != nil {
		return fmt.Errorf("create session: %w", err)
	}
	l.session = out.ID
	return nil
}

// renew keeps the session alive until ctx ends.
func (l *locker) renew(ctx context.Context) {
	for backoff.Sleep(ctx, lockTTL/2) == nil {
		// A failed renewal is tried again; when none succeeds the monitor sees the loss.
		_ = l.cl.put(ctx, "/v1/session/renew/"+l.session, nil, nil, nil)
	}
}

func (l *locker) key(name string) string { return strings.TrimSuffix(l.prefix, "/") + "/" + name }

// acquire waits until the lock is held or ctx ends.
func (l *locker) acquire(ctx context.Context) error {
	if l.limit > 1 {
		return l.acquireSlot(ctx)
	}
	var index uint64
	for {
		entries, next, err := l.read(ctx, l.key(lockKey), false, index)
		if err != nil {
			return err
		}
		index = next
		if len(entries) > 0 {
			if entries[0].Flags != mutexFlag {
				return errLockConflict
			}
			if s := entries[0].Session; s != "" && s != l.session {
				continue // held: wait for a change
			}
		}
		ok, err := l.write(ctx, l.key(lockKey), nil, mutexFlag, "acquire", l.session)
		if err != nil || ok {
			return err
		}
		if err := backoff.Sleep(ctx, lockRetry); err != nil {
			return err
		}
		index = 0
	}
}

// holders is the value of a semaphore's main key.
type holders struct {
	Limit   int
	Holders map[string]bool
}

// acquireSlot enters as a contender, then puts itself among the holders when there is room.
func (l *locker) acquireSlot(ctx context.Context) error {
	if ok, err := l.write(ctx, l.key(l.session), nil, semaphoreFlag, "acquire", l.session); err != nil || !ok {
		return errors.Join(err, errUnless(ok, "the session ended before the semaphore was entered"))
	}
	var index uint64
	for {
		state, at, next, err := l.slots(ctx, index)
		if err != nil {
			return err
		}
		if state.Limit != l.limit {
			return fmt.Errorf("the semaphore has the limit %d, not %d", state.Limit, l.limit)
		}
		if len(state.Holders) < state.Limit {
			state.Holders[l.session] = true
			ok, err := l.writeSlots(ctx, state, at)
			if err != nil || ok {
				return err
			}
			index = 0 // somebody was faster: look again
			continue
		}
		index = next
	}
}

func errUnless(ok bool, text string) error {
	if ok {
		return nil
	}
	return errors.New(text)
}

// slots reads the semaphore; holders whose session has ended are left out. at is the index to
// compare when it is written.
func (l *locker) slots(ctx context.Context, index uint64) (holders, uint64, uint64, error) {
	entries, next, err := l.read(ctx, strings.TrimSuffix(l.prefix, "/")+"/", true, index)
	state := holders{Limit: l.limit, Holders: map[string]bool{}}
	if err != nil {
		return state, 0, 0, err
	}
	var at uint64
	alive := map[string]bool{}
	for _, kv := range entries {
		switch {
		case kv.Key == l.key(lockKey):
			at = kv.ModifyIndex
			if kv.Flags != semaphoreFlag {
				return state, 0, 0, errLockConflict
			}
			if err := json.Unmarshal(kv.Value, &state); err != nil {
				return state, 0, 0, fmt.Errorf("semaphore %s: %w", kv.Key, err)
			}
		case kv.Session != "":
			alive[kv.Session] = true
		}
	}
	if state.Holders == nil {
		state.Holders = map[string]bool{}
	}
	for s := range state.Holders {
		if !alive[s] {
			delete(state.Holders, s)
		}
	}
	return state, at, next, nil
}

func (l *locker) writeSlots(ctx context.Context, state holders, at uint64) (bool, error) {
	text, err := json.Marshal(state)
	if err != nil {
		return false, err
	}
	return l.write(ctx, l.key(lockKey), text, semaphoreFlag, "cas", strconv.FormatUint(at, 10))
}

// held waits until the lock is lost or ctx ends; a lost one gives an error. Up to retries
// failures in a row are forgiven.
func (l *locker) held(ctx context.Context, retries int) error {
	var index uint64
	for failures := 0; ; {
		ok, next, err := l.holds(ctx, index)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			if failures++; failures > retries {
				return fmt.Errorf("lock cannot be watched any more: %w", err)
			}
			if backoff.Sleep(ctx, time.Second) != nil {
				return nil
			}
			continue
		case !ok:
			return errors.New("lock lost")
		}
		failures, index = 0, next
	}
}

func (l *locker) holds(ctx context.Context, index uint64) (bool, uint64, error) {
	if l.limit > 1 {
		state, _, next, err := l.slots(ctx, index)
		return state.Holders[l.session], next, err
	}
	entries, next, err := l.read(ctx, l.key(lockKey), false, index)
	return len(entries) > 0 && entries[0].Session == l.session, next, err
}

// release gives the lock back and removes what nobody needs any more.
func (l *locker) release(ctx context.Context) {
	if l.limit > 1 {
		for range 5 {
			state, at, _, err := l.slots(ctx, 0)
			if err != nil || !state.Holders[l.session] {
				break
			}
			delete(state.Holders, l.session)
			if ok, err := l.writeSlots(ctx, state, at); ok || err != nil {
				break
			}
		}
		_ = l.cl.call(ctx, http.MethodDelete, keyPath(l.key(l.session)), nil, nil, nil)
	} else if ok, err := l.write(ctx, l.key(lockKey), nil, mutexFlag, "release", l.session); err == nil && ok {
		entries, _, err := l.read(ctx, l.key(lockKey), false, 0)
		if err == nil && len(entries) > 0 && entries[0].Session == "" {
			q := query("cas", strconv.FormatUint(entries[0].ModifyIndex, 10))
			_ = l.cl.call(ctx, http.MethodDelete, keyPath(entries[0].Key), q, nil, nil)
		}
	}
	_ = l.cl.put(ctx, "/v1/session/destroy/"+l.session, nil, nil, nil)
}

// read is one look at a key or prefix; with an index it waits for a change.
func (l *locker) read(ctx context.Context, key string, recurse bool, index uint64) ([]berth.KVEntry, uint64, error) {
	p := &watchPlan{cl: l.cl, path: keyPath(key), query: url.Values{"consistent": {""}}}
	if recurse {
		p.query.Set("recurse", "")
	}
	text, next, err := p.ask(ctx, index)
	if err != nil {
		return nil, 0, err
	}
	var entries []berth.KVEntry
	err = json.Unmarshal(text, &entries)
	return entries, next, err
}

func (l *locker) write(ctx context.Context, key string, value []byte, flags uint64, verb, arg string) (bool, error) {
	var ok bool
	q := query(verb, arg, "flags", strconv.FormatUint(flags, 10))
	if value == nil {
		value = []byte{}
	}
	err := l.cl.put(ctx, keyPath(key), q, value, &ok)
	return ok, err
}
