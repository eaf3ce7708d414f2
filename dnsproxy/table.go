package dnsproxy

import (
	"hash/maphash"
	"sync"
)

const (
	tableShards = 64
	shardMax    = 512  // answers per shard; a full shard drops a few at random
	shardNames  = 1024 // the same for an answer about a service or node that exists
	shardDrop   = 8    // how many are dropped
)

// table keeps local answers by name and type. It is bounded: names that exist are few, and
// what clients make up only pushes out what is rebuilt from memory.
type table struct {
	seed   maphash.Seed
	shards [tableShards]struct {
		mu sync.RWMutex // guards m
		m  map[uint64]*answer
		_  [32]byte
	}
}

func newTable() *table { return &table{seed: maphash.MakeSeed()} }

// find is the answer kept for q, or nil; the caller asks whether it is fresh.
func (t *table) find(q *query) *answer {
	sh := &t.shards[q.hash%tableShards]
	sh.mu.RLock()
	a := sh.m[q.hash]
	sh.mu.RUnlock()
	if a == nil || a.key != string(q.key()) {
		return nil
	}
	return a
}

// put keeps an answer for q. A large catalog may fill more of the table than names that
// clients make up.
func (t *table) put(q *query, a *answer) {
	a.key = string(q.key())
	sh := &t.shards[q.hash%tableShards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.m == nil {
		sh.m = map[uint64]*answer{}
	}
	limit := shardMax
	if a.own {
		limit = shardNames
	}
	if sh.m[q.hash] == nil && len(sh.m) >= limit {
		n := 0
		for k := range sh.m { // map order is random enough
			delete(sh.m, k)
			if n++; n == shardDrop {
				break
			}
		}
	}
	sh.m[q.hash] = a
}

// len is how many answers are kept.
func (t *table) len() int {
	n := 0
	for i := range t.shards {
		t.shards[i].mu.RLock()
		n += len(t.shards[i].m)
		t.shards[i].mu.RUnlock()
	}
	return n
}

// hash is the table's hash of q's name and type.
func (t *table) hash(q *query) uint64 { return maphash.Bytes(t.seed, q.key()) }
