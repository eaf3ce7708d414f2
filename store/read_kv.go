package store

import (
	"context"

	"github.com/hashicorp/go-memdb"

	"berth"
	"berth/store/state"
)

// KVGet gives one key; nil: missing.
func (s *Store) KVGet(ctx context.Context, key string, o berth.QueryOptions) (out *berth.KVEntry, m berth.QueryMeta, err error) {
	m, err = s.read(ctx, o, func(ws memdb.WatchSet, r *state.Reader) (idx uint64) {
		idx, out = r.KVGet(ws, key)
		return stillNothing(r, o, out == nil, key, false, idx)
	})
	return out, m, err
}

// stillNothing is idx, the index of a read of key (or of all below it), unless there was nothing
// at o.MinIndex and there still is nothing: then other keys' changes do not answer who waits.
func stillNothing(r *state.Reader, o berth.QueryOptions, empty bool, key string, below bool, idx uint64) uint64 {
	if empty && o.MinIndex > 0 && r.KVDeleted(key, below) <= o.MinIndex {
		return min(idx, o.MinIndex)
	}
	return idx
}

// KVList gives all keys below a prefix.
func (s *Store) KVList(ctx context.Context, prefix string, o berth.QueryOptions) (out []*berth.KVEntry, m berth.QueryMeta, err error) {
	m, err = s.read(ctx, o, func(ws memdb.WatchSet, r *state.Reader) (idx uint64) {
		idx, out = r.KVList(ws, prefix)
		return stillNothing(r, o, len(out) == 0, prefix, true, idx)
	})
	return out, m, err
}

// KVKeys gives the names of the keys below a prefix, cut behind the separator.
func (s *Store) KVKeys(ctx context.Context, prefix, separator string, o berth.QueryOptions) (out []string, m berth.QueryMeta, err error) {
	m, err = s.read(ctx, o, func(ws memdb.WatchSet, r *state.Reader) (idx uint64) {
		idx, out = r.KVKeys(ws, prefix, separator)
		return stillNothing(r, o, len(out) == 0, prefix, true, idx)
	})
	return out, m, err
}

// Session gives one session; nil: unknown.
func (s *Store) Session(ctx context.Context, id string, o berth.QueryOptions) (out *berth.Session, m berth.QueryMeta, err error) {
	m, err = s.read(ctx, o, func(ws memdb.WatchSet, r *state.Reader) (idx uint64) {
		idx, out = r.Session(ws, id)
		return idx
	})
	return out, m, err
}

// Sessions gives the sessions of a node, or all for "".
func (s *Store) Sessions(ctx context.Context, node string, o berth.QueryOptions) (out []*berth.Session, m berth.QueryMeta, err error) {
	m, err = s.read(ctx, o, func(ws memdb.WatchSet, r *state.Reader) (idx uint64) {
		idx, out = r.Sessions(ws, node)
		return idx
	})
	return out, m, err
}

// Coordinates gives the network coordinates of a node, or of all for "".
func (s *Store) Coordinates(ctx context.Context, node string, o berth.QueryOptions) (out []berth.NodeCoordinate, m berth.QueryMeta, err error) {
	m, err = s.read(ctx, o, func(ws memdb.WatchSet, r *state.Reader) (idx uint64) {
		idx, out = r.Coordinates(ws, node)
		return idx
	})
	return out, m, err
}

// Query gives a stored prepared query by ID or name; nil: unknown.
func (s *Store) Query(ctx context.Context, idOrName string, o berth.QueryOptions) (out *berth.PreparedQuery, m berth.QueryMeta, err error) {
	m, err = s.read(ctx, o, func(ws memdb.WatchSet, r *state.Reader) (idx uint64) {
		if idx, out = r.Query(ws, idOrName); out != nil {
			return idx
		}
		var all []*berth.PreparedQuery
		idx, all = r.Queries(ws)
		for _, q := range all {
			if q.Name != "" && q.Name == idOrName {
				out = q
				return q.ModifyIndex
			}
		}
		return idx
	})
	return out, m, err
}

// Queries gives all prepared queries.
func (s *Store) Queries(ctx context.Context, o berth.QueryOptions) (out []*berth.PreparedQuery, m berth.QueryMeta, err error) {
	m, err = s.read(ctx, o, func(ws memdb.WatchSet, r *state.Reader) (idx uint64) {
		idx, out = r.Queries(ws)
		return idx
	})
	return out, m, err
}

// TxnRead runs a transaction that only reads.
func (s *Store) TxnRead(ctx context.Context, ops []berth.TxnOp, o berth.QueryOptions) (out berth.TxnResponse, m berth.QueryMeta, err error) {
	o.MinIndex = 0
	m, err = s.read(ctx, o, func(_ memdb.WatchSet, r *state.Reader) uint64 {
		out = r.TxnRead(ops)
		return r.Index()
	})
	return out, m, err
}
