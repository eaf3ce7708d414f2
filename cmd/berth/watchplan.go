package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"berth/internal/backoff"
	"berth/internal/config"
)

// watchPlan asks the agent one thing again and again, each time waiting for a change.
type watchPlan struct {
	cl    *client
	path  string
	query url.Values
	one   bool // the answer is a list of one, or 404
}

// newWatchPlan is the plan of a watch, whose type and parameters config has checked.
func newWatchPlan(cl *client, w config.Watch) *watchPlan {
	text := func(name string) string {
		if v, ok := w.Params[name]; ok {
			return fmt.Sprint(v)
		}
		return ""
	}
	p := &watchPlan{cl: cl, query: query("dc", text("datacenter"), "filter", text("filter"))}
	if s := text("stale"); s == "true" {
		p.query.Set("stale", "")
	}
	switch w.Type {
	case "key":
		p.path, p.one = keyPath(text("key")), true
	case "keyprefix":
		p.path = keyPath(text("prefix"))
		p.query.Set("recurse", "")
	case "services":
		p.path = "/v1/catalog/services"
	case "nodes":
		p.path = "/v1/catalog/nodes"
	case "service":
		p.path = "/v1/health/service/" + segment(text("service"))
		for _, tag := range list(w.Params["tag"]) {
			p.query.Add("tag", tag)
		}
		if text("passingonly") == "true" {
			p.query.Set("passing", "1")
		}
	case "checks":
		p.path = "/v1/health/state/any"
		if s := text("state"); s != "" {
			p.path = "/v1/health/state/" + segment(s)
		}
		if s := text("service"); s != "" {
			p.path = "/v1/health/checks/" + segment(s)
		}
	case "event":
		p.path = "/v1/event/list"
		if s := text("name"); s != "" {
			p.query.Set("name", s)
		}
	}
	return p
}

// list is v as strings: a list or a single value.
func list(v any) []string {
	switch v := v.(type) {
	case nil:
		return nil
	case []string:
		return v
	case []any:
		var out []string
		for _, x := range v {
			out = append(out, fmt.Sprint(x))
		}
		return out
	}
	return []string{fmt.Sprint(v)}
}

// watchWait is how long one question waits; the agent adds up to a sixteenth.
const watchWait = 5 * time.Minute

// ask waits until the answer's index is no longer index, at most watchWait.
func (p *watchPlan) ask(ctx context.Context, index uint64) (json.RawMessage, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, watchWait+watchWait/8)
	defer cancel()
	q := url.Values{}
	for k, v := range p.query {
		q[k] = v
	}
	if index > 0 {
		q.Set("index", strconv.FormatUint(index, 10))
		q.Set("wait", watchWait.String())
	}
	resp, err := p.cl.open(ctx, http.MethodGet, p.path, q, nil)
	missing := hasStatus(err, http.StatusNotFound)
	if err != nil && !missing {
		return nil, 0, err
	}
	defer resp.Body.Close()
	next, _ := strconv.ParseUint(resp.Header.Get("X-Consul-Index"), 10, 64)
	if missing {
		return json.RawMessage("null"), next, nil
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, 0, err
	}
	if p.one {
		var items []json.RawMessage
		if err := json.Unmarshal(body, &items); err != nil || len(items) == 0 {
			return json.RawMessage("null"), next, err
		}
		body = items[0]
	}
	return bytes.TrimSpace(body), next, nil
}

// follow calls handle with every answer that differs from the one before, until ctx ends.
// failed hears of errors, which are tried again after a growing pause.
func (p *watchPlan) follow(ctx context.Context, handle func(index uint64, result json.RawMessage), failed func(error)) {
	pause := backoff.Backoff{Min: 5 * time.Second, Max: 180 * time.Second}
	var index uint64
	var last [sha256.Size]byte
	for ctx.Err() == nil {
		result, next, err := p.ask(ctx, index)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			failed(err)
			if pause.Wait(ctx) != nil {
				return
			}
			continue
		}
		pause.Reset()
		if sum := sha256.Sum256(result); sum != last {
			last = sum
			handle(next, result)
		}
		if next < index {
			next = 0 // the servers were restored: begin again
		}
		if next == 0 && backoff.Sleep(ctx, time.Second) != nil {
			return // an answer without index would make this loop spin
		}
		index = next
	}
}
