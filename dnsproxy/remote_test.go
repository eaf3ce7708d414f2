package dnsproxy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"berth"
	"berth/internal/testutil"

	"github.com/miekg/dns"
)

// fakeRemote is datacenter dc2, with its own catalog.
type fakeRemote struct {
	*catalog
	mu    sync.Mutex
	err   error
	calls int
}

func (r *fakeRemote) check(dc string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	if dc != "dc2" {
		return berth.ErrNoPath
	}
	return r.err
}

func (r *fakeRemote) fail(err error) { r.mu.Lock(); r.err = err; r.mu.Unlock() }

func (r *fakeRemote) Service(_ context.Context, dc, name string) ([]*berth.HealthEntry, error) {
	if err := r.check(dc); err != nil {
		return nil, err
	}
	return r.catalog.Service(name), nil
}

func (r *fakeRemote) Node(_ context.Context, dc, name string) (*berth.Node, error) {
	if err := r.check(dc); err != nil {
		return nil, err
	}
	n, _ := r.catalog.Node(name)
	return n, nil
}

func (r *fakeRemote) Query(_ context.Context, dc, name string, src netip.Addr) (*berth.QueryResult, error) {
	if name != "geo-web" || !src.IsLoopback() {
		return nil, &berth.InvalidError{Status: 404, Text: "Query not found"}
	}
	return &berth.QueryResult{Service: "web", Nodes: r.catalog.Service("web"), DNS: berth.QueryDNSOptions{TTL: "7s"}, Datacenter: "dc2"}, nil
}

func dc2() *fakeRemote {
	c := newCatalog()
	c.node("m1", "10.2.0.1")
	c.node("m2", "10.2.0.2")
	c.add("m1", "consul", "", 8300)
	c.add("m1", "web", "", 80, tags("blue"))
	c.add("m2", "web", "", 80, status(berth.StatusCritical))
	return &fakeRemote{catalog: c}
}

func TestRemote_Answers(t *testing.T) {
	s := start(t, sample(), func(c *Config) { c.Remote = dc2() })
	for _, c := range []Case{
		{"web.service.dc2.consul", "A", "NOERROR aa\nan web.service.dc2.consul. 0 A 10.2.0.1"},
		{"blue.web.service.DC2.consul", "SRV", "NOERROR aa\nan blue.web.service.DC2.consul. 0 SRV 1 1 80 m1.node.dc2.consul.\nar m1.node.dc2.consul. 0 A 10.2.0.1"},
		{"web.service.dc2.dc.consul", "AAAA", nodata},
		{"none.service.dc2.consul", "A", nxdomain},
		{"m2.node.dc2.consul", "A", "NOERROR aa\nan m2.node.dc2.consul. 0 A 10.2.0.2"},
		{"m9.node.dc2.consul", "A", nxdomain},
		{"service.dc2.consul", "A", nodata},
		{"dc2.consul", "A", nodata},
		{"dc3.consul", "A", nxdomain},
		{"web.service.dc3.consul", "A", nxdomain},
		{"0a010101.addr.dc2.consul", "A", "NOERROR aa\nan 0a010101.addr.dc2.consul. 0 A 10.1.1.1"},
		{"other.query.consul", "A", nxdomain},
		{"query.consul", "A", nodata},
	} {
		c.check(t, s)
		c.check(t, s, "tcp")
	}
	m := ask(t, s, "geo-web.query.consul", "A")
	testutil.Equal(t, len(m.Answer), 2) // the query has chosen, critical or not
	testutil.Equal(t, m.Answer[0].Header().Ttl, uint32(7))
	m = ask(t, s, "_geo-web._tcp.query.consul", "SRV")
	if target := m.Answer[0].(*dns.SRV).Target; !strings.HasSuffix(target, ".node.dc2.consul.") {
		t.Fatal(target)
	}
}

func TestRemote_KeepsLastAnswer(t *testing.T) {
	r := dc2()
	s := start(t, sample(), func(c *Config) { c.Remote = r })
	r.fail(errors.New("link is down"))
	m := ask(t, s, "web.service.dc2.consul", "A", "edns=1232")
	testutil.Equal(t, m.Rcode, dns.RcodeServerFailure)
	r.fail(nil)
	want := Case{"web.service.dc2.consul", "A", "NOERROR aa\nan web.service.dc2.consul. 0 A 10.2.0.1"}
	want.check(t, s)
	r.fail(errors.New("link is down"))
	for k, n := range s.remotes.m {
		_ = s.remotes.refresh(context.Background(), k, n)
	}
	want.check(t, s)
	r.fail(nil)
	r.catalog.add("m2", "web", "", 81)
	for k, n := range s.remotes.due(time.Now()) {
		testutil.NoError(t, s.remotes.refresh(context.Background(), k, n))
	}
	testutil.Equal(t, len(ask(t, s, "web.service.dc2.consul", "A").Answer), 2)
}

func TestRemote_HotNameIsAnsweredWithoutAsking(t *testing.T) {
	r := dc2()
	s := start(t, sample(), func(c *Config) { c.Remote = r })
	for range 20 {
		testutil.Equal(t, len(ask(t, s, "web.service.dc2.consul", "A").Answer), 1)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls > 2 {
		t.Fatalf("asked %d times", r.calls)
	}
}

func TestRemote_NewNameIsAnsweredAtOnce(t *testing.T) {
	r := dc2()
	s := start(t, sample(), func(c *Config) { c.Remote = r })
	for range 3 {
		testutil.Equal(t, ask(t, s, "later.service.dc2.consul", "A").Rcode, dns.RcodeNameError)
	}
	r.catalog.add("m1", "later", "", 80)
	testutil.Equal(t, len(ask(t, s, "later.service.dc2.consul", "A").Answer), 1)
}

func TestExternal_Chase(t *testing.T) {
	u := newUpstream(t, testSOA, "www.test. 300 A 192.0.2.1", "www.test. 300 AAAA 2001:db8::1", "alias.test. 60 CNAME www.test.")
	c := sample()
	c.node("ext", "www.test")
	c.node("ext2", "none.test")
	c.add("ext", "shop", "", 443)
	c.add("ext", "mail", "alias.test", 25)
	c.add("ext2", "lost", "", 80)
	c.add("n1", "inner", "web.service.consul", 80)
	c.add("n1", "mix", "", 80)
	c.add("ext", "mix", "", 80)
	s := start(t, c, upstreams(u), func(cfg *Config) { cfg.Zone.ServiceTTL = map[string]time.Duration{"*": 9 * time.Second} })
	for _, x := range []Case{
		{"shop.service.consul", "A", "NOERROR aa\nan shop.service.consul. 9 CNAME www.test.\nan www.test. 300 A 192.0.2.1"},
		{"shop.service.consul", "AAAA", "NOERROR aa\nan shop.service.consul. 9 CNAME www.test.\nan www.test. 300 AAAA 2001:db8::1"},
		{"mail.service.consul", "A", "NOERROR aa\nan mail.service.consul. 9 CNAME alias.test.\nan alias.test. 60 CNAME www.test.\nan www.test. 300 A 192.0.2.1"},
		{"lost.service.consul", "A", "NOERROR aa\nan lost.service.consul. 9 CNAME none.test."},
		{"inner.service.consul", "A", "NOERROR aa\nan inner.service.consul. 9 CNAME web.service.consul.\nan web.service.consul. 9 A 10.0.0.1\nan web.service.consul. 9 A 10.0.0.2"},
		{"mix.service.consul", "A", "NOERROR aa\nan mix.service.consul. 9 A 10.0.0.1"},
		{"ext.node.consul", "A", "NOERROR aa\nan ext.node.consul. 0 CNAME www.test.\nan www.test. 300 A 192.0.2.1"},
		{"mail.service.consul", "SRV", "NOERROR aa\nan mail.service.consul. 9 SRV 1 1 25 alias.test.\nar alias.test. 9 A 192.0.2.1"},
		{"lost.service.consul", "SRV", "NOERROR aa\nan lost.service.consul. 9 SRV 1 1 80 none.test."},
	} {
		x.check(t, s, "edns=4096")
		if x.typ != "SRV" {
			x.check(t, s, "tcp")
		}
	}
	u.behave(rcode(dns.RcodeServerFailure))
	s.Purge("")
	m := ask(t, s, "shop.service.consul", "A", "edns=1232")
	testutil.Equal(t, len(m.Answer), 1)
	testutil.Equal(t, m.IsEdns0().Option[0].(*dns.EDNS0_EDE).InfoCode, uint16(dns.ExtendedErrorCodeNoReachableAuthority))
	if first := fmt.Sprint(m.Answer[0]); !strings.Contains(first, "CNAME") {
		t.Fatal(first)
	}
}
