package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// libLogger is hclog.Logger over slog, for raft and its helpers. Their errors and warnings are
// about peers and heal by themselves, so that they come out one level lower.
type libLogger struct {
	log  *slog.Logger
	name string
	args []any
}

func newLibLogger(l *slog.Logger, name string) hclog.Logger {
	return &libLogger{log: l.With("lib", name), name: name}
}

func (l *libLogger) emit(level slog.Level, msg string, args ...any) {
	ctx := context.Background()
	if !l.log.Enabled(ctx, level) {
		return
	}
	out := make([]any, 0, len(args))
	for i, a := range args {
		switch v := a.(type) {
		case hclog.Format:
			a = fmt.Sprintf(fmt.Sprint(v[0]), v[1:]...)
		case string:
			if i%2 == 0 {
				a = strings.ReplaceAll(v, "-", "_")
			}
		}
		out = append(out, a)
	}
	l.log.Log(ctx, level, msg, out...)
}

// Log writes at a level given as data.
func (l *libLogger) Log(level hclog.Level, msg string, args ...any) {
	switch level {
	case hclog.Error, hclog.Warn:
		l.Error(msg, args...)
	case hclog.Info:
		l.Info(msg, args...)
	default:
		l.Debug(msg, args...)
	}
}

// Trace drops the message: it is below what slog has.
func (l *libLogger) Trace(string, ...any) {}

// Debug logs at debug level.
func (l *libLogger) Debug(msg string, args ...any) { l.emit(slog.LevelDebug, msg, args...) }

// Info logs at debug level too: the store itself tells what an operator has to know.
func (l *libLogger) Info(msg string, args ...any) { l.emit(slog.LevelDebug, msg, args...) }

// Warn logs at info level.
func (l *libLogger) Warn(msg string, args ...any) { l.emit(slog.LevelInfo, msg, args...) }

// Error logs at warning level; what only says that a connection has ended, at debug level, and
// that this server leads no more, at info level.
func (l *libLogger) Error(msg string, args ...any) {
	level := slog.LevelWarn
	switch msg {
	case "failed to accept connection", "failed to decode incoming command", "failed to flush response":
		level = slog.LevelDebug
	case "peer has newer term, stopping replication":
		level = slog.LevelInfo
	}
	if slices.ContainsFunc(args, closedHere) {
		level = slog.LevelDebug
	}
	l.emit(level, msg, args...)
}

// closedHere tells whether an argument is the error of a connection that this side has closed.
func closedHere(arg any) bool {
	err, ok := arg.(error)
	return ok && (errors.Is(err, net.ErrClosed) || strings.Contains(err.Error(), net.ErrClosed.Error())) // codecs do not wrap
}

// IsTrace is false.
func (l *libLogger) IsTrace() bool { return false }

// IsDebug follows the logger's level.
func (l *libLogger) IsDebug() bool { return l.log.Enabled(context.Background(), slog.LevelDebug) }

// IsInfo follows the logger's level.
func (l *libLogger) IsInfo() bool { return l.log.Enabled(context.Background(), slog.LevelInfo) }

// IsWarn is true.
func (l *libLogger) IsWarn() bool { return true }

// IsError is true.
func (l *libLogger) IsError() bool { return true }

// ImpliedArgs are what With added.
func (l *libLogger) ImpliedArgs() []any { return l.args }

// With returns a logger that adds args to every line.
func (l *libLogger) With(args ...any) hclog.Logger {
	return &libLogger{log: l.log.With(args...), name: l.name, args: append(append([]any{}, l.args...), args...)}
}

// Name is the library part.
func (l *libLogger) Name() string { return l.name }

// Named returns the same logger: one name is enough.
func (l *libLogger) Named(string) hclog.Logger { return l }

// ResetNamed returns the same logger.
func (l *libLogger) ResetNamed(string) hclog.Logger { return l }

// SetLevel does nothing: the level is the slog handler's.
func (l *libLogger) SetLevel(hclog.Level) {}

// GetLevel follows the slog handler's level.
func (l *libLogger) GetLevel() hclog.Level {
	if l.IsDebug() {
		return hclog.Debug
	}
	return hclog.Info
}

// StandardLogger gives a std logger that writes here.
func (l *libLogger) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return slog.NewLogLogger(l.log.Handler(), slog.LevelDebug)
}

// StandardWriter gives a writer that writes here.
func (l *libLogger) StandardWriter(o *hclog.StandardLoggerOptions) io.Writer {
	return l.StandardLogger(o).Writer()
}
