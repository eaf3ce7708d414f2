package dnsproxy

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/internal/testutil"

	"github.com/miekg/dns"
)

func ip(s string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(s)} }

func TestStatic_Records(t *testing.T) {
	u := newUpstream(t, testSOA, "www.test. 300 A 192.0.2.1", "mail.corp. 300 MX 10 mx.corp.")
	s := start(t, sample(), upstreams(u), func(c *Config) {
		c.Static = StaticConfig{
			TTL:       5 * time.Second,
			Hosts:     map[string][]netip.Addr{"box.corp": ip("10.5.0.1"), "printer": ip("10.5.0.2"), "mail.corp": ip("10.5.0.3")},
			Addresses: map[string][]netip.Addr{"ads.test": nil, "dev.test": ip("10.5.0.9")},
			CNAMEs: map[string]string{
				"ext.corp": "www.test", "db.corp": "web.service.consul", "a.corp": "b.corp", "b.corp": "a.corp", "gone.corp": "none.test",
			},
			SRVs: map[string][]SRV{"_sip._tcp.corp": {{Priority: 1, Weight: 2, Port: 3, Target: "Sip.corp"}}},
			TXTs: map[string][]string{"txt.corp": {"hello world", strings.Repeat("x", 300)}},
			PTRs: map[string]string{"10.5.0.77": "named.corp"},
		}
	})
	soa := func(owner string) string {
		return "\nns " + owner + " 0 SOA ns.consul. hostmaster.consul. 1 3600 600 86400 0"
	}
	for _, c := range []Case{
		{"box.corp", "A", "NOERROR aa\nan box.corp. 5 A 10.5.0.1"},
		{"BOX.corp", "A", "NOERROR aa\nan BOX.corp. 5 A 10.5.0.1"},
		{"box.corp", "AAAA", "NOERROR aa" + soa("box.corp.")},
		{"mail.corp", "MX", "NOERROR\nan mail.corp. 300 MX 10 mx.corp."},
		{"printer", "A", "NOERROR aa\nan printer. 5 A 10.5.0.2"},
		{"1.0.5.10.in-addr.arpa", "PTR", "NOERROR aa\nan 1.0.5.10.in-addr.arpa. 5 PTR box.corp."},
		{"77.0.5.10.in-addr.arpa", "PTR", "NOERROR aa\nan 77.0.5.10.in-addr.arpa. 5 PTR named.corp."},
		{"x.ads.test", "A", "NXDOMAIN aa" + soa("ads.test.")},
		{"dev.test", "A", "NOERROR aa\nan dev.test. 5 A 10.5.0.9"},
		{"a.b.dev.test", "A", "NOERROR aa\nan a.b.dev.test. 5 A 10.5.0.9"},
		{"a.b.dev.test", "AAAA", "NOERROR aa" + soa("dev.test.")},
		{"_sip._tcp.corp", "SRV", "NOERROR aa\nan _sip._tcp.corp. 5 SRV 1 2 3 Sip.corp."},
		{"txt.corp", "TXT", "NOERROR aa\nan txt.corp. 5 TXT \"hello world\"\nan txt.corp. 5 TXT \"" + strings.Repeat("x", 255) + "\" \"" + strings.Repeat("x", 45) + "\""},
		{"ext.corp", "A", "NOERROR aa\nan ext.corp. 5 CNAME www.test.\nan www.test. 300 A 192.0.2.1"},
		{"ext.corp", "CNAME", "NOERROR aa\nan ext.corp. 5 CNAME www.test."},
		{"db.corp", "A", "NOERROR aa\nan db.corp. 5 CNAME web.service.consul.\nan web.service.consul. 0 A 10.0.0.1\nan web.service.consul. 0 A 10.0.0.2"},
		{"a.corp", "A", "NOERROR aa\nan a.corp. 5 CNAME b.corp.\nan b.corp. 5 CNAME a.corp."},
		{"gone.corp", "A", "NOERROR aa\nan gone.corp. 5 CNAME none.test."},
	} {
		c.check(t, s, "edns=4096")
		c.check(t, s, "tcp")
	}
}

// TestStatic_NamesExistWithEachType asks for types that static names do not have: where nobody
// else knows the name it is empty, never missing.
func TestStatic_NamesExistWithEachType(t *testing.T) {
	u := newUpstream(t, testSOA, "mail.test. 300 MX 10 mx.test.")
	s := start(t, sample(), upstreams(u), func(c *Config) {
		c.Forward.LocalZones = []string{"lan"}
		c.Static = StaticConfig{
			Hosts: map[string][]netip.Addr{"box.lan": ip("192.168.1.9"), "my.local": ip("192.168.1.8"), "x.ads.test": ip("192.0.2.9"),
				"mail.test": ip("192.0.2.8"), "box.test": ip("192.0.2.7"), "a.b.service.consul": ip("192.0.2.6")},
			Addresses: map[string][]netip.Addr{"ads.test": nil, "tree.dev.lan": ip("10.5.0.9")},
			SRVs:      map[string][]SRV{"_ipp._tcp.lan": {{Port: 631, Target: "box.lan"}}},
		}
	})
	for name, typ := range map[string]string{
		"box.lan": "MX", "_ipp._tcp.lan": "A", "_tcp.lan": "A", "dev.lan": "A", "my.local": "HTTPS", "x.ads.test": "TXT", "box.test": "HTTPS",
		"9.1.168.192.in-addr.arpa": "TXT", "a.b.service.consul": "SRV", "b.service.consul": "A",
	} {
		m := ask(t, s, name, typ)
		if m.Rcode != dns.RcodeSuccess || len(m.Answer) != 0 || len(m.Ns) != 1 {
			t.Errorf("%s %s: %v", name, typ, m)
		}
	}
	Case{"box.lan", "AAAA", "NOERROR aa\nns lan. 0 SOA ns.consul. hostmaster.consul. 1 3600 600 86400 0"}.check(t, s)
	Case{"mail.test", "MX", "NOERROR\nan mail.test. 300 MX 10 mx.test."}.check(t, s)
	for _, name := range []string{"none.lan", "x.box.lan", "y.ads.test", "other.local", "none.test", "7.1.168.192.in-addr.arpa"} {
		testutil.Equal(t, ask(t, s, name, "TXT").Rcode, dns.RcodeNameError)
	}
}

func TestStatic_HostsFileChanges(t *testing.T) {
	dir := t.TempDir()
	file, more := filepath.Join(dir, "hosts"), filepath.Join(dir, "more")
	testutil.NoError(t, os.Mkdir(more, 0o755))
	write := func(name, text string) {
		t.Helper()
		testutil.NoError(t, os.WriteFile(name, []byte(text), 0o644))
	}
	write(file, "# comment\n127.0.0.1 localhost\n10.6.0.1 alpha alpha.corp # one\nnonsense\n10.6.0.9\n::1 six\n")
	s := start(t, sample(), func(c *Config) {
		c.Static.HostsFiles, c.Static.Expand = []string{file, more}, "lan"
	})
	Case{"alpha", "A", "NOERROR aa\nan alpha. 0 A 10.6.0.1"}.check(t, s)
	Case{"alpha.lan", "A", "NOERROR aa\nan alpha.lan. 0 A 10.6.0.1"}.check(t, s)
	Case{"six", "AAAA", "NOERROR aa\nan six. 0 AAAA ::1"}.check(t, s)
	Case{"1.0.6.10.in-addr.arpa", "PTR", "NOERROR aa\nan 1.0.6.10.in-addr.arpa. 0 PTR alpha.\n" +
		"an 1.0.6.10.in-addr.arpa. 0 PTR alpha.corp.\nan 1.0.6.10.in-addr.arpa. 0 PTR alpha.lan."}.check(t, s)
	becomes := func(name, want string) {
		t.Helper()
		testutil.Eventually(t, 8*time.Second, 10*time.Millisecond, func() error {
			m := ask(t, s, name, "A")
			got := dns.RcodeToString[m.Rcode]
			if len(m.Answer) > 0 {
				got = m.Answer[0].(*dns.A).A.String()
			}
			if got != want {
				return fmt.Errorf("%s is %s, want %s", name, got, want)
			}
			return nil
		})
	}
	write(filepath.Join(dir, "new"), "10.6.0.2 alpha\n")
	testutil.NoError(t, os.Rename(filepath.Join(dir, "new"), file))
	becomes("alpha", "10.6.0.2")
	write(filepath.Join(more, "extra"), "10.6.0.3 beta\n")
	becomes("beta", "10.6.0.3")
	testutil.NoError(t, os.Remove(filepath.Join(more, "extra")))
	becomes("beta", "NXDOMAIN")
	testutil.NoError(t, os.Truncate(file, maxFile+1)) // sparse, and too large to be true
	s.filesChanged()
	becomes("alpha", "10.6.0.2")
}
