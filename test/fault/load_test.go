//go:build fault

package fault

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// registrations registers and deregisters services with agents and nodes with the catalog, and
// remembers how each must end.
type registrations struct {
	mu   sync.Mutex      // guards the rest
	want map[string]bool // by path of what was registered; missing: the last answer was lost
	n    int
}

// Names that registrations uses, each by one goroutine.
const (
	servicesPerAgent = 20
	externalNodes    = 40
)

// agent works on services of one agent until ctx ends.
func (r *registrations) agent(ctx context.Context, h *host, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 2))
	for ctx.Err() == nil {
		id := fmt.Sprintf("%s-svc-%d", h.name, rnd.IntN(servicesPerAgent))
		if rnd.IntN(3) > 0 {
			r.do(ctx, h, id, true, "/v1/agent/service/register", fmt.Sprintf(`{"ID":%q,"Name":"load","Port":%d}`, id, 1000+rnd.IntN(1000)))
		} else {
			r.do(ctx, h, id, false, "/v1/agent/service/deregister/"+id, "")
		}
		time.Sleep(time.Duration(20+rnd.IntN(60)) * time.Millisecond)
	}
}

// catalog works on nodes that no agent runs on until ctx ends.
func (r *registrations) catalog(ctx context.Context, hosts []*host, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 3))
	for ctx.Err() == nil {
		h, node := hosts[rnd.IntN(len(hosts))], fmt.Sprintf("ext-%d", rnd.IntN(externalNodes))
		if rnd.IntN(3) > 0 {
			r.do(ctx, h, node, true, "/v1/catalog/register", fmt.Sprintf(`{"Node":%q,"Address":"10.214.200.1","Service":{"ID":%q,"Service":"load","Port":80}}`, node, node))
		} else {
			r.do(ctx, h, node, false, "/v1/catalog/deregister", fmt.Sprintf(`{"Node":%q}`, node))
		}
		time.Sleep(time.Duration(20+rnd.IntN(60)) * time.Millisecond)
	}
}

func (r *registrations) do(ctx context.Context, h *host, id string, there bool, path, body string) {
	call, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	_, _, err := h.do(call, http.MethodPut, path, body)
	var status *statusError
	var op *net.OpError
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil, !there && errors.As(err, &status) && status.code == http.StatusNotFound:
		r.want[id] = there
		r.n++
	case errors.As(err, &op) && op.Op == "dial": // never sent: all is as it was
	default:
		delete(r.want, id)
	}
}

// hold is an error until a host's copy of the catalog has what was acknowledged.
func (r *registrations) hold(h *host) error {
	have, err := h.passing("load")
	if err != nil {
		return err
	}
	for id, there := range r.want {
		if slices.Contains(have, id) != there {
			return fmt.Errorf("%s: %s is registered: %v, acknowledged: %v", h.name, id, !there, there)
		}
	}
	return nil
}

// usage is what a process takes.
type usage struct {
	pid, goroutines int
	rss             int // KiB
}

// usage samples a running process.
func (h *host) usage() (usage, error) {
	u := usage{pid: h.pid()}
	b, err := h.get("/debug/pprof/goroutine?debug=1")
	if err != nil {
		return u, err
	}
	if _, err := fmt.Sscanf(string(b), "goroutine profile: total %d", &u.goroutines); err != nil {
		return u, fmt.Errorf("goroutine profile of %s: %w", h.name, err)
	}
	status, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(u.pid), "status"))
	if err != nil {
		return u, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			_, err = fmt.Sscan(rest, &u.rss)
		}
	}
	return u, err
}

// sampler takes samples of all processes until its context ends.
type sampler struct {
	samples map[*host][]usage
}

func (s *sampler) run(ctx context.Context, hosts []*host) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, h := range hosts {
			if u, err := h.usage(); err == nil {
				s.samples[h] = append(s.samples[h], u)
			}
		}
	}
}

// A process may take so much more at the end, without load, than in its first minute.
const (
	moreGoroutines = 100
	moreKiB        = 40 << 10
)

// noGrowth compares the end, when there is no load any more, with the time of the load: a
// process that ran through it all must not need more and more.
func (s *sampler) noGrowth(t testing.TB, hosts []*host) {
	t.Helper()
	for _, h := range hosts {
		now, err := h.usage()
		if err != nil {
			t.Errorf("usage of %s: %v", h.name, err)
			continue
		}
		all := s.samples[h]
		if len(all) == 0 {
			continue
		}
		third := max(1, len(all)/3)
		first, last := mostOf(all[:third]), mostOf(all[len(all)-third:])
		t.Logf("%s: at most %d goroutines and %d MiB in the first third, %d and %d in the last, %d and %d at rest",
			h.name, first.goroutines, first.rss>>10, last.goroutines, last.rss>>10, now.goroutines, now.rss>>10)
		if now.goroutines > first.goroutines+moreGoroutines || last.goroutines > 2*first.goroutines+moreGoroutines {
			t.Errorf("%s: goroutines grow", h.name)
		}
		if last.rss > first.rss*3/2+moreKiB {
			t.Errorf("%s: memory grows", h.name)
		}
	}
}

func mostOf(all []usage) (m usage) {
	for _, u := range all {
		m.goroutines, m.rss = max(m.goroutines, u.goroutines), max(m.rss, u.rss)
	}
	return m
}
