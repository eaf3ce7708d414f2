package dnsproxy

import (
	"fmt"
	"testing"
	"time"

	"berth/internal/testutil"

	"github.com/miekg/dns"
)

// soon fails the test when a reply took longer than a person or a probe would call at once.
// The machine may be busy.
func soon(t *testing.T, what string, began time.Time, limit time.Duration) {
	t.Helper()
	if d := time.Since(began); d > limit {
		t.Errorf("%s took %v, more than %v", what, d, limit)
	}
}

// TestForwarder_BlackHole loses the only upstream without a word: what is kept is answered at
// once, what is not is refused in time, and its return is seen within a second.
func TestForwarder_BlackHole(t *testing.T) {
	u := newUpstream(t, testSOA, "www.test. 300 A 192.0.2.1", "old.test. 2 A 192.0.2.2", "new.test. 300 A 192.0.2.3", "last.test. 300 A 192.0.2.4")
	s := start(t, sample(), upstreams(u))
	Case{"www.test", "A", wwwOne}.check(t, s)
	Case{"old.test", "A", "NOERROR\nan old.test. 2 A 192.0.2.2"}.check(t, s)
	u.behave(silent)
	began := time.Now()
	failed := make(chan time.Duration, 1)
	go func() {
		m := ask(t, s, "new.test", "A", "edns=1232")
		if m.Rcode != dns.RcodeServerFailure {
			t.Errorf("got %v", m)
		}
		failed <- time.Since(began)
	}()
	for range 20 {
		at := time.Now()
		Case{"www.test", "A", wwwOne}.check(t, s)
		soon(t, "a name in the cache", at, 300*time.Millisecond)
	}
	if d := <-failed; d > 4*time.Second {
		t.Errorf("the answer to a name not in the cache took %v, more than 3.8 s", d)
	}
	began = time.Now()
	Case{"old.test", "A", "NOERROR\nan old.test. 30 A 192.0.2.2"}.check(t, s)
	soon(t, "an expired name", began, 500*time.Millisecond)

	waiting := make(chan time.Time, 1) // this question is sent out while nobody answers
	go func() {
		Case{"last.test", "A", "NOERROR\nan last.test. 300 A 192.0.2.4"}.check(t, s)
		waiting <- time.Now()
	}()
	sent := u.queries.Load()
	testutil.Eventually(t, 5*time.Second, 5*time.Millisecond, func() error {
		if n := u.queries.Load() - sent; n < 6 { // its attempts, and probes
			return fmt.Errorf("%d datagrams", n)
		}
		return nil
	})
	u.behave(nil)
	back := time.Now()
	if d := (<-waiting).Sub(back); d > time.Second {
		t.Errorf("the question that was waiting was answered %v after the return", d)
	}
	Case{"new.test", "A", "NOERROR\nan new.test. 300 A 192.0.2.3"}.check(t, s)
	soon(t, "a name that had failed", back, 1200*time.Millisecond)
}

// TestForwarder_ShortOutage: a question that was sent while the upstream was away for a moment is
// answered soon after its return, though nobody has found out yet that it was away.
func TestForwarder_ShortOutage(t *testing.T) {
	u := newUpstream(t, "www.test. 300 A 192.0.2.1")
	s := start(t, sample(), upstreams(u), func(c *Config) { c.Forward.Timeout = 30 * time.Second })
	u.behave(silent)
	answered := make(chan time.Time, 1)
	go func() {
		Case{"www.test", "A", wwwOne}.check(t, s)
		answered <- time.Now()
	}()
	testutil.Eventually(t, 10*time.Second, 5*time.Millisecond, func() error {
		if n := u.queries.Load(); n < 4 { // all attempts, and one that was sent again
			return fmt.Errorf("%d datagrams", n)
		}
		return nil
	})
	u.behave(nil)
	back := time.Now()
	if d := (<-answered).Sub(back); d > 1200*time.Millisecond {
		t.Errorf("answered %v after the return", d)
	}
}

// TestForwarder_ReturnEndsRememberedFailures fails a name until its failure is kept for 4 s and
// a refresh is put off for 30 s: the return of the upstream ends both.
func TestForwarder_ReturnEndsRememberedFailures(t *testing.T) {
	u := newUpstream(t, testSOA, "www.test. 300 A 192.0.2.1", "old.test. 2 A 192.0.2.2")
	s := start(t, sample(), upstreams(u), func(c *Config) { c.Forward.Timeout = 300 * time.Millisecond })
	Case{"old.test", "A", "NOERROR\nan old.test. 2 A 192.0.2.2"}.check(t, s)
	u.behave(silent)
	for range 3 {
		testutil.Equal(t, ask(t, s, "www.test", "A").Rcode, dns.RcodeServerFailure)
		age(s, 5*time.Second)
	}
	testutil.Equal(t, ask(t, s, "www.test", "A").Rcode, dns.RcodeServerFailure)
	Case{"old.test", "A", "NOERROR\nan old.test. 30 A 192.0.2.2"}.check(t, s)
	u.behave(nil)
	began := time.Now()
	testutil.Eventually(t, 5*time.Second, 10*time.Millisecond, func() error {
		if m := ask(t, s, "www.test", "A"); m.Rcode != dns.RcodeSuccess {
			return fmt.Errorf("still %s", dns.RcodeToString[m.Rcode])
		}
		return nil
	})
	soon(t, "recovery", began, time.Second)
	Case{"old.test", "A", "NOERROR\nan old.test. 2 A 192.0.2.2"}.check(t, s)
}

// TestForwarder_SlowUpstreamDelaysStaleOnce: only the first client waits for a dead upstream.
func TestForwarder_SlowUpstreamDelaysStaleOnce(t *testing.T) {
	u := newUpstream(t, "www.test. 2 A 192.0.2.1")
	s := start(t, sample(), upstreams(u), func(c *Config) {
		c.Forward.Timeout, c.Cache.StaleAfter = 600*time.Millisecond, 300*time.Millisecond
	})
	Case{"www.test", "A", "NOERROR\nan www.test. 2 A 192.0.2.1"}.check(t, s)
	age(s, 10*time.Second)
	u.behave(silent)
	Case{"www.test", "A", wwwStale}.check(t, s)
	testutil.Eventually(t, 5*time.Second, 5*time.Millisecond, func() error {
		if up := s.Stats().Upstreams[0]; up.Failures == 0 {
			return fmt.Errorf("not given up yet")
		}
		return nil
	})
	for range 10 {
		began := time.Now()
		Case{"www.test", "A", wwwStale}.check(t, s)
		soon(t, "a stale answer", began, 250*time.Millisecond)
	}
}
