package dnsproxy

import (
	"fmt"
	"testing"
	"time"

	"berth/internal/testutil"

	"github.com/miekg/dns"
)

// asked is how many questions each upstream has got.
func asked(list ...*fakeUpstream) []int64 {
	var out []int64
	for _, u := range list {
		out = append(out, u.queries.Load())
	}
	return out
}

// policy runs a server with two upstreams that both know n0.test to n9.test.
func policy(t *testing.T, name string) (s *Server, a, b *fakeUpstream) {
	var records []string
	for i := range 10 {
		records = append(records, fmt.Sprintf("n%d.test. 300 A 192.0.2.%d", i, i+1))
	}
	a, b = newUpstream(t, records...), newUpstream(t, records...)
	return start(t, sample(), upstreams(a, b), func(c *Config) { c.Forward.Policy = name }), a, b
}

func want(t *testing.T, s *Server, n int) {
	t.Helper()
	Case{fmt.Sprintf("n%d.test", n), "A", fmt.Sprintf("NOERROR\nan n%d.test. 300 A 192.0.2.%d", n, n+1)}.check(t, s)
}

// TestPolicy_Sequential asks the first upstream as long as it answers, even a slow one: a VPN's
// resolver that is listed first really is the first.
func TestPolicy_Sequential(t *testing.T) {
	s, a, b := policy(t, PolicySequential)
	a.behave(func(dns.ResponseWriter, *dns.Msg) bool { time.Sleep(300 * time.Millisecond); return false })
	for i := range 3 {
		want(t, s, i)
	}
	testutil.Equal(t, asked(a, b), []int64{3, 0})
	a.behave(silent)
	began := time.Now()
	want(t, s, 3)
	if d := time.Since(began); d < 900*time.Millisecond || d > 3*time.Second {
		t.Errorf("the second upstream was asked after %v, not 1 s", d)
	}
	a.behave(rcode(dns.RcodeRefused))
	want(t, s, 4)
	testutil.Equal(t, b.queries.Load(), int64(2))
}

func TestPolicy_RoundRobin(t *testing.T) {
	s, a, b := policy(t, PolicyRoundRobin)
	for i := range 6 {
		want(t, s, i)
	}
	testutil.Equal(t, asked(a, b), []int64{3, 3})
}

// TestPolicy_All asks everybody at once, so that a dead upstream delays nothing.
func TestPolicy_All(t *testing.T) {
	s, a, b := policy(t, PolicyAll)
	a.behave(silent)
	b.behave(func(dns.ResponseWriter, *dns.Msg) bool { // an answer would call back the question to a, if that is still on its way
		for until := time.Now().Add(5 * time.Second); a.queries.Load() < b.queries.Load() && time.Now().Before(until); {
			time.Sleep(time.Millisecond)
		}
		return false
	})
	began := time.Now()
	for i := range 4 {
		want(t, s, i)
	}
	if d := time.Since(began); d > time.Second {
		t.Errorf("four questions took %v: one waited for the dead upstream", d)
	}
	testutil.Equal(t, asked(a, b), []int64{4, 4})
}

// TestPolicy_Fastest settles on the upstream that answers first.
func TestPolicy_Fastest(t *testing.T) {
	s, a, b := policy(t, PolicyFastest)
	a.behave(func(dns.ResponseWriter, *dns.Msg) bool { time.Sleep(50 * time.Millisecond); return false })
	for i := range 10 {
		want(t, s, i)
	}
	if got := asked(a, b); got[0] > 3 {
		t.Errorf("asked %v times, the slow one first", got)
	}
}

// TestCache_Bounds is each setting of the cache.
func TestCache_Bounds(t *testing.T) {
	for name, c := range map[string]struct {
		cache CacheConfig
		typ   string
		ask   string
		ttl   uint32        // in the first answer
		age   time.Duration // after which it is asked for again
	}{
		"as it came":  {CacheConfig{}, "A", "www.test", 300, 300 * time.Second},
		"max":         {CacheConfig{MaxTTL: 20 * time.Second}, "A", "www.test", 20, 20 * time.Second},
		"min":         {CacheConfig{MinTTL: 30 * time.Second}, "A", "short.test", 30, 30 * time.Second},
		"negative":    {CacheConfig{}, "MX", "www.test", 0, 60 * time.Second},
		"maximum neg": {CacheConfig{MaxNeg: 5 * time.Second}, "MX", "www.test", 0, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t, testSOA, "www.test. 300 A 192.0.2.1", "short.test. 2 A 192.0.2.2")
			s := start(t, sample(), upstreams(u), func(cfg *Config) { cfg.Cache = c.cache })
			if m := ask(t, s, c.ask, c.typ); c.typ == "A" {
				testutil.Equal(t, m.Answer[0].Header().Ttl, c.ttl)
			}
			age(s, c.age-2*time.Second)
			ask(t, s, c.ask, c.typ)
			testutil.Equal(t, u.queries.Load(), int64(1))
			age(s, 2*time.Second)
			ask(t, s, c.ask, c.typ)
			testutil.Equal(t, u.queries.Load(), int64(2))
		})
	}
}

func TestCache_Off(t *testing.T) {
	u := newUpstream(t, testSOA, "www.test. 300 A 192.0.2.1")
	s := start(t, sample(), upstreams(u), func(c *Config) { c.Cache.Entries = -1 })
	for range 3 {
		Case{"www.test", "A", wwwOne}.check(t, s)
	}
	testutil.Equal(t, u.queries.Load(), int64(3))
}

// TestCache_FullOfEntries keeps no more than it may, by number and by size.
func TestCache_FullOfEntries(t *testing.T) {
	for _, cfg := range []CacheConfig{{Entries: 128}, {Bytes: 64 << 10}} {
		var records []string
		for i := range 400 {
			records = append(records, fmt.Sprintf("n%d.test. 300 A 192.0.2.1", i))
		}
		u := newUpstream(t, records...)
		s := start(t, sample(), upstreams(u), func(c *Config) { c.Cache = cfg })
		for i := range 400 {
			ask(t, s, fmt.Sprintf("n%d.test", i), "A")
		}
		if st := s.Stats(); st.CacheEntries > 300 || st.CacheEntries < 32 || st.CacheEvicted == 0 {
			t.Errorf("%+v: %d entries of %d bytes, %d evicted", cfg, st.CacheEntries, st.CacheBytes, st.CacheEvicted)
		}
	}
}

func TestCache_NoStale(t *testing.T) {
	u := newUpstream(t, "www.test. 2 A 192.0.2.1")
	s := start(t, sample(), upstreams(u), func(c *Config) { c.Cache.StaleFor = -1 })
	ask(t, s, "www.test", "A")
	age(s, 10*time.Second)
	u.behave(rcode(dns.RcodeServerFailure))
	testutil.Equal(t, ask(t, s, "www.test", "A").Rcode, dns.RcodeServerFailure)
}

// TestForwarder_WhatIsPassedOnWhenTold turns off what keeps questions here.
func TestForwarder_WhatIsPassedOnWhenTold(t *testing.T) {
	u := newUpstream(t, testSOA, "corp. 300 A 192.0.2.1", "9.1.168.192.in-addr.arpa. 300 PTR box.test.", "www.test. 300 A 192.0.2.1")
	s := start(t, sample(), upstreams(u), func(c *Config) {
		c.Forward.NoBogusPriv, c.Forward.NoDomainNeeded, c.Forward.ForwardANY = true, true, true
	})
	for _, c := range []Case{
		{"corp", "A", "NOERROR\nan corp. 300 A 192.0.2.1"},
		{"9.1.168.192.in-addr.arpa", "PTR", "NOERROR\nan 9.1.168.192.in-addr.arpa. 300 PTR box.test."},
		{"www.test", "ANY", "NOERROR\nns " + testSOA}, // what this upstream says to it
		{"web", "A", "NOERROR aa\nan web. 0 A 10.0.0.1\nan web. 0 A 10.0.0.2"},
	} {
		c.check(t, s)
	}
}
