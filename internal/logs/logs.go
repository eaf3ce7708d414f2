// Package logs makes the agent's log: text or JSON to a writer, a level that can change while it
// runs, and watchers that read along.
package logs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
)

// LevelTrace is below debug: what libraries say of every message.
const LevelTrace = slog.LevelDebug - 4

// ParseLevel reads TRACE, DEBUG, INFO, WARN, ERR or ERROR, in any case; "" is INFO.
func ParseLevel(s string) (slog.Level, error) {
	switch strings.ToUpper(s) {
	case "TRACE":
		return LevelTrace, nil
	case "DEBUG":
		return slog.LevelDebug, nil
	case "", "INFO":
		return slog.LevelInfo, nil
	case "WARN":
		return slog.LevelWarn, nil
	case "ERR", "ERROR":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("log level %q: use trace, debug, info, warn or error", s)
}

// Log is the process's log and the list of those who read along.
type Log struct {
	level slog.LevelVar
	main  slog.Handler

	mu       sync.RWMutex // guards watchers
	watchers map[*watcher]bool
}

// New writes to w, as JSON lines or as text.
func New(w io.Writer, level slog.Level, asJSON bool) *Log {
	l := &Log{watchers: map[*watcher]bool{}}
	l.level.Set(level)
	l.main = format(w, &l.level, asJSON)
	return l
}

func format(w io.Writer, level slog.Leveler, asJSON bool) slog.Handler {
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: nameLevels}
	if asJSON {
		return slog.NewJSONHandler(w, opts)
	}
	return slog.NewTextHandler(w, opts)
}

// nameLevels writes TRACE, which slog has no name for.
func nameLevels(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.LevelKey {
		if l, ok := a.Value.Any().(slog.Level); ok && l <= LevelTrace {
			return slog.String(slog.LevelKey, "TRACE")
		}
	}
	return a
}

// SetLevel changes what is written from now on.
func (l *Log) SetLevel(level slog.Level) { l.level.Set(level) }

// Logger is the logger that writes to l and its watchers.
func (l *Log) Logger() *slog.Logger { return slog.New(&handler{log: l, main: l.main}) }

// watchBuffer is how many lines wait for a reader before further ones are lost.
const watchBuffer = 512

type watcher struct {
	lines   chan []byte
	level   slog.Level
	asJSON  bool
	mu      sync.Mutex // guards stopped, and sends on lines against its close
	stopped bool
}

func (w *watcher) send(line []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	select {
	case w.lines <- line:
	default:
	}
}

// Watch gives the lines from now on, at and above level, whatever the log's own level is: text as
// Consul writes it, or JSON. A
// reader that is slow loses lines; the log never waits. stop ends it and closes lines.
func (l *Log) Watch(level slog.Level, asJSON bool) (lines <-chan []byte, stop func()) {
	w := &watcher{lines: make(chan []byte, watchBuffer), level: level, asJSON: asJSON}
	l.mu.Lock()
	l.watchers[w] = true
	l.mu.Unlock()
	return w.lines, func() {
		l.mu.Lock()
		delete(l.watchers, w)
		l.mu.Unlock()
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.stopped {
			w.stopped = true
			close(w.lines)
		}
	}
}

func (l *Log) watching(level slog.Level) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for w := range l.watchers {
		if level >= w.level {
			return true
		}
	}
	return false
}

// handler writes to the log and renders once more, with the same attributes, for watchers.
type handler struct {
	log   *Log
	main  slog.Handler
	apply []func(slog.Handler) slog.Handler // WithAttrs and WithGroup so far
}

// Enabled says whether the log or a watcher wants this level.
func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.main.Enabled(ctx, level) || h.log.watching(level)
}

// Handle writes one record.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	var err error
	if h.main.Enabled(ctx, r.Level) {
		err = h.main.Handle(ctx, r)
	}
	h.log.mu.RLock()
	defer h.log.mu.RUnlock()
	for w := range h.log.watchers {
		if r.Level >= w.level {
			w.send(h.render(ctx, r, w.asJSON))
		}
	}
	return err
}

func (h *handler) render(ctx context.Context, r slog.Record, asJSON bool) []byte {
	var b bytes.Buffer
	var out slog.Handler = &lineHandler{w: &b, level: LevelTrace}
	if asJSON {
		out = format(&b, LevelTrace, true)
	}
	for _, f := range h.apply {
		out = f(out)
	}
	_ = out.Handle(ctx, r)
	return b.Bytes()
}

func (h *handler) with(f func(slog.Handler) slog.Handler) slog.Handler {
	apply := append(append([]func(slog.Handler) slog.Handler(nil), h.apply...), f)
	return &handler{log: h.log, main: f(h.main), apply: apply}
}

// WithAttrs adds attributes to all later records.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(func(o slog.Handler) slog.Handler { return o.WithAttrs(attrs) })
}

// WithGroup opens a group for all later attributes.
func (h *handler) WithGroup(name string) slog.Handler {
	return h.with(func(o slog.Handler) slog.Handler { return o.WithGroup(name) })
}
