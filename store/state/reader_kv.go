package state

import (
	"regexp"
	"strings"

	"berth"

	"github.com/hashicorp/go-memdb"
)

// KVGet returns one key; nil when it is missing, and then the index is that of the whole
// key/value store, so a blocking query for a key that was missing before goes on waiting.
func (r *Reader) KVGet(ws memdb.WatchSet, k string) (uint64, *berth.KVEntry) {
	e := first[berth.KVEntry](r.txn, ws, tableKV, byID, kvKey(k))
	if e == nil {
		return r.kvIndex(), nil
	}
	return e.ModifyIndex, e
}

func (r *Reader) kvIndex() uint64 {
	g := r.globals(nil)
	return max(g.KV, g.Tombstones)
}

// KVList returns all keys that start with prefix, in byte order. The index is the highest
// below the prefix, that of deletions included; with nothing there it is that of the whole
// key/value store, so a blocking query that had nothing before either goes on waiting.
func (r *Reader) KVList(ws memdb.WatchSet, prefix string) (uint64, []*berth.KVEntry) {
	var entries []*berth.KVEntry
	var idx uint64
	for e := range each[berth.KVEntry](r.txn, ws, tableKV, byID, kvKey(prefix)) {
		entries = append(entries, e)
		idx = max(idx, e.ModifyIndex)
	}
	return r.prefixIndex(prefix, idx), entries
}

// prefixIndex is the index of what is below prefix, where idx is the highest of a key, 0 when
// there is none. A tombstone of a tree above prefix is older than any key below it.
func (r *Reader) prefixIndex(prefix string, idx uint64) uint64 {
	if idx == 0 || prefix == "" {
		return r.kvIndex()
	}
	for d := range each[Tombstone](r.txn, nil, tableTombstones, byID, kvKey(prefix)) {
		idx = max(idx, d.Index)
	}
	return idx
}

// KVKeys returns the keys that start with prefix, in byte order; with a separator each is cut
// behind the first one after the prefix, and comes once.
func (r *Reader) KVKeys(ws memdb.WatchSet, prefix, separator string) (uint64, []string) {
	var keys []string
	var idx uint64
	for e := range each[berth.KVEntry](r.txn, ws, tableKV, byID, kvKey(prefix)) {
		idx = max(idx, e.ModifyIndex)
		k := e.Key
		if separator != "" {
			if i := strings.Index(k[len(prefix):], separator); i >= 0 {
				k = k[:len(prefix)+i+len(separator)]
			}
		}
		if len(keys) == 0 || keys[len(keys)-1] != k {
			keys = append(keys, k)
		}
	}
	return r.prefixIndex(prefix, idx), keys
}

// KVDeleted is the index of the newest deletion that may have taken away k, or with below
// anything that starts with k. A blocking query that finds nothing goes on waiting while this
// is not larger than the index it was given: what went, went before.
func (r *Reader) KVDeleted(k string, below bool) uint64 {
	idx := r.globals(nil).Forgotten
	if below {
		for d := range each[Tombstone](r.txn, nil, tableTombstones, byID, kvKey(k)) {
			idx = max(idx, d.Index)
		}
	}
	for { // the tombstones of k and of trees that it was in
		raw, err := r.txn.LongestPrefix(tableTombstones, byID+"_prefix", kvKey(k))
		must(err)
		if raw == nil {
			return idx
		}
		d := raw.(*Tombstone)
		idx = max(idx, d.Index)
		k = d.Key[:len(d.Key)-1]
	}
}

// LockDelay is the time, in Unix nanoseconds, until which a key cannot be locked; 0: it can.
func (r *Reader) LockDelay(k string) int64 {
	if d := first[LockDelay](r.txn, nil, tableLockDelays, byID, kvKey(k)); d != nil {
		return d.Until
	}
	return 0
}

// HasTombstones is whether Reap(now, upTo) would forget anything.
func (r *Reader) HasTombstones(now int64, upTo uint64) bool {
	if d := first[Tombstone](r.txn, nil, tableTombstones, byIndex, nil); d != nil && d.Index <= upTo {
		return true
	}
	for d := range each[LockDelay](r.txn, nil, tableLockDelays, byID, nil) {
		if d.Until <= now {
			return true
		}
	}
	return false
}

// Session returns one session, nil when there is none.
func (r *Reader) Session(ws memdb.WatchSet, id string) (uint64, *berth.Session) {
	s := first[berth.Session](r.txn, ws, tableSessions, byID, joinKey(fold(id)))
	if s == nil {
		return r.globals(nil).Sessions, nil
	}
	return s.ModifyIndex, s
}

// Sessions returns the sessions of a node, or all for "".
func (r *Reader) Sessions(ws memdb.WatchSet, node string) (uint64, []*berth.Session) {
	index, k := byID, key(nil)
	if node != "" {
		index, k = byNode, nodeKey(node)
	}
	var sessions []*berth.Session
	for s := range each[berth.Session](r.txn, ws, tableSessions, index, k) {
		sessions = append(sessions, s)
	}
	return r.globals(nil).Sessions, sessions
}

// Coordinates returns the coordinates of a node, or of all for "", one per segment.
func (r *Reader) Coordinates(ws memdb.WatchSet, node string) (uint64, []berth.NodeCoordinate) {
	k := key(nil)
	if node != "" {
		k = nodeKey(node)
	}
	var cs []berth.NodeCoordinate
	for c := range each[berth.NodeCoordinate](r.txn, ws, tableCoordinates, byID, k) {
		cs = append(cs, *c)
	}
	return r.globals(nil).Coordinates, cs
}

// Query returns a prepared query by its ID, nil when there is none.
func (r *Reader) Query(ws memdb.WatchSet, id string) (uint64, *berth.PreparedQuery) {
	q := first[preparedQuery](r.txn, ws, tableQueries, byID, joinKey(fold(id)))
	if q == nil {
		return r.globals(nil).Queries, nil
	}
	return q.ModifyIndex, &q.PreparedQuery
}

// Queries returns all prepared queries, by ID.
func (r *Reader) Queries(ws memdb.WatchSet) (uint64, []*berth.PreparedQuery) {
	var qs []*berth.PreparedQuery
	for q := range each[preparedQuery](r.txn, ws, tableQueries, byID, nil) {
		qs = append(qs, &q.PreparedQuery)
	}
	return r.globals(nil).Queries, qs
}

// QueryLookup finds the prepared query to execute for an ID or a name: the one with that ID,
// or that name, or the template with the longest prefix of the name, whose regular expression
// is returned too (nil when it has none). A template is returned as it is stored.
func (r *Reader) QueryLookup(idOrName string) (*berth.PreparedQuery, *regexp.Regexp) {
	if idOrName == "" {
		return nil, nil
	}
	if q := first[preparedQuery](r.txn, nil, tableQueries, byID, joinKey(fold(idOrName))); q != nil && q.Template.Type == "" {
		return &q.PreparedQuery, nil
	}
	if q := first[preparedQuery](r.txn, nil, tableQueries, byName, joinKey(fold(idOrName))); q != nil {
		return &q.PreparedQuery, nil
	}
	raw, err := r.txn.LongestPrefix(tableQueries, byTemplate+"_prefix", templateKey(idOrName))
	must(err)
	if raw == nil {
		return nil, nil
	}
	q := raw.(*preparedQuery)
	if q.Template.Regexp != "" && q.re == nil {
		return nil, nil
	}
	return &q.PreparedQuery, q.re
}

// Autopilot returns autopilot's configuration, nil when none was set.
func (r *Reader) Autopilot() (uint64, *berth.AutopilotConfig) {
	c := first[berth.AutopilotConfig](r.txn, nil, tableAutopilot, byID, globalsKey())
	return r.globals(nil).Autopilot, c
}
