package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"berth/internal/config"
)

var watchSpecs = []spec{{
	name: "watch", args: "[COMMAND...]", synopsis: "Wait for a change, and run a command at each",
	help: "Without a command the present state is printed as JSON. With one, the command runs at once\n" +
		"and at every change, with the JSON on standard input and CONSUL_INDEX in its environment.",
	make: func() action { return new(watchCommand) },
}}

type watchCommand struct {
	client                    clientFlags
	typ, key, prefix, service string
	state, name, filter       string
	tags                      words
	passing, shell            bool
}

func (c *watchCommand) flags(f *flagSet) {
	f.server(&c.client)
	f.StringVar(&c.typ, "type", "", "key, keyprefix, services, nodes, service, checks or event")
	f.StringVar(&c.key, "key", "", "key to watch")
	f.StringVar(&c.prefix, "prefix", "", "prefix of keys to watch")
	f.StringVar(&c.service, "service", "", "service to watch")
	f.Var(&c.tags, "tag", "with a service: only instances with this tag; repeatable")
	f.BoolVar(&c.passing, "passingonly", false, "with a service: only instances whose checks all pass")
	f.BoolVar(&c.shell, "shell", true, "run the command by /bin/sh")
	f.StringVar(&c.state, "state", "", "with checks: only this status")
	f.StringVar(&c.name, "name", "", "with events: only of this name")
	f.StringVar(&c.filter, "filter", "", "only what this expression holds for")
}

// watch is what the flags describe.
func (c *watchCommand) watch(args []string) (config.Watch, error) {
	m := map[string]any{"type": c.typ, "args": []any{"-"}}
	for name, v := range map[string]string{
		"key": c.key, "prefix": c.prefix, "service": c.service, "state": c.state, "name": c.name, "filter": c.filter,
	} {
		if v != "" {
			m[name] = v
		}
	}
	if len(c.tags) > 0 {
		m["tag"] = []string(c.tags)
	}
	if c.passing {
		m["passingonly"] = true
	}
	if c.typ == "" {
		return config.Watch{}, fmt.Errorf("-type says what to watch")
	}
	w, err := config.ParseWatch(m)
	if c.shell && len(args) > 0 {
		args = []string{"/bin/sh", "-c", strings.Join(args, " ")}
	}
	w.Args = args
	return w, err
}

func (c *watchCommand) run(e *env, args []string) int {
	w, err := c.watch(args)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	p := newWatchPlan(cl, w)
	if len(args) == 0 {
		result, _, err := p.ask(e.ctx, 0)
		if err != nil {
			return e.errorf("Error querying agent: %v", err)
		}
		var out bytes.Buffer
		if err := json.Indent(&out, result, "", "    "); err != nil {
			return e.errorf("Error: %v", err)
		}
		e.printf("%s", out.String())
		return 0
	}
	p.follow(e.ctx, func(index uint64, result json.RawMessage) {
		if err := runHandler(e.ctx, w, index, result, e.vars, e.stdout); err != nil {
			e.errorf("Error: %v", err)
		}
	}, func(err error) { e.errorf("Watch errored: %v", err) })
	return 0
}

// runHandler runs a watch's command, or posts to its URL.
func runHandler(ctx context.Context, w config.Watch, index uint64, result []byte, environ []string, out io.Writer) error {
	if len(w.Args) == 0 {
		return postHandler(ctx, w, index, result)
	}
	cmd := exec.CommandContext(ctx, w.Args[0], w.Args[1:]...)
	cmd.Stdin = bytes.NewReader(result)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(append([]string{}, environ...), fmt.Sprintf("CONSUL_INDEX=%d", index))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s: %w", w.Args[0], err)
	}
	return nil
}

// postHandler sends a watch's result to its URL.
func postHandler(ctx context.Context, w config.Watch, index uint64, result []byte) error {
	ctx, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, w.HTTP.Method, w.HTTP.URL, bytes.NewReader(result))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Consul-Index", fmt.Sprint(index))
	for k, vs := range w.HTTP.Header {
		req.Header[http.CanonicalHeaderKey(k)] = vs
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: w.HTTP.TLSSkipVerify} //nolint:gosec // only when the user says so
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return fmt.Errorf("post to watch handler: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("post to watch handler %s: status %d", w.HTTP.URL, resp.StatusCode)
	}
	return nil
}
