package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/signal"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"berth"
	"berth/internal/backoff"
)

var execSpecs = []spec{{
	name: "exec", args: "COMMAND...", synopsis: "Run a command on many nodes",
	help: "Only agents with disable_remote_exec = false take part. The command travels by the key/value\nstore and a user event; the filters are regular expressions. - reads a script from stdin.",
	make: func() action { return new(execCommand) },
}}

type execCommand struct {
	client                     clientFlags
	node, service, tag, prefix string
	shell, verbose             bool
	wait, waitRepl             time.Duration
}

func (c *execCommand) flags(f *flagSet) {
	f.http(&c.client)
	f.StringVar(&c.client.datacenter, "datacenter", "", "datacenter to run in; empty is the agent's own")
	f.StringVar(&c.node, "node", "", "only on nodes whose name matches")
	f.StringVar(&c.service, "service", "", "only on nodes with a service that matches")
	f.StringVar(&c.tag, "tag", "", "only where that service has a tag that matches")
	f.StringVar(&c.prefix, "prefix", rexecName, "prefix in the key/value store")
	f.BoolVar(&c.shell, "shell", true, "run the command by /bin/sh")
	f.DurationVar(&c.wait, "wait", 2*time.Second, "end when nothing was heard for so long")
	f.DurationVar(&c.waitRepl, "wait-repl", 200*time.Millisecond, "pause before the event, so that every server has the job")
	f.BoolVar(&c.verbose, "verbose", false, "say what happens")
}

// rexecName is the event's name and the default prefix of jobs.
const rexecName = "_rexec"

// rexecEvent is the payload of the event.
type rexecEvent struct {
	Prefix  string
	Session string
}

// rexecJob is what every agent reads and runs.
type rexecJob struct {
	Command string   `json:",omitempty"` // for the shell
	Args    []string `json:",omitempty"` // without a shell
	Script  []byte   `json:",omitempty"` // file to run
	Wait    time.Duration
}

func (c *execCommand) run(e *env, args []string) int {
	switch {
	case len(args) == 0:
		return e.errorf("Error: exec needs a COMMAND")
	case c.tag != "" && c.service == "":
		return e.errorf("Error: Cannot provide tag filter without service filter")
	}
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	ctx, stop := signal.NotifyContext(e.ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	job := rexecJob{Command: strings.Join(args, " "), Wait: c.wait}
	switch {
	case len(args) == 1 && args[0] == "-":
		job.Command = ""
		if job.Script, err = io.ReadAll(e.stdin); err != nil {
			return e.errorf("Error reading the script: %v", err)
		}
	case !c.shell:
		job.Command, job.Args = "", args
	}
	var session struct{ ID string }
	body := map[string]string{"Name": "berth exec", "TTL": "60s", "Behavior": berth.SessionDelete}
	if err := cl.put(ctx, "/v1/session/create", nil, body, &session); err != nil {
		return e.errorf("Error creating session: %v", err)
	}
	defer c.cleanUp(ctx, cl, session.ID)
	var ok bool
	if err := cl.put(ctx, keyPath(path.Join(c.prefix, session.ID, "job")), query("acquire", session.ID), job, &ok); err != nil || !ok {
		return e.errorf("Error uploading the job: %v", err)
	}
	if backoff.Sleep(ctx, c.waitRepl) != nil {
		return 1
	}
	q := query("node", c.node, "service", c.service, "tag", c.tag)
	if err := cl.put(ctx, "/v1/event/fire/"+rexecName, q, rexecEvent{c.prefix, session.ID}, nil); err != nil {
		return e.errorf("Error firing the event: %v", err)
	}
	return c.collect(ctx, e, cl, session.ID)
}

// cleanUp removes the job and all answers.
func (c *execCommand) cleanUp(ctx context.Context, cl *client, session string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	_ = cl.put(ctx, "/v1/session/destroy/"+session, nil, nil, nil)
	q := query()
	q.Set("recurse", "")
	_ = cl.call(ctx, http.MethodDelete, keyPath(path.Join(c.prefix, session)+"/"), q, nil, nil)
}

// collect prints answers as they come, until nothing new came for the wait.
func (c *execCommand) collect(ctx context.Context, e *env, cl *client, session string) int {
	dir := path.Join(c.prefix, session) + "/"
	seen, acked, exited, failed := map[string]bool{}, 0, 0, 0
	quiet := time.Now()
	for time.Since(quiet) < c.wait && ctx.Err() == nil {
		var entries []berth.KVEntry
		q := query()
		q.Set("recurse", "")
		if err := cl.get(ctx, keyPath(dir), q, &entries); err != nil && !hasStatus(err, http.StatusNotFound) {
			return e.errorf("Error reading answers: %v", err)
		}
		slices.SortStableFunc(entries, func(a, b berth.KVEntry) int { return exitLast(a.Key) - exitLast(b.Key) })
		for _, kv := range entries {
			rest := strings.TrimPrefix(kv.Key, dir)
			node, what, ok := strings.Cut(rest, "/")
			if !ok || seen[kv.Key] {
				continue
			}
			seen[kv.Key], quiet = true, time.Now()
			switch {
			case what == "ack":
				acked++
				c.say(e, node+": acknowledged")
			case what == "exit":
				exited++
				if code, _ := strconv.Atoi(string(kv.Value)); code != 0 {
					failed++
				}
				e.printf("==> %s: finished with exit code %s", node, kv.Value)
			case strings.HasPrefix(what, "out/"):
				for line := range strings.Lines(string(kv.Value)) {
					e.printf("    %s: %s", node, strings.TrimRight(line, "\n"))
				}
			}
		}
		if backoff.Sleep(ctx, 100*time.Millisecond) != nil {
			break
		}
	}
	e.printf("%d / %d node(s) completed / acknowledged", exited, acked)
	if acked == 0 {
		e.errorf("No agent took the command: it needs disable_remote_exec = false, and filters that match")
	}
	if failed > 0 || ctx.Err() != nil {
		return exitChild
	}
	return 0
}

// exitLast sorts a node's exit status behind its output.
func exitLast(key string) int {
	if path.Base(key) == "exit" {
		return 1
	}
	return 0
}

func (c *execCommand) say(e *env, text string) {
	if c.verbose {
		e.printf("%s", text)
	}
}

// jsonOf decodes text into a T.
func jsonOf[T any](text []byte) (T, error) {
	var v T
	if err := json.Unmarshal(text, &v); err != nil {
		return v, fmt.Errorf("not what was expected: %w", err)
	}
	return v, nil
}
