// Command load sends a steady stream of HTTP requests and counts what becomes of them, for the
// demos and tests of the proxies. It prints a line per second and a summary, and exits 1 when a
// request failed.
//
//	load [-rate N] [-for DURATION] [-timeout DURATION] URL...
//
// A request fails when it gets no answer or a status other than 200. The body is taken for the
// name of the instance that answered.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	rate := flag.Int("rate", 200, "requests per second")
	length := flag.Duration("for", 0, "stop after this long; 0 is until SIGINT or SIGTERM")
	timeout := flag.Duration("timeout", 20*time.Second, "a request without an answer for this long has failed")
	flag.Parse()
	if flag.NArg() == 0 || *rate < 1 {
		fmt.Fprintln(os.Stderr, "usage: load [-rate N] [-for DURATION] [-timeout DURATION] URL...")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if *length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *length)
		defer cancel()
	}
	os.Exit(run(ctx, *rate, *timeout, flag.Args()))
}

// run sends requests until ctx ends, waits for the last answers and gives the exit status.
func run(ctx context.Context, rate int, timeout time.Duration, urls []string) int {
	transport := &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 10 * time.Second}
	g := &generator{client: &http.Client{Timeout: timeout, Transport: transport}}
	var reporting sync.WaitGroup
	reporting.Go(func() { g.report(ctx) })
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	var requests sync.WaitGroup
	for i := 0; ctx.Err() == nil; i++ {
		requests.Go(func() { g.ask(urls[i%len(urls)]) })
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	requests.Wait()
	reporting.Wait()
	return g.summary()
}

// counts is what happened in a period.
type counts struct {
	sent, failed int
	slowest      time.Duration
	backends     map[string]int
}

func (c *counts) add(name string, failed bool, took time.Duration) {
	if c.backends == nil {
		c.backends = map[string]int{}
	}
	c.sent++
	c.slowest = max(c.slowest, took)
	if failed {
		c.failed++
	} else {
		c.backends[name]++
	}
}

type generator struct {
	client *http.Client

	mu     sync.Mutex // guards what follows
	second counts
	total  counts
	errs   []string
}

func (g *generator) ask(url string) {
	start := time.Now()
	name, err := g.get(url)
	took := time.Since(start)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.second.add(name, err != nil, took)
	g.total.add(name, err != nil, took)
	if err != nil && len(g.errs) < 10 {
		g.errs = append(g.errs, start.Format("15:04:05.000 ")+err.Error())
	}
}

func (g *generator) get(url string) (string, error) {
	resp, err := g.client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.80s", url, resp.Status, body)
	}
	return strings.TrimSpace(string(body)), err
}

// report prints a line per second until ctx ends.
func (g *generator) report(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			g.mu.Lock()
			s := g.second
			g.second = counts{}
			g.mu.Unlock()
			fmt.Printf("%s sent %d failed %d backends %d slowest %d ms\n", now.Format("15:04:05"), s.sent, s.failed, len(s.backends),
				s.slowest.Milliseconds())
		}
	}
}

// summary prints the totals; exit status 1 when a request failed or none was sent.
func (g *generator) summary() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range g.errs {
		fmt.Println("failed:", e)
	}
	least, most := 0, 0
	if len(g.total.backends) > 0 {
		var n []int
		for _, c := range g.total.backends {
			n = append(n, c)
		}
		least, most = slices.Min(n), slices.Max(n)
	}
	fmt.Printf("requests sent %d, failed %d, slowest %d ms, answered by %d instances (%d to %d each)\n", g.total.sent, g.total.failed,
		g.total.slowest.Milliseconds(), len(g.total.backends), least, most)
	if g.total.failed > 0 || g.total.sent == 0 {
		return 1
	}
	return 0
}
