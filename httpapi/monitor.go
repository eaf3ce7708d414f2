package httpapi

import (
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"berth"
)

// Logs is the agent's log as it is written.
type Logs interface {
	// Watch gives the lines from now on, at and above a level, each with its line break, as text
	// or JSON. Writing a log never waits for a reader: a reader that is slow loses lines. stop
	// ends it; afterwards lines is closed.
	Watch(level slog.Level, asJSON bool) (lines <-chan []byte, stop func())
}

// monitorFlush is how long a line may wait for others to be sent with.
const monitorFlush = 200 * time.Millisecond

// logLevel reads the names that Consul uses for levels.
func logLevel(name string) (slog.Level, bool) {
	switch strings.ToUpper(name) {
	case "TRACE":
		return slog.LevelDebug - 4, true
	case "DEBUG":
		return slog.LevelDebug, true
	case "", "INFO":
		return slog.LevelInfo, true
	case "WARN":
		return slog.LevelWarn, true
	case "ERR", "ERROR":
		return slog.LevelError, true
	}
	return 0, false
}

// agentMonitor answers GET /v1/agent/monitor with the log, until the client goes away.
func agentMonitor(c *call) (any, error) {
	level, ok := logLevel(c.form.Get("loglevel"))
	if !ok {
		return nil, berth.Invalid("Unknown log level: " + c.form.Get("loglevel"))
	}
	asJSON := false
	if c.has("logjson") {
		v, err := strconv.ParseBool(c.form.Get("logjson"))
		if err != nil && c.form.Get("logjson") != "" {
			return nil, berth.Invalid(fmt.Sprintf("Unable to parse logjson option: %v", err))
		}
		asJSON = v || err != nil
	}
	if c.s.cfg.Logs == nil {
		return nil, httpError(http.StatusNotFound, "This agent does not offer its log")
	}
	w := &streamWriter{c: c, contentType: typeText}
	if c.r.Method == http.MethodHead {
		w.start()
		return answered, nil
	}
	lines, stop := c.s.cfg.Logs.Watch(level, asJSON)
	defer stop()
	c.copyLines(w, lines)
	return answered, nil
}

// copyLines sends lines until the client goes away or the log ends.
func (c *call) copyLines(w *streamWriter, lines <-chan []byte) {
	if w.Flush() != nil { // also tells the client that it is connected
		return
	}
	ticker := time.NewTicker(monitorFlush)
	defer ticker.Stop()
	pending := false
	for {
		select {
		case <-c.ctx.Done():
			return
		case line, ok := <-lines:
			if !ok {
				return
			}
			if _, err := w.Write(line); err != nil {
				return
			}
			pending = true
		case <-ticker.C:
			if pending && w.Flush() != nil {
				return
			}
			pending = false
		}
	}
}
