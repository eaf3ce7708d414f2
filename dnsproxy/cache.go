package dnsproxy

import (
	"sync"
	"sync/atomic"
	"time"
)

const cacheShards = 64

// cache keeps forwarded answers in wire form, bounded by count and bytes.
type cache struct {
	cfg    atomic.Pointer[CacheConfig]
	start  time.Time
	ahead  atomic.Int64 // added to the clock, by tests
	shards [cacheShards]cacheShard

	recovered atomic.Int64 // clock when upstreams came back: failures from before do not count

	expired, evicted atomic.Uint64
	refresh          func(*entry, *query) // called on a hit that wants a refresh soon
}

type cacheShard struct {
	mu    sync.RWMutex // guards what follows
	m     map[uint64]*entry
	bytes int
}

func newCache(cfg CacheConfig) *cache {
	c := &cache{start: time.Now()}
	c.cfg.Store(&cfg)
	for i := range c.shards {
		c.shards[i].m = map[uint64]*entry{}
	}
	return c
}

// clock is now on the cache's monotonic clock.
func (c *cache) clock(now time.Time) int64 { return int64(now.Sub(c.start)) + c.ahead.Load() }

// slot is the hash of q with what else tells answers apart.
func (q *query) slot() uint64 {
	h := q.hash
	if q.do {
		h ^= 0x9e3779b97f4a7c15
	}
	if q.cd() {
		h ^= 0xc2b2ae3d27d4eb4f
	}
	return h
}

// find is the entry for q, fresh or not, or nil.
func (c *cache) find(q *query) *entry {
	h := q.slot()
	sh := &c.shards[h%cacheShards]
	sh.mu.RLock()
	e := sh.m[h]
	sh.mu.RUnlock()
	if e == nil || e.key != string(q.key()) || e.do != q.do || e.cd != q.cd() {
		return nil
	}
	return e
}

// age is how many whole seconds ago e was stored; false: it must not be used without asking.
func (c *cache) age(e *entry, clock int64) (uint32, bool) {
	age := uint32((clock - e.stored) / int64(time.Second))
	return age, age < e.life && (e.rcode != rcodeServFail || e.stored >= c.recovered.Load())
}

// resting tells whether a refresh of e failed so lately that it is not tried again yet.
func (c *cache) resting(e *entry, now time.Time) bool {
	failed, clock := e.failed.Load(), c.clock(now)
	return failed != 0 && clock-failed < int64(staleRetry) && failed >= c.recovered.Load()
}

// fresh is the entry for q that has not expired, with its age, or nil.
func (c *cache) fresh(q *query, now time.Time) (*entry, uint32) {
	e := c.find(q)
	if e == nil {
		return nil, 0
	}
	clock := c.clock(now)
	age, ok := c.age(e, clock)
	if !ok {
		return nil, 0
	}
	e.used.Store(clock)
	return e, age
}

// answer is the reply to q from a fresh entry, or nil.
func (c *cache) answer(q *query, out []byte, now time.Time) []byte {
	e := c.find(q)
	if e == nil {
		return nil
	}
	clock := c.clock(now)
	age, ok := c.age(e, clock)
	if !ok {
		return nil
	}
	hits := e.hits.Add(1)
	e.used.Store(clock)
	if hits >= 3 && age >= e.life-e.life/10 && c.refresh != nil && e.life >= 10 && e.busy.CompareAndSwap(false, true) {
		c.refresh(e, q)
	}
	reply, _ := e.write(q, out, age, false)
	return reply
}

// put stores e for q in place of what is there.
func (c *cache) put(q *query, e *entry, now time.Time) {
	cfg := c.cfg.Load()
	if cfg.Entries < 0 {
		return
	}
	e.stored = c.clock(now)
	e.used.Store(e.stored)
	h := q.slot()
	sh := &c.shards[h%cacheShards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if old := sh.m[h]; old != nil {
		sh.bytes -= old.bytes()
		delete(sh.m, h)
	}
	if e.life == 0 {
		return // not to be kept, and newer than what was
	}
	sh.m[h] = e
	sh.bytes += e.bytes()
	for len(sh.m) > 1 && (len(sh.m) > max(cfg.Entries/cacheShards, 1) || sh.bytes > cfg.Bytes/cacheShards) {
		c.evict(sh, e)
	}
}

// stale is an entry for q that has expired but may stand in for an answer, or nil.
func (c *cache) stale(q *query, now time.Time) *entry {
	e, cfg := c.find(q), c.cfg.Load()
	if e == nil || cfg.StaleFor < 0 || e.rcode == rcodeServFail {
		return nil
	}
	if c.clock(now)-e.stored > int64(time.Duration(e.life)*time.Second+cfg.StaleFor) {
		return nil
	}
	return e
}

// putFailure remembers for a few seconds that q could not be answered (RFC 9520). It never
// takes the place of an answer; there it only puts off the next refresh.
func (c *cache) putFailure(q *query, ede uint16, now time.Time) {
	life := uint32(failureTTL)
	if old := c.find(q); old != nil {
		if old.rcode != rcodeServFail {
			old.failed.Store(max(c.clock(now), 1))
			return
		}
		life = min(2*old.life, failureLimit)
	}
	c.put(q, &entry{key: string(q.key()), do: q.do, cd: q.cd(), rcode: rcodeServFail, ede: ede, life: life}, now)
}

// evict drops the least recently used of a few entries, but not keep.
func (c *cache) evict(sh *cacheShard, keep *entry) {
	var victim uint64
	var worst *entry
	n := 0
	for h, e := range sh.m { // map order is random enough for a sample
		if e == keep {
			continue
		}
		if worst == nil || e.used.Load() < worst.used.Load() {
			victim, worst = h, e
		}
		if n++; n == 6 {
			break
		}
	}
	if worst != nil {
		delete(sh.m, victim)
		sh.bytes -= worst.bytes()
		c.evicted.Add(1)
	}
}

// sweep drops what is too old even to stand in for an answer.
func (c *cache) sweep(now time.Time) {
	clock := c.clock(now)
	keep := max(c.cfg.Load().StaleFor, 0)
	for i := range c.shards {
		sh := &c.shards[i]
		sh.mu.Lock()
		for h, e := range sh.m {
			keep := keep
			if e.rcode == rcodeServFail {
				keep = failureLimit * time.Second
			}
			if clock-e.stored > int64(time.Duration(e.life)*time.Second+keep) {
				delete(sh.m, h)
				sh.bytes -= e.bytes()
				c.expired.Add(1)
			}
		}
		sh.mu.Unlock()
	}
}

// purge drops all entries whose wire name ends in the given one; the root is all.
func (c *cache) purge(zone []byte) int {
	n := 0
	for i := range c.shards {
		sh := &c.shards[i]
		sh.mu.Lock()
		for h, e := range sh.m {
			if _, ok := suffix([]byte(e.key[:len(e.key)-2]), zone); ok {
				delete(sh.m, h)
				sh.bytes -= e.bytes()
				n++
			}
		}
		sh.mu.Unlock()
	}
	return n
}

// size is how many entries and bytes are kept.
func (c *cache) size() (entries, bytes int) {
	for i := range c.shards {
		c.shards[i].mu.RLock()
		entries += len(c.shards[i].m)
		bytes += c.shards[i].bytes
		c.shards[i].mu.RUnlock()
	}
	return entries, bytes
}
