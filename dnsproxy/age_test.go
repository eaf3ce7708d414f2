package dnsproxy

import (
	"sync/atomic"
	"testing"
	"time"

	"berth"
	"berth/internal/testutil"

	"github.com/miekg/dns"
)

// lagging is a catalog whose replica heard from a leader some time ago.
type lagging struct {
	*catalog
	lag atomic.Int64
}

func (l *lagging) Lag() time.Duration { return time.Duration(l.lag.Load()) }

func TestZone_MaxStale(t *testing.T) {
	for _, c := range []struct {
		name     string
		lag, max time.Duration
		stops    bool
	}{
		{"younger", 4 * time.Second, 5 * time.Second, false},
		{"older", 6 * time.Second, 5 * time.Second, true},
		{"no limit", 1000 * time.Hour, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &lagging{catalog: sample()}
			l.lag.Store(int64(c.lag))
			s := start(t, l.catalog, func(cfg *Config) {
				cfg.View, cfg.Zone.MaxStale = func() View { return l }, c.max
			})
			for _, name := range []string{"web.service.consul", "web", "n1.node.consul"} {
				m := ask(t, s, name, "A", "edns=1232")
				if !c.stops {
					testutil.Equal(t, m.Rcode, dns.RcodeSuccess)
					continue
				}
				testutil.Equal(t, m.Rcode, dns.RcodeServerFailure)
				ede, ok := m.IsEdns0().Option[0].(*dns.EDNS0_EDE)
				if !ok || ede.InfoCode != dns.ExtendedErrorCodeNoReachableAuthority {
					t.Errorf("no EDE 22 in %v", m)
				}
			}
			l.lag.Store(0)
			s.CatalogChanged([]berth.Change{{All: true}})
			testutil.Equal(t, ask(t, s, "web.service.consul", "A").Rcode, dns.RcodeSuccess)
		})
	}
}
