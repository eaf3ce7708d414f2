package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"

	"berth/internal/config"
)

// watches runs the handlers of configured watches: each when the content of what it looks at
// changes, never for an identical answer, and not again for a watch that a reload kept.
type watches struct {
	self *client
	log  *slog.Logger

	mu      sync.Mutex // guards all below
	ctx     context.Context
	running map[string]context.CancelFunc // by the watch's own JSON
	wanted  map[string]config.Watch
	wg      sync.WaitGroup
}

func newWatches(api http.Handler, log *slog.Logger) *watches {
	return &watches{self: selfClient(api), log: log, running: map[string]context.CancelFunc{}, wanted: map[string]config.Watch{}}
}

// set replaces the set of watches.
func (w *watches) set(all []config.Watch) error {
	wanted := map[string]config.Watch{}
	for _, one := range all {
		key, err := json.Marshal(one)
		if err != nil {
			return fmt.Errorf("watch of type %s: %w", one.Type, err)
		}
		wanted[string(key)] = one
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wanted = wanted
	w.adjust()
	return nil
}

// adjust starts and ends watches until the running ones are the wanted ones; mu is held.
func (w *watches) adjust() {
	if w.ctx == nil {
		return
	}
	for key, cancel := range w.running {
		if _, ok := w.wanted[key]; !ok {
			cancel()
			delete(w.running, key)
		}
	}
	for key, one := range w.wanted {
		if _, ok := w.running[key]; ok {
			continue
		}
		ctx, cancel := context.WithCancel(w.ctx)
		w.running[key] = cancel
		w.wg.Add(1)
		go func() { defer w.wg.Done(); w.follow(ctx, one) }()
	}
}

// Run follows all watches until ctx ends.
func (w *watches) Run(ctx context.Context) error {
	w.mu.Lock()
	w.ctx = ctx
	w.adjust()
	w.mu.Unlock()
	<-ctx.Done()
	w.mu.Lock()
	w.ctx = nil
	w.mu.Unlock()
	w.wg.Wait()
	return nil
}

// follow runs the handler of one watch at each change, until ctx ends.
func (w *watches) follow(ctx context.Context, one config.Watch) {
	cl := *w.self
	if token, ok := one.Params["token"].(string); ok {
		cl.token = token
	}
	newWatchPlan(&cl, one).follow(ctx, func(index uint64, result json.RawMessage) {
		ctx, cancel := context.WithTimeout(ctx, one.Timeout)
		defer cancel()
		var out tailBuffer
		if err := runHandler(ctx, one, index, result, os.Environ(), &out); err != nil && !errors.Is(ctx.Err(), context.Canceled) {
			w.log.Error("watch handler failed", "type", one.Type, "err", err, "output", out.String())
		}
	}, func(err error) {
		w.log.Warn("watch cannot be read, trying again", "type", one.Type, "err", err)
	})
}

// tailBuffer keeps the last part of what a handler writes, for the log.
type tailBuffer struct{ b []byte }

const tailKept = 1024

func (t *tailBuffer) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if len(t.b) > 2*tailKept {
		t.b = append([]byte(nil), t.b[len(t.b)-tailKept:]...)
	}
	return len(p), nil
}

func (t *tailBuffer) String() string { return string(t.b[max(0, len(t.b)-tailKept):]) }
