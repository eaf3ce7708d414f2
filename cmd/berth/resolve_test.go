package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"berth/internal/testutil"
)

func writeFile(t *testing.T, name string) {
	t.Helper()
	testutil.NoError(t, os.WriteFile(name, nil, 0o600))
}

// fakeDNS answers UDP and TCP on one port; names under "long" are cut over UDP.
func fakeDNS(t *testing.T) string {
	t.Helper()
	records := map[string][]string{
		"web.service.consul. A":      {"web.service.consul. 0 IN A 10.0.0.1", "web.service.consul. 0 IN A 10.0.0.2"},
		"web.service.consul. SRV":    {"web.service.consul. 0 IN SRV 1 1 32768 n1.node.dc1.consul."},
		"long.consul. A":             {"long.consul. 5 IN A 10.9.9.9"},
		"1.0.0.10.in-addr.arpa. PTR": {"1.0.0.10.in-addr.arpa. 0 IN PTR n1.node.dc1.consul."},
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg).SetReply(r)
		q := r.Question[0]
		lines, known := records[q.Name+" "+dns.TypeToString[q.Qtype]]
		_, udp := w.RemoteAddr().(*net.UDPAddr)
		switch {
		case q.Name == "broken.consul.":
			m.Rcode = dns.RcodeServerFailure
		case !known && strings.HasPrefix(q.Name, "none"):
			m.Rcode = dns.RcodeNameError
		case udp && strings.HasPrefix(q.Name, "long"):
			m.Truncated = true
		}
		if !m.Truncated {
			for _, l := range lines {
				rr, err := dns.NewRR(l)
				if err == nil {
					m.Answer = append(m.Answer, rr)
				}
			}
		}
		_ = w.WriteMsg(m)
	})
	addr := fmt.Sprintf("127.0.0.1:%d", testutil.FreePort(t))
	for _, network := range []string{"udp", "tcp"} {
		ready := make(chan struct{})
		s := &dns.Server{Addr: addr, Net: network, Handler: handler, NotifyStartedFunc: func() { close(ready) }}
		ended := make(chan error, 1)
		go func() { ended <- s.ListenAndServe() }()
		<-ready
		t.Cleanup(func() { _ = s.Shutdown(); <-ended })
	}
	return addr
}

func TestResolve(t *testing.T) {
	addr := fakeDNS(t)
	for _, x := range []struct {
		args   string
		status int
		out    string
		err    string
	}{
		{"web.service.consul", 0, "web.service.consul.\t0\tA\t10.0.0.1\nweb.service.consul.\t0\tA\t10.0.0.2\n", ""},
		{"web.service.consul srv", 0, "web.service.consul.\t0\tSRV\t1 1 32768 n1.node.dc1.consul.\n", ""},
		{"10.0.0.1", 0, "1.0.0.10.in-addr.arpa.\t0\tPTR\tn1.node.dc1.consul.\n", ""},
		{"long.consul", 0, "long.consul.\t5\tA\t10.9.9.9\n", ""},
		{"-tcp long.consul a", 0, "long.consul.\t5\tA\t10.9.9.9\n", ""},
		{"none.service.consul", 1, "", "none.service.consul. does not exist"},
		{"web.service.consul TXT", 0, "", "web.service.consul. has no record of type TXT"},
		{"broken.consul", 1, "", "answers SERVFAIL for broken.consul."},
		{"web.service.consul MOON", 1, "", `"MOON" is not a DNS record type`},
		{"", 1, "", "resolve needs a NAME"},
	} {
		args := append([]string{"resolve", "-dns-addr", addr}, strings.Fields(x.args)...)
		r := berthCommand(t, nil, "", args...)
		if r.status != x.status || r.stdout != x.out || !strings.Contains(r.stderr, x.err) {
			t.Errorf("%s: %+v\nwant %d %q %q", x.args, r, x.status, x.out, x.err)
		}
	}
}

// TestResolve_AsksTheAgentWhere: the agent's own DNS address is found through its API.
func TestResolve_AsksTheAgentWhere(t *testing.T) {
	addr := fakeDNS(t)
	a := newFakeAgent(t, map[string]string{"GET /v1/agent/self": fmt.Sprintf(`{"DebugConfig":{"DNSAddrs":["tcp://%s","udp://%s"]}}`, addr, addr)})
	testutil.Equal(t, a.ask(t, "resolve", "long.consul").stdout, "long.consul.\t5\tA\t10.9.9.9\n")
}
