package dnsproxy

import (
	"sync"
	"sync/atomic"
	"time"

	"berth/dnsproxy/socket"
)

// counters are the counts of one reader; readers do not share cache lines.
type counters struct {
	queries, tcp, dropped, refused, limited atomic.Uint64
	zoneHits, zoneMisses, cacheHits         atomic.Uint64
	forwarded, stale, truncated, panics     atomic.Uint64
	shed, failed, refusedConns, trailing    atomic.Uint64
	rcodes                                  [7]atomic.Uint64 // the last is all others
	_                                       [64]byte
}

func (c *counters) rcode(r uint16) { c.rcodes[min(int(r), len(c.rcodes)-1)].Add(1) }

// stats holds the counters of all readers.
type stats struct {
	mu       sync.Mutex // guards readers
	readers  []*counters
	panicLog every
	cutLog   every
}

// reader makes the counters of a new reader.
func (s *stats) reader() *counters {
	c := &counters{}
	s.mu.Lock()
	s.readers = append(s.readers, c)
	s.mu.Unlock()
	return c
}

// every lets something happen at most once per interval.
type every struct{ last atomic.Int64 }

func (e *every) allow(now time.Time, interval time.Duration) bool {
	last := e.last.Load()
	return now.UnixNano()-last >= int64(interval) && e.last.CompareAndSwap(last, now.UnixNano())
}

// Stats is what a server has counted since it was made, and what it holds now.
type Stats struct {
	Queries      uint64 // datagrams and TCP messages
	TCPQueries   uint64
	Dropped      uint64 // no answer: too short, not a query, bad source
	Refused      uint64 // client not allowed
	RateLimited  uint64
	ZoneHits     uint64 // answered from a packed local answer
	ZoneMisses   uint64 // local answer built
	CacheHits    uint64 // answered from the cache of forwarded names
	Forwarded    uint64 // had to wait for an upstream
	Stale        uint64 // answered with expired data
	Failed       uint64 // no upstream answered, nothing to fall back on
	Shed         uint64 // refused because too many wait
	Truncated    uint64 // answers cut for lack of room
	Trailing     uint64 // queries with bytes behind them
	Panics       uint64
	RefusedConns uint64            // TCP connections over the limits
	Rcodes       map[string]uint64 // replies by rcode; OTHER is the rest

	InFlight       int // questions waiting for other hosts
	TCPConns       int
	Answers        int // packed local answers kept
	CacheEntries   int
	CacheBytes     int
	CacheExpired   uint64
	CacheEvicted   uint64
	QueryLogLost   uint64
	SocketDrops    uint64 // datagrams that the kernel dropped before we read them
	ReplicaLag     time.Duration
	ReplicaSynced  bool
	Upstreams      []UpstreamStats
	BoundAddresses []string
}

// UpstreamStats is what is known of one upstream.
type UpstreamStats struct {
	Address   string
	Domain    string // "" for the default ones
	RTT       time.Duration
	Sent      uint64
	Answered  uint64
	Failed    uint64
	Suspected uint64 // datagrams that were not the answer: spoofing, or an upstream that is broken
	Failures  int    // consecutive
	InFlight  int
	Down      bool // failed lately, asked last
	Looping   bool // sends our questions back, not asked
	NoEDNS    bool // is asked without EDNS
}

// Stats gives the present counts.
func (s *Server) Stats() Stats {
	var st Stats
	s.stats.mu.Lock()
	readers := append([]*counters(nil), s.stats.readers...)
	s.stats.mu.Unlock()
	st.Rcodes = map[string]uint64{}
	for _, c := range readers {
		st.add(c)
	}
	st.InFlight, st.TCPConns, st.Answers = s.slots.inUse(), s.conns.size(), s.answers.len()
	st.CacheEntries, st.CacheBytes = s.fwd.cache.size()
	st.CacheExpired, st.CacheEvicted = s.fwd.cache.expired.Load(), s.fwd.cache.evicted.Load()
	st.QueryLogLost = s.qlog.dropped.Load()
	st.BoundAddresses = s.Addrs()
	st.SocketDrops = socket.Drops(s.bound())
	if v := s.view(); v != nil {
		st.ReplicaLag, st.ReplicaSynced = v.Lag(), v.Synced()
	}
	r := s.fwd.routes.Load()
	st.Upstreams = upstreamStats(st.Upstreams, r.def, "")
	for i, g := range r.domains {
		if g != r.def {
			st.Upstreams = upstreamStats(st.Upstreams, g, r.cfg.Domains[i].Domain)
		}
	}
	return st
}

func (st *Stats) add(c *counters) {
	for _, p := range []struct {
		to   *uint64
		from *atomic.Uint64
	}{
		{&st.Queries, &c.queries}, {&st.TCPQueries, &c.tcp}, {&st.Dropped, &c.dropped}, {&st.Refused, &c.refused},
		{&st.RateLimited, &c.limited}, {&st.ZoneHits, &c.zoneHits}, {&st.ZoneMisses, &c.zoneMisses},
		{&st.CacheHits, &c.cacheHits}, {&st.Forwarded, &c.forwarded}, {&st.Stale, &c.stale}, {&st.Failed, &c.failed},
		{&st.Shed, &c.shed}, {&st.Truncated, &c.truncated}, {&st.Trailing, &c.trailing}, {&st.Panics, &c.panics},
		{&st.RefusedConns, &c.refusedConns},
	} {
		*p.to += p.from.Load()
	}
	for i := range c.rcodes {
		if n := c.rcodes[i].Load(); n > 0 {
			name := "OTHER"
			if i < len(c.rcodes)-1 {
				name = rcodeText(uint16(i))
			}
			st.Rcodes[name] += n
		}
	}
}

func upstreamStats(list []UpstreamStats, g *group, domain string) []UpstreamStats {
	now := time.Now()
	for _, u := range g.ups {
		list = append(list, UpstreamStats{
			Address: u.addr.String(), Domain: domain, RTT: time.Duration(u.srtt.Load()),
			Sent: u.sent.Load(), Answered: u.answered.Load(), Failed: u.failed.Load(), Suspected: u.spoofs.Load(),
			Failures: int(u.fails.Load()), InFlight: int(u.inFlight.Load()),
			Down: u.down(now), Looping: u.loop.Load(), NoEDNS: u.noEDNS.Load() > now.UnixNano(),
		})
	}
	return list
}
