//go:build fault

package fault

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth/internal/testutil"
)

// figures ends tests that only measure, unless `make bench-cluster` runs them.
func figures(t *testing.T) {
	t.Helper()
	if os.Getenv("BERTH_FIGURES") == "" {
		t.Skip("measures only: make bench-cluster")
	}
	b, _ := os.ReadFile("/proc/loadavg")
	t.Logf("load average before: %s", strings.TrimSpace(string(b)))
}

// rate runs op from many clients for d and gives operations a second.
func rate(t *testing.T, clients int, d time.Duration, op func(client, n int) error) float64 {
	t.Helper()
	var done, failed atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for i := range clients {
		wg.Go(func() {
			for n := 0; time.Since(began) < d; n++ {
				if err := op(i, n); err != nil {
					if failed.Add(1) == 1 {
						t.Logf("first error: %v", err)
					}
					continue
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	if failed.Load() > 0 {
		t.Logf("%d operations failed", failed.Load())
	}
	return float64(done.Load()) / time.Since(began).Seconds()
}

func TestFigure_DurableWritesOfThreeServersNextToOne(t *testing.T) {
	figures(t)
	const clients, d = 64, 5 * time.Second
	got := map[int][2]float64{}
	for _, servers := range []int{1, 3} {
		c := newCluster(t, options{servers: servers})
		lead := c.waitLeader("dc1", 10*time.Second)
		got[servers] = [2]float64{
			rate(t, clients, d, func(i, n int) error {
				return lead.put("/v1/catalog/register", fmt.Sprintf(`{"Node":"n%d","Address":"10.214.200.1","Service":{"ID":"s%d","Service":"s","Port":%d}}`, i, n%50, 1+n%60000))
			}),
			rate(t, clients, d, func(i, n int) error { return lead.put(fmt.Sprintf("/v1/kv/bench/%d/%d", i, n%100), fmt.Sprint(n)) }),
		}
		for _, h := range c.hosts {
			h.Kill()
		}
	}
	for i, what := range []string{"catalog register/s", "KV put/s"} {
		t.Logf("%s, %d clients, durable: one server %.0f, three servers %.0f (%.2f)", what, clients, got[1][i], got[3][i], got[3][i]/got[1][i])
	}
}

func TestFigure_ChangeToVisibleOn20Clients(t *testing.T) {
	figures(t)
	const clients, changes = 20, 100
	c := newCluster(t, options{servers: 3, clients: clients})
	lead := c.waitLeader("dc1", 10*time.Second)
	put := func(n int) {
		testutil.NoError(t, lead.put("/v1/catalog/register", fmt.Sprintf(`{"Node":"ext","Address":"10.214.200.1","Service":{"ID":"fan","Service":"fan","Port":%d}}`, 1000+n)))
	}
	put(0)
	var mu sync.Mutex
	began := map[int]time.Time{}
	var took []time.Duration
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var watchers sync.WaitGroup
	for _, h := range c.clients {
		watchers.Go(func() {
			for index, last := "0", 0; ctx.Err() == nil; {
				b, head, err := h.do(ctx, http.MethodGet, "/v1/catalog/service/fan?stale&wait=30s&index="+index, "")
				at := time.Now()
				if err != nil {
					time.Sleep(10 * time.Millisecond)
					continue
				}
				index = head.Get("X-Consul-Index")
				var all []struct{ ServicePort int }
				if json.Unmarshal(b, &all) != nil || len(all) != 1 || all[0].ServicePort == last {
					continue
				}
				n := all[0].ServicePort
				last = n
				mu.Lock()
				if from, ok := began[n-1000]; ok {
					took = append(took, at.Sub(from))
				}
				mu.Unlock()
			}
		})
	}
	time.Sleep(time.Second) // all watch
	for n := 1; n <= changes; n++ {
		mu.Lock()
		began[n] = time.Now()
		mu.Unlock()
		put(n)
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(time.Second)
	cancel()
	watchers.Wait()
	slices.Sort(took)
	if len(took) < clients*changes*9/10 {
		t.Fatalf("%d of %d changes were seen", len(took), clients*changes)
	}
	t.Logf("a change is visible on %d client agents (%d samples): p50 %v, p99 %v, worst %v", clients, len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
}

// cpu is the processor time that a host's process has taken.
func (h *host) cpu() time.Duration {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", h.pid()))
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	var user, sys int
	_, _ = fmt.Sscan(f[11]+" "+f[12], &user, &sys)
	return time.Duration(user+sys) * 10 * time.Millisecond
}

func TestFigure_300FollowersOfOneServer(t *testing.T) {
	figures(t)
	const followers, perSecond, lasts, planned = 300, 100, 10 * time.Second, 1700
	c := newCluster(t, options{servers: 1})
	server := c.servers[0]
	var bytes, frames atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	var h2 http.Protocols
	h2.SetUnencryptedHTTP2(true)
	for range followers {
		tr := &http.Transport{Protocols: &h2, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return dialIn(ctx, server.ns, network, addr)
		}}
		wg.Go(func() { follow(ctx, tr, server.addr(), &bytes, &frames) })
		t.Cleanup(tr.CloseIdleConnections)
	}
	time.Sleep(2 * time.Second)
	measure := func(load func()) (cpu time.Duration, b, f int64, real time.Duration) {
		b0, f0, cpu0, at := bytes.Load(), frames.Load(), server.cpu(), time.Now()
		load()
		return server.cpu() - cpu0, bytes.Load() - b0, frames.Load() - f0, time.Since(at)
	}
	idleCPU, _, _, idle := measure(func() { time.Sleep(5 * time.Second) })
	cpu, sent, got, real := measure(func() {
		tick := time.NewTicker(time.Second / perSecond)
		defer tick.Stop()
		for n := 0; n < perSecond*int(lasts/time.Second); n++ {
			<-tick.C
			testutil.NoError(t, server.put("/v1/catalog/register", fmt.Sprintf(`{"Node":"n%d","Address":"10.214.200.1","Service":{"ID":"s","Service":"s%d","Port":%d,"Meta":{"a":"%d"}}}`, n%100, n%100, 1+n, n)))
		}
		time.Sleep(100 * time.Millisecond)
	})
	cancel()
	wg.Wait()
	share := cpu.Seconds() / real.Seconds()
	t.Logf("%d followers, %d changes/s for %v: server CPU %.0f%% of a processor (idle %.0f%%), %.1f MB/s in %.0f frames/s", followers, perSecond, real.Round(time.Millisecond),
		100*share, 100*idleCPU.Seconds()/idle.Seconds(), float64(sent)/real.Seconds()/1e6, float64(got)/real.Seconds())
	t.Logf("for %d followers that is at most %.0f%% of a processor and %.1f MB/s", planned, 100*share*planned/followers, float64(sent)/real.Seconds()/1e6*planned/followers)
}

// follow reads a change stream as an agent does, without keeping anything.
func follow(ctx context.Context, tr *http.Transport, addr string, bytes, frames *atomic.Int64) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(addr, "8300")+"/internal/store/replica", nil)
	if err != nil {
		return
	}
	req.Header.Set("X-Berth-Via", "lan")
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	for head := make([]byte, 4); ; {
		if _, err := io.ReadFull(resp.Body, head); err != nil {
			return
		}
		n := int64(binary.BigEndian.Uint32(head))
		if _, err := io.CopyN(io.Discard, resp.Body, n); err != nil {
			return
		}
		bytes.Add(n + 4)
		frames.Add(1)
	}
}
