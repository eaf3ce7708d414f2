//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"berth/internal/testutil"

	"github.com/miekg/dns"
)

// throughForwarder asks a resolver that forwards to the agent: names resolve, what does not exist
// is taken from it without asking again, and changes show.
func (s *dnsSite) throughForwarder(port int) {
	t := s.t
	t.Helper()
	server := fmt.Sprintf("127.0.0.1:%d", port)
	ask := func(network, name string, qtype uint16) *dns.Msg {
		t.Helper()
		began := time.Now()
		m, err := exchange(network, server, name, qtype)
		if err != nil {
			t.Fatalf("%s %s: %v", name, dns.TypeToString[qtype], err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("%s %s took %v", name, dns.TypeToString[qtype], took)
		}
		return m
	}
	want := func(m *dns.Msg, rcode, n int) {
		t.Helper()
		if m.Rcode != rcode || len(m.Answer) != n {
			t.Errorf("want %s with %d records, got\n%v", dns.RcodeToString[rcode], n, m)
		}
	}
	for range 2 {
		want(ask("udp", "web.service.consul", dns.TypeA), dns.RcodeSuccess, 2)
		want(ask("udp", "web.service.consul", dns.TypeAAAA), dns.RcodeSuccess, 0)
		want(ask("udp", "web.service.consul", dns.TypeTXT), dns.RcodeSuccess, 0)
		want(ask("udp", "_web._tcp.service.consul", dns.TypeSRV), dns.RcodeSuccess, 2)
		want(ask("udp", "nosuch.service.consul", dns.TypeA), dns.RcodeNameError, 0)
		want(ask("udp", "nosuch.service.consul", dns.TypeAAAA), dns.RcodeNameError, 0)
		want(ask("tcp", "big.service.consul", dns.TypeA), dns.RcodeSuccess, 60)
		want(ask("tcp", "_big._tcp.service.consul", dns.TypeSRV), dns.RcodeSuccess, 60)
	}
	name := fmt.Sprintf("late%d", port)
	want(ask("udp", name+".service.consul", dns.TypeA), dns.RcodeNameError, 0)
	s.register(name, 1)
	testutil.Eventually(t, 3*time.Second, 20*time.Millisecond, func() error {
		if m := ask("udp", name+".service.consul", dns.TypeA); len(m.Answer) != 1 {
			return fmt.Errorf("still %s", dns.RcodeToString[m.Rcode])
		}
		return nil
	})
}

// unbound starts unbound with one way to the agent.
func (s *dnsSite) unbound(zone string) int {
	port := testutil.FreePort(s.t)
	cfg := writeFile(s.t, filepath.Join(s.dir, fmt.Sprintf("unbound-%d.conf", port)), fmt.Sprintf(`server:
  interface: 127.0.0.1@%d
  username: ""
  chroot: ""
  directory: "%s"
  pidfile: ""
  use-syslog: no
  do-ip6: no
  do-not-query-localhost: no
  module-config: "iterator"
  qname-minimisation: yes
  qname-minimisation-strict: yes
  harden-below-nxdomain: yes
remote-control:
  control-enable: no
%s`, port, s.dir, zone))
	s.run(port, "usr/sbin/unbound", "-d", "-c", cfg)
	return port
}

func TestDNS_BehindUnbound(t *testing.T) {
	s := startDNSSite(t)
	for name, zone := range map[string]string{
		"forward all":  fmt.Sprintf("forward-zone:\n  name: \".\"\n  forward-addr: %s\n", s.addr),
		"forward zone": fmt.Sprintf("forward-zone:\n  name: \"consul\"\n  forward-addr: %s\n", s.addr),
		// As an authoritative server, with minimised questions on the way to the name.
		"stub zone": fmt.Sprintf("stub-zone:\n  name: \"consul\"\n  stub-addr: %s\n", s.addr),
	} {
		t.Log(name)
		s.throughForwarder(s.unbound(zone))
	}
}

// TestDNS_BehindBIND has BIND forward the whole domain, and service.consul alone: there it takes
// only negative answers whose SOA is not above that zone.
func TestDNS_BehindBIND(t *testing.T) {
	s := startDNSSite(t)
	for _, zone := range []string{"consul", "service.consul"} {
		port := testutil.FreePort(t)
		cfg := writeFile(t, filepath.Join(s.dir, zone+".named.conf"), fmt.Sprintf(`options {
  directory "%s"; pid-file none; session-keyfile "%[1]s/session.key"; lock-file none;
  listen-on port %d { 127.0.0.1; }; listen-on-v6 { none; };
  recursion yes; allow-query { any; }; dnssec-validation no; empty-zones-enable no;
};
controls { };
zone "%s" { type forward; forward only; forwarders { %s; }; };
zone "localhost" { type primary; file "%[1]s/localhost.zone"; };
`, s.dir, port, zone, s.addr))
		writeFile(t, filepath.Join(s.dir, "localhost.zone"), "$TTL 60\n@ SOA localhost. root.localhost. 1 60 60 60 60\n@ NS localhost.\n@ A 127.0.0.1\n")
		s.run(port, "usr/sbin/named", "-g", "-c", cfg)
		s.throughForwarder(port)
	}
}

// TestDNS_BehindDnsmasq is the usual set-up of a Consul host before it moves to this agent.
func TestDNS_BehindDnsmasq(t *testing.T) {
	s := startDNSSite(t)
	s.throughForwarder(s.dnsmasq("-S", fmt.Sprintf("/consul/%s#53", s.addr), "--host-record=localhost,127.0.0.1"))
}

// TestDNS_DnsmasqUpstream has the agent forward to dnsmasq: positive and negative answers are
// taken over and kept, its NODATA without SOA as well as its NXDOMAIN.
func TestDNS_DnsmasqUpstream(t *testing.T) {
	s := startDNSSite(t)
	for range 2 {
		for _, c := range []struct {
			name         string
			qtype        uint16
			rcode, count int
		}{
			{"www.example.test", dns.TypeA, dns.RcodeSuccess, 1},
			{"www.example.test", dns.TypeAAAA, dns.RcodeSuccess, 1},
			{"four.example.test", dns.TypeAAAA, dns.RcodeSuccess, 0},
			{"www.example.test", dns.TypeHTTPS, dns.RcodeSuccess, 0},
			{"nosuch.example.test", dns.TypeA, dns.RcodeNameError, 0},
		} {
			for _, network := range []string{"udp", "tcp"} {
				m, err := exchange(network, s.addr+":53", c.name, c.qtype)
				testutil.NoError(t, err)
				if m.Rcode != c.rcode || len(m.Answer) != c.count || m.Authoritative {
					t.Errorf("%s %s over %s: %v", c.name, dns.TypeToString[c.qtype], network, m)
				}
			}
		}
	}
}
