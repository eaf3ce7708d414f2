package dnsproxy

import (
	"fmt"
	"strings"
	"testing"

	"berth/internal/testutil"

	"github.com/miekg/dns"
)

// many is a catalog with one service of n instances on their own nodes.
func many(n int) *catalog {
	c := newCatalog()
	for i := range n {
		node := fmt.Sprintf("node-%03d", i)
		c.node(node, fmt.Sprintf("10.1.%d.%d", i/250, i%250+1))
		c.add(node, "big", "", 1000+i)
	}
	return c
}

func TestServer_Truncation(t *testing.T) {
	s := start(t, many(200))
	cases := []struct {
		typ     string
		flag    string
		records int // at least
		tc      bool
		size    int
	}{
		{"A", "", 29, true, 512},
		{"A", "edns=512", 28, false, 512},
		{"A", "edns=1200", 70, false, 1200},
		{"A", "edns=1232", 72, true, 1232},
		{"A", "edns=65535", 200, false, 16384},
		{"A", "tcp", 200, false, 65535},
		{"SRV", "", 8, true, 512},
		{"SRV", "edns=512", 8, true, 512},
		{"SRV", "edns=1232", 20, true, 1232},
		{"SRV", "edns=8192", 140, true, 8192},
		{"SRV", "tcp", 200, false, 65535},
	}
	for _, c := range cases {
		t.Run(c.typ+" "+c.flag, func(t *testing.T) {
			var flags []string
			if c.flag != "" {
				flags = []string{c.flag}
			}
			m := ask(t, s, "big.service.consul", c.typ, flags...)
			if len(m.Answer) < c.records || m.Truncated != c.tc {
				t.Fatalf("%d records, tc %v, want at least %d, tc %v", len(m.Answer), m.Truncated, c.records, c.tc)
			}
			if c.flag != "" && c.flag != "tcp" && m.IsEdns0() == nil {
				t.Fatal("no OPT")
			}
			m.Compress = true
			if l := m.Len(); l > c.size {
				t.Fatalf("%d bytes", l)
			}
			seen := map[string]bool{}
			for _, rr := range m.Answer {
				if seen[rr.String()] {
					t.Fatalf("twice: %v", rr)
				}
				seen[rr.String()] = true
			}
		})
	}
}

func TestServer_SubsetIsRandom(t *testing.T) {
	s := start(t, many(60))
	seen := map[string]bool{}
	for range 60 {
		for _, rr := range ask(t, s, "big.service.consul", "A", "edns=512").Answer {
			seen[rr.(*dns.A).A.String()] = true
		}
	}
	testutil.Equal(t, len(seen), 60)
}

func TestServer_ARecordLimit(t *testing.T) {
	s := start(t, many(60), func(c *Config) { c.Zone.ARecordLimit = 4 })
	for _, f := range []string{"tcp", "edns=4096"} {
		m := ask(t, s, "big.service.consul", "A", f)
		testutil.Equal(t, len(m.Answer), 4)
		testutil.Equal(t, m.Truncated, false)
	}
}

// TestServer_CutToNothingSaysSo: data that does not fit at all must not look like no data, and
// only address sets may be cut without a word.
func TestServer_CutToNothingSaysSo(t *testing.T) {
	c := newCatalog()
	c.node("n1", "10.0.0.1", "long", strings.Repeat("x", 600))
	c.node("n2", "10.0.0.2", "a", strings.Repeat("a", 200), "b", strings.Repeat("b", 200), "c", strings.Repeat("c", 200))
	for _, mode := range []string{TruncateAuto, TruncateNever} {
		s := start(t, c, func(cfg *Config) { cfg.Zone.Truncate = mode })
		for _, flag := range []string{"udp", "edns=512", "edns=600"} {
			m := ask(t, s, "n1.node.consul", "TXT", flag)
			if !m.Truncated || len(m.Answer) != 0 {
				t.Errorf("%s %s: tc %v, %d records", mode, flag, m.Truncated, len(m.Answer))
			}
		}
		testutil.Equal(t, len(ask(t, s, "n1.node.consul", "TXT", "tcp").Answer), 1)
		m := ask(t, s, "n2.node.consul", "TXT", "edns=600")
		if m.Truncated != (mode == TruncateAuto) || len(m.Answer) != 2 {
			t.Errorf("%s: tc %v, %d records", mode, m.Truncated, len(m.Answer))
		}
	}
}
