//go:build linux

package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// blocked has n clients wait for a change of one service, then makes it: what it takes to hold
// them, and how long until all are answered. The server has to take so many connections from one
// address (limits.http_max_conns_per_client).
func blocked(out io.Writer, s server, n int) error {
	if err := allowFiles(n + 100); err != nil {
		return err
	}
	if err := prepare([]server{s}); err != nil {
		return err
	}
	index, err := indexOf(s.addr)
	if err != nil {
		return err
	}
	before := residentBytes(s.pid)
	g := &generator{addr: s.addr, clients: make(map[int32]*client), job: job{clients: n, method: http.MethodGet,
		path: func(b []byte, _, _ int) []byte {
			return fmt.Appendf(b, "/v1/health/service/three?passing&wait=10m&index=%d", index)
		},
		body: func(b []byte, _, _ int) []byte { return b }}}
	defer g.close()
	if err := g.start(); err != nil {
		return err
	}
	time.Sleep(5 * time.Second) // for the server to come to rest
	waiting, used := residentBytes(s.pid), processorTime(s.pid)
	began := time.Now()
	change := fmt.Sprintf(`{"Node":"three-0","Address":"10.2.0.1","Service":{"ID":"three","Service":"three","Port":%d}}`, 1+index%60000)
	if _, err := once(s.addr, http.MethodPut, "/v1/catalog/register", change); err != nil {
		return err
	}
	took, err := g.drain(began)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d queries wait: %d MiB resident, %d before; after the write half were answered in %v, all in %v, for %v of processor time\n",
		n, waiting>>20, before>>20, took[n/2].Round(time.Millisecond), took[n-1].Round(time.Millisecond), processorTime(s.pid)-used)
	return nil
}

// drain waits for one answer to each client and gives their times since began, in order.
func (g *generator) drain(began time.Time) (took []time.Duration, err error) {
	events := make([]unix.EpollEvent, 1024)
	for len(took) < len(g.clients) {
		n, err := unix.EpollWait(g.poll, events, 30_000)
		if err != nil && err != unix.EINTR { //nolint:errorlint // the very value
			return nil, err
		}
		if n == 0 {
			return nil, fmt.Errorf("%d of %d queries got no answer within 30 s", len(g.clients)-len(took), len(g.clients))
		}
		for _, e := range events[:max(n, 0)] {
			done, err := g.receive(g.clients[e.Fd])
			if err != nil {
				return nil, err
			}
			if done {
				took = append(took, time.Since(began))
			}
		}
	}
	if g.failed > 0 {
		return nil, fmt.Errorf("%d queries were refused", g.failed)
	}
	slices.Sort(took)
	return took, nil
}

func allowFiles(n int) error {
	limit := unix.Rlimit{Cur: uint64(n), Max: uint64(n)}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("open %d connections: %w", n, err)
	}
	return nil
}

func indexOf(addr string) (uint64, error) {
	resp, err := http.Get("http://" + addr + "/v1/health/service/three?passing")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return strconv.ParseUint(resp.Header.Get("X-Consul-Index"), 10, 64)
}

// residentBytes is a process's memory; 0 when it is not known.
func residentBytes(pid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.Atoi(fields[0])
	return kib << 10
}
