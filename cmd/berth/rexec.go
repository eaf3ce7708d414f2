package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path"
	"strconv"
	"sync"
	"time"

	"berth"
	"berth/internal/config"
)

// remoteExec is the agent's side of `berth exec`: it waits for events of that name and runs
// their jobs. It is started only when disable_remote_exec is false.
type remoteExec struct {
	cl   *client // this agent
	node string
	log  *slog.Logger
	seen map[string]bool // events, by ID
	jobs sync.WaitGroup
}

// run follows the events until ctx ends, then waits for the jobs it started.
func (r *remoteExec) run(ctx context.Context) error {
	r.seen = map[string]bool{}
	first := true
	p := newWatchPlan(r.cl, config.Watch{Type: "event", Params: map[string]any{"name": rexecName}})
	p.follow(ctx, func(_ uint64, result json.RawMessage) {
		events, err := jsonOf[[]berth.UserEvent](result)
		if err != nil {
			r.log.Warn("list of events is unreadable", "err", err)
			return
		}
		for _, ev := range events {
			if r.seen[ev.ID] {
				continue
			}
			r.seen[ev.ID] = true
			if !first { // what was fired before this agent's start is not for it
				r.jobs.Add(1)
				go func() { defer r.jobs.Done(); r.handle(ctx, ev) }()
			}
		}
		first = false
	}, func(err error) { r.log.Warn("remote exec cannot follow events", "err", err) })
	r.jobs.Wait()
	return nil
}

// handle reads the job of one event, acknowledges it, runs it and reports the exit status.
func (r *remoteExec) handle(ctx context.Context, ev berth.UserEvent) {
	spec, err := jsonOf[rexecEvent](ev.Payload)
	if err != nil || spec.Session == "" {
		r.log.Warn("event for remote exec is unreadable", "event", ev.ID, "err", err)
		return
	}
	var entries []berth.KVEntry
	if err := r.cl.get(ctx, keyPath(path.Join(spec.Prefix, spec.Session, "job")), nil, &entries); err != nil || len(entries) == 0 {
		r.log.Warn("job for remote exec is missing", "event", ev.ID, "err", err)
		return
	}
	job, err := jsonOf[rexecJob](entries[0].Value)
	if err != nil {
		r.log.Warn("job for remote exec is unreadable", "event", ev.ID, "err", err)
		return
	}
	if !r.write(ctx, spec, "ack", nil) {
		return
	}
	out := &rexecOutput{flush: func(n int, text []byte) bool { return r.write(ctx, spec, fmt.Sprintf("out/%05x", n), text) }}
	status := r.runJob(ctx, job, out)
	out.close()
	r.write(ctx, spec, "exit", []byte(strconv.Itoa(status)))
	r.log.Info("remote exec finished", "event", ev.ID, "status", status)
}

// write puts one key of this node, bound to the session of the one who asked.
func (r *remoteExec) write(ctx context.Context, spec rexecEvent, name string, value []byte) bool {
	key := path.Join(spec.Prefix, spec.Session, r.node, name)
	if value == nil {
		value = []byte{}
	}
	var ok bool
	if err := r.cl.call(ctx, http.MethodPut, keyPath(key), query("acquire", spec.Session), value, &ok); err != nil || !ok {
		r.log.Warn("remote exec cannot answer", "key", key, "err", err)
		return false
	}
	return true
}

// runJob runs the command and gives its exit status; 255 when it cannot run.
func (r *remoteExec) runJob(ctx context.Context, job rexecJob, out *rexecOutput) int {
	argv := []string{"/bin/sh", "-c", job.Command}
	if len(job.Args) > 0 {
		argv = job.Args
	}
	if len(job.Script) > 0 {
		name, err := writeScript(job.Script)
		if err != nil {
			fmt.Fprintln(out, err)
			return 255
		}
		defer os.Remove(name)
		argv = []string{name}
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return exit.ExitCode()
	}
	fmt.Fprintln(out, err)
	return 255
}

func writeScript(text []byte) (string, error) {
	f, err := os.CreateTemp("", "rexec")
	if err != nil {
		return "", err
	}
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		return "", err
	}
	return f.Name(), f.Chmod(0o700)
}

// rexecChunk is how much output goes into one key.
const rexecChunk = 4096

// rexecOutput cuts output into chunks and hands each over as it is full.
type rexecOutput struct {
	flush func(n int, text []byte) bool
	mu    sync.Mutex // guards buf and n; exec writes from one goroutine, close comes from another
	buf   bytes.Buffer
	n     int
}

// Write never fails: a command does not end because nobody listens.
func (o *rexecOutput) Write(p []byte) (int, error) {
	o.mu.Lock()
	o.buf.Write(p)
	var full [][]byte
	for o.buf.Len() >= rexecChunk {
		full = append(full, bytes.Clone(o.buf.Next(rexecChunk)))
	}
	n := o.n
	o.n += len(full)
	o.mu.Unlock()
	for i, chunk := range full {
		o.flush(n+i, chunk)
	}
	return len(p), nil
}

func (o *rexecOutput) close() {
	if o.buf.Len() > 0 {
		o.flush(o.n, o.buf.Bytes())
	}
}
