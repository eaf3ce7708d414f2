//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"berth/internal/testutil"

	"github.com/miekg/dns"
)

// dnsSite is an agent with port 53 of a loopback address of its own, a dnsmasq as its upstream
// and a few services. Stub resolvers know no other port, and this one is nobody else's.
type dnsSite struct {
	*agent
	t    *testing.T
	addr string
	root string   // of Debian packages
	env  []string // for programs from there
	dir  string
}

var dnsSites atomic.Int32

func startDNSSite(t *testing.T) *dnsSite {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("port 53 and mount namespaces need root")
	}
	s := &dnsSite{t: t, dir: t.TempDir(), addr: fmt.Sprintf("127.24.%d.%d", os.Getpid()%250, dnsSites.Add(1))}
	s.root, s.env = debRoot(t, "dns", "unbound", "bind9", "bind9-libs", "bind9-dnsutils", "dnsmasq-base", "knot-dnsutils", "musl-dev")
	upstream := s.dnsmasq("--local=/example.test/", "--host-record=www.example.test,192.0.2.1,2001:db8::1",
		"--host-record=four.example.test,192.0.2.4", "--local-ttl=60")
	cfg := writeFile(t, filepath.Join(s.dir, "berth.yaml"), fmt.Sprintf(
		"addresses:\n  dns: %s\nrecursors: [\"127.0.0.1:%d\"]\ndns_config:\n  zones: [service.consul]\n", s.addr, upstream))
	s.agent = startAgent(t, "", "-dev", "-config-file", cfg, "-dns-port", "53")
	s.register("web", 2)
	s.register("big", 60)
	testutil.Eventually(t, 10*time.Second, 10*time.Millisecond, func() error {
		m, err := exchange("tcp", s.addr+":53", "big.service.consul", dns.TypeA)
		if err == nil && len(m.Answer) != 60 {
			err = fmt.Errorf("%d addresses", len(m.Answer))
		}
		return err
	})
	return s
}

// register puts n instances of a service into the catalog.
func (s *dnsSite) register(name string, n int) {
	s.t.Helper()
	for i := range n {
		_, err := s.put("/v1/agent/service/register", fmt.Sprintf(
			`{"ID":"%s-%d","Name":"%s","Address":"10.%d.0.%d","Port":%d}`, name, i, name, len(name), i+1, 8000+i))
		testutil.NoError(s.t, err)
	}
}

// dnsmasq starts a dnsmasq that knows what args say, and gives its port.
func (s *dnsSite) dnsmasq(args ...string) int {
	s.t.Helper()
	port := testutil.FreePort(s.t)
	s.run(port, "usr/sbin/dnsmasq", append([]string{"-k", "-C", "/dev/null", "-u", "root", "-g", "root", "-z", "-R", "-h", "-x", "",
		"-a", "127.0.0.1", "-p", fmt.Sprint(port)}, args...)...)
	return port
}

// run starts a DNS server and waits until it answers on port.
func (s *dnsSite) run(port int, program string, args ...string) {
	s.t.Helper()
	p := startProcess(s.t, s.env, filepath.Join(s.root, program), args...)
	testutil.Eventually(s.t, 15*time.Second, 20*time.Millisecond, func() error {
		select {
		case <-p.stopped:
			s.t.Fatalf("%s ended: %s", program, p.log.String())
		default:
		}
		_, err := exchange("udp", fmt.Sprintf("127.0.0.1:%d", port), "localhost", dns.TypeA)
		return err
	})
}

func exchange(network, server, name string, qtype uint16) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), qtype)
	c := dns.Client{Net: network, Timeout: 4 * time.Second}
	r, _, err := c.Exchange(m, server)
	return r, err
}

// asClient runs a program with a resolv.conf of its own that names this agent and nobody else,
// and gives the distinct first words of its lines and how long it took.
func (s *dnsSite) asClient(resolv string, args ...string) ([]string, time.Duration) {
	s.t.Helper()
	file := writeFile(s.t, filepath.Join(s.dir, "resolv.conf"), "nameserver "+s.addr+"\n"+resolv)
	ctx, stop := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer stop()
	cmd := exec.CommandContext(ctx, "unshare", append([]string{"-m", "sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, file}, args...)...)
	began := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(began)
	if err != nil && (len(out) > 0 || cmd.ProcessState == nil) {
		s.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	var words []string
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 0 {
			words = append(words, f[0])
		}
	}
	slices.Sort(words)
	return slices.Compact(words), took
}
