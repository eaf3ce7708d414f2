package dnsproxy

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"berth/internal/testutil"

	"github.com/miekg/dns"
)

// stuck is an upstream that holds all questions until it is released, and a way to ask in the
// background.
type stuck struct {
	t       *testing.T
	u       *fakeUpstream
	release chan struct{}
	wg      sync.WaitGroup
}

func newStuck(t *testing.T) *stuck {
	s := &stuck{t: t, u: newUpstream(t, testSOA), release: make(chan struct{})}
	s.u.behave(func(dns.ResponseWriter, *dns.Msg) bool { <-s.release; return false })
	return s
}

// ask sends n questions and returns when want of them wait.
func (s *stuck) ask(srv *Server, n int, name func(int) string) {
	s.t.Helper()
	before := srv.Stats().InFlight
	for i := range n {
		s.wg.Go(func() { ask(s.t, srv, name(i), "A", "tcp") })
	}
	testutil.Eventually(s.t, 5*time.Second, time.Millisecond, func() error {
		if got := srv.Stats().InFlight - before; got < n {
			return fmt.Errorf("%d wait", got)
		}
		return nil
	})
}

func (s *stuck) end() { close(s.release); s.wg.Wait() }

// atOnce wants SERVFAIL without a wait, and catalog names answered all the same.
func atOnce(t *testing.T, s *Server, name string) {
	t.Helper()
	began := time.Now()
	testutil.Equal(t, ask(t, s, name, "A").Rcode, dns.RcodeServerFailure)
	soon(t, "refusing a question too many", began, time.Second)
	testutil.Equal(t, len(ask(t, s, "web.service.consul", "A").Answer), 2)
}

func TestFlood_AllSlotsTaken(t *testing.T) {
	up := newStuck(t)
	s := start(t, sample(), upstreams(up.u), func(c *Config) { c.Limits.Concurrent = 6 })
	up.ask(s, 6, func(i int) string { return fmt.Sprintf("n%d.test", i) })
	atOnce(t, s, "more.test")
	testutil.Equal(t, s.Stats().Shed, uint64(1))
	up.end()
}

// TestFlood_OneDomain: random names below a domain whose upstream is stuck leave room for others.
func TestFlood_OneDomain(t *testing.T) {
	up, good := newStuck(t), newUpstream(t, "www.test. 300 A 192.0.2.1")
	s := start(t, sample(), upstreams(good), func(c *Config) {
		c.Limits.Concurrent, c.Forward.Domains = 10, []DomainConfig{{"corp.test", []string{up.u.addr}}}
	})
	up.ask(s, 5, func(i int) string { return fmt.Sprintf("n%d.corp.test", i) })
	atOnce(t, s, "more.corp.test")
	Case{"www.test", "A", wwwOne}.check(t, s)
	up.end()
}

func TestFlood_WaitersOfOneName(t *testing.T) {
	up := newStuck(t)
	s := start(t, sample(), upstreams(up.u), func(c *Config) { c.Limits.Waiters = 4 })
	up.ask(s, 4, func(int) string { return "same.test" })
	up.ask(s, 1, func(int) string { return "same.test" }) // the first asks, the others wait
	atOnce(t, s, "same.test")
	up.end()
}

func TestForwarder_WhatClientsElsewhereGet(t *testing.T) {
	h := newHandler(t, sample(), "www.example.com.", typeANY, false)
	set := *h.s.set.Load()
	set.allow = append(set.allow, netip.MustParsePrefix("0.0.0.0/0"))
	h.s.set.Store(&set)
	reply := h.from("172.17.0.9:4000").once()
	testutil.Equal(t, []bool{len(reply) == len(h.raw), reply[2]&2 != 0}, []bool{true, true}) // TC: ask over TCP
	reply = h.from("8.8.8.8:53").once()
	testutil.Equal(t, []bool{len(reply) == len(h.raw), reply[2]&2 != 0}, []bool{true, true})
}

// TestForwarder_TopOfTheTree: validators behind us need these of the root and of top-level
// domains; all other types of one label stay here.
func TestForwarder_TopOfTheTree(t *testing.T) {
	u := newUpstream(t, ". 300 NS a.root-servers.net.", ". 300 SOA a. b. 1 2 3 4 5", "com. 300 NS a.gtld-servers.net.",
		"com. 300 DS 1 8 2 00", "com. 300 DNSKEY 257 3 8 AAAA", "com. 300 SOA a. b. 1 2 3 4 5")
	s := start(t, sample(), upstreams(u))
	for _, typ := range []string{"NS", "SOA", "DS", "DNSKEY"} {
		testutil.Equal(t, len(ask(t, s, "com", typ, "do").Answer), 1)
	}
	testutil.Equal(t, len(ask(t, s, ".", "NS").Answer), 1)
	asked := u.queries.Load()
	for _, typ := range []string{"A", "AAAA", "SRV", "TXT", "MX", "HTTPS"} {
		testutil.Equal(t, ask(t, s, "com", typ).Rcode, dns.RcodeNameError)
	}
	testutil.Equal(t, u.queries.Load(), asked)
}

// TestZone_TooManyInstances: a registrator gone mad does not make answers without end.
func TestZone_TooManyInstances(t *testing.T) {
	c := many(maxInstances + 500)
	s := start(t, c, func(cfg *Config) { cfg.Limits.TCPConns = 4 })
	m := ask(t, s, "big.service.consul", "A", "tcp")
	if n := len(m.Answer); n < 4000 || n > maxInstances {
		t.Fatalf("%d records", n)
	}
	m = ask(t, s, "big.service.consul", "A", "edns=4096")
	testutil.Equal(t, []bool{m.Truncated, len(m.Answer) > 200}, []bool{true, true})
}

func TestQueryLog_NamesCannotForgeLines(t *testing.T) {
	var out safeBuffer
	s := start(t, sample(), func(c *Config) {
		c.QueryLog, c.QueryLogger = true, slog.New(slog.NewTextHandler(&out, nil))
	})
	overUDP(t, s.Addrs()[0], packet(0x0100, [4]uint16{1}, "\x0ba\nlevel=X b\x06consul\x00\x00\x01\x00\x01"), true)
	testutil.Eventually(t, 5*time.Second, time.Millisecond, func() error {
		if !strings.Contains(out.String(), "msg=query") {
			return fmt.Errorf("no line yet")
		}
		return nil
	})
	if text := out.String(); strings.Count(text, "\n") != 1 || strings.Contains(text, " level=X") {
		t.Fatalf("log is %q", text)
	}
}

type safeBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestNew_HostsFileThatIsNone(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "hosts")
	testutil.NoError(t, syscall.Mkfifo(pipe, 0o600))
	for _, file := range []string{pipe, os.DevNull + "/x", "/dev/zero"} {
		_, err := New(Config{Logger: testutil.Logger(t), View: sample().view, Static: StaticConfig{HostsFiles: []string{file}}})
		if err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: error is %v", file, err)
		}
	}
}
