package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"berth/internal/backoff"
)

var debugSpecs = []spec{{
	name: "debug", synopsis: "Collect what helps to find a fault",
	help: "Writes what the agent knows, its metrics, its log and, when enable_debug is on, profiles for\na while, into a .tar.gz file.",
	make: func() action { return new(debugCommand) },
}}

// captures are what -capture may name.
var captures = []string{"agent", "host", "members", "metrics", "logs", "pprof"}

type debugCommand struct {
	client             clientFlags
	interval, duration time.Duration
	since              time.Duration
	capture            words
	output             string
	archive            bool
}

func (c *debugCommand) flags(f *flagSet) {
	f.http(&c.client)
	f.DurationVar(&c.interval, "interval", 30*time.Second, "pause between captures")
	f.DurationVar(&c.duration, "duration", 5*time.Minute, "how long to capture")
	f.DurationVar(&c.since, "since", 0, "accepted; the agent keeps no old log lines")
	f.Var(&c.capture, "capture", strings.Join(captures, ", ")+"; repeatable; without it all")
	f.StringVar(&c.output, "output", "", "folder to write to, or name of the file without .tar.gz; empty is berth-debug-<time>")
	f.BoolVar(&c.archive, "archive", true, "pack everything into one .tar.gz file")
}

func (c *debugCommand) run(e *env, _ []string) int {
	for _, name := range c.capture {
		if !slices.Contains(captures, name) {
			return e.errorf("Error: -capture %q: use %s", name, strings.Join(captures, ", "))
		}
	}
	if c.interval < time.Second || c.duration < c.interval {
		return e.errorf("Error: -interval must be 1s or more and not longer than -duration")
	}
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	if c.output == "" {
		c.output = "berth-debug-" + time.Now().UTC().Format("20060102T150405Z")
	}
	if err := os.MkdirAll(c.output, 0o755); err != nil {
		return e.errorf("Error: %v", err)
	}
	ctx, stop := signal.NotifyContext(e.ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	e.printf("Capturing for %v, every %v. Press Ctrl-C to end earlier.", c.duration, c.interval)
	c.collect(ctx, e, cl)
	if !c.archive {
		e.printf("Saved debug data in: %s", c.output)
		return 0
	}
	name := c.output + ".tar.gz"
	if err := pack(c.output, name); err != nil {
		return e.errorf("Error: cannot pack %s: %v", c.output, err)
	}
	if err := os.RemoveAll(c.output); err != nil {
		return e.errorf("Error: %v", err)
	}
	e.printf("Saved debug archive: %s", name)
	return 0
}

func (c *debugCommand) wants(name string) bool {
	return len(c.capture) == 0 || slices.Contains(c.capture, name)
}

// collect takes what stands still once, and the rest at every interval.
func (c *debugCommand) collect(ctx context.Context, e *env, cl *client) {
	for name, path := range map[string]string{"agent": "/v1/agent/self", "host": "/v1/agent/host", "members": "/v1/agent/members?wan=1"} {
		if c.wants(name) {
			c.fetch(ctx, e, cl, path, name+".json")
		}
	}
	limited, cancel := context.WithTimeout(ctx, c.duration)
	defer cancel()
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		if c.wants("logs") {
			c.fetch(limited, e, cl, "/v1/agent/monitor?loglevel=TRACE", "berth.log")
		}
	}()
	// Counted, not timed: the clock decides nothing about how many captures there are.
	for i := range int(c.duration / c.interval) {
		if limited.Err() != nil {
			break
		}
		if c.wants("metrics") {
			c.fetch(limited, e, cl, "/v1/agent/metrics", fmt.Sprintf("metrics-%03d.json", i))
		}
		if c.wants("pprof") && i == 0 {
			seconds := int(min(c.interval, 30*time.Second).Seconds())
			for name, path := range map[string]string{
				"heap.prof": "/debug/pprof/heap", "goroutine.prof": "/debug/pprof/goroutine",
				"profile.prof": fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds),
			} {
				c.fetch(limited, e, cl, path, name)
			}
		}
		_ = backoff.Sleep(limited, c.interval) // its end is the loop's
	}
	<-logged
}

// fetch stores one answer; a failure is told and the rest goes on.
func (c *debugCommand) fetch(ctx context.Context, e *env, cl *client, path, name string) {
	path, raw, _ := strings.Cut(path, "?")
	q := query()
	for kv := range strings.SplitSeq(raw, "&") {
		if k, v, ok := strings.Cut(kv, "="); ok {
			q.Set(k, v)
		}
	}
	resp, err := cl.open(ctx, "GET", path, q, nil)
	if err != nil {
		if ctx.Err() == nil {
			e.errorf("Warning: %s is left out: %v", name, err)
		}
		return
	}
	defer resp.Body.Close()
	var text bytes.Buffer
	_, err = io.Copy(&text, resp.Body)
	if err != nil && ctx.Err() == nil {
		e.errorf("Warning: %s is cut: %v", name, err)
	}
	if err := os.WriteFile(filepath.Join(c.output, name), text.Bytes(), 0o600); err != nil {
		e.errorf("Warning: %v", err)
	}
}

// pack puts the files of a folder into a .tar.gz file.
func pack(dir, name string) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	z := gzip.NewWriter(f)
	t := tar.NewWriter(z)
	if err := t.AddFS(os.DirFS(dir)); err != nil {
		return err
	}
	if err := t.Close(); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return f.Sync()
}
