//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	checkInterval = 10 * time.Second
	checkRounds   = 6
)

// checked has the agent run n HTTP checks, one every 10 s each, against a server in this process:
// what that costs the agent, and how late the checks come.
func checked(out io.Writer, s server, n int) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	a := &arrivals{last: make([]time.Time, n)}
	target := &http.Server{Handler: a}
	go func() { _ = target.Serve(l) }() // ends with the listener
	defer target.Close()
	for i := range n {
		def := fmt.Sprintf(`{"ID":"bench-%d","Name":"bench","HTTP":"http://%s/%d","Interval":"10s","Timeout":"5s"}`, i, l.Addr(), i)
		if _, err := once(s.addr, http.MethodPut, "/v1/agent/check/register", def); err != nil {
			return err
		}
		defer func() { _, _ = once(s.addr, http.MethodPut, fmt.Sprintf("/v1/agent/check/deregister/bench-%d", i), "") }()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*checkInterval)
	defer cancel()
	if err := a.all(ctx); err != nil {
		return err
	}
	a.begin()
	used := processorTime(s.pid)
	time.Sleep(checkRounds * checkInterval)
	used = processorTime(s.pid) - used
	late := a.end()
	if len(late) < n*(checkRounds-1) {
		return fmt.Errorf("%d checks ran %d times in %d intervals", n, len(late), checkRounds)
	}
	fmt.Fprintf(out, "%d checks every %v: %.1f %% of a processor, %d MiB; %d runs, late by %v (median), %v (p99), %v (worst)\n",
		n, checkInterval, 100*used.Seconds()/(checkRounds*checkInterval).Seconds(), residentBytes(s.pid)>>20, len(late),
		late[len(late)/2].Round(10*time.Microsecond), late[len(late)*99/100].Round(10*time.Microsecond), late[len(late)-1].Round(10*time.Microsecond))
	return nil
}

// arrivals notes when the checks come.
type arrivals struct {
	mu   sync.Mutex // guards what follows
	last []time.Time
	late []time.Duration
}

// ServeHTTP answers one check, whose number is its path.
func (a *arrivals) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	i, err := strconv.Atoi(r.URL.Path[1:])
	if err != nil || i < 0 || i >= len(a.last) {
		http.NotFound(w, r)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.last[i].IsZero() {
		a.late = append(a.late, max(0, now.Sub(a.last[i])-checkInterval))
	}
	a.last[i] = now
}

// all waits until each check has come.
func (a *arrivals) all(ctx context.Context) error {
	for {
		a.mu.Lock()
		missing := slices.ContainsFunc(a.last, time.Time.IsZero)
		a.mu.Unlock()
		if !missing {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("not every check ran within three intervals")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// begin forgets what came so far.
func (a *arrivals) begin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.late = nil
}

// end gives how late the checks came, in order.
func (a *arrivals) end() []time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	slices.Sort(a.late)
	return a.late
}
