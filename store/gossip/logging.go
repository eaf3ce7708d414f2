package gossip

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// stdLogger turns the libraries' "[LEVEL] part: text" lines into slog records, and lets the
// diagnosis read along.
func stdLogger(l *slog.Logger, r *remarks) *log.Logger {
	return log.New(&lineWriter{log: l, remarks: r}, "", 0)
}

type lineWriter struct {
	log     *slog.Logger
	remarks *remarks
}

// Write takes one log line.
func (w *lineWriter) Write(b []byte) (int, error) {
	level, msg := splitLevel(strings.TrimSpace(string(b)))
	w.remarks.read(msg)
	if strings.Contains(msg, "Shutdown without a Leave") {
		level = slog.LevelDebug // the ordinary way to stop a server
	}
	if h := keyHint(msg); h != "" {
		if w.remarks.due("key") {
			w.log.Warn(h, "detail", msg)
		}
		return len(b), nil
	}
	if strings.Contains(msg, "Conflicting address for") || strings.Contains(msg, "Failed push/pull merge: member ") {
		level = slog.LevelDebug // serf and merge say it better
	}
	if nameConflict(msg) {
		if w.remarks.due(msg) {
			w.log.Warn(msg + ": set a different node_name on one of them")
		}
		return len(b), nil
	}
	if kind, ok := aboutPacket(msg); ok && level >= slog.LevelWarn {
		if !w.remarks.due(kind) {
			return len(b), nil
		}
		msg += " (said once a minute, however many there are)"
	}
	w.log.Log(context.Background(), level, msg)
	return len(b), nil
}

// aboutPacket tells whether a line is about one packet or stream that came in, which anybody who
// reaches the port can make, and gives what such lines have in common.
func aboutPacket(msg string) (kind string, ok bool) {
	kind, _, ok = strings.Cut(msg, "from=")
	kind, _, _ = strings.Cut(kind, ": msgpack")
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, kind), ok
}

// nameConflict tells whether a line is about two living members of one name.
func nameConflict(msg string) bool {
	return strings.Contains(msg, "Name conflict for") || strings.Contains(msg, "Names must be unique")
}

// keyHint says in an operator's words what the libraries' words about decryption mean; "" for
// other messages.
func keyHint(msg string) string {
	msg = strings.ToLower(msg)
	switch {
	case strings.Contains(msg, "no installed keys could decrypt"):
		return "a gossip peer's encrypt key differs from this agent's: give both the same key"
	case strings.Contains(msg, "is encrypted and encryption is not configured"):
		return "a gossip peer has an encrypt key and this agent has none: set the same encrypt key here"
	case strings.Contains(msg, "encryption is configured but remote"):
		return "a gossip peer has no encrypt key: set this agent's encrypt key there"
	}
	return ""
}

// explain puts the hint, if there is one, before an error of the libraries.
func explain(err error) error {
	if err == nil {
		return nil
	}
	if h := keyHint(err.Error()); h != "" {
		return fmt.Errorf("%s (%w)", h, err)
	}
	return err
}

// splitLevel maps the libraries' levels a step down: what they call an error or a warning about
// a peer heals by itself.
func splitLevel(s string) (slog.Level, string) {
	for prefix, level := range map[string]slog.Level{
		"[ERR] ": slog.LevelWarn, "[ERROR] ": slog.LevelWarn, "[WARN] ": slog.LevelWarn, "[INFO] ": slog.LevelInfo, "[DEBUG] ": slog.LevelDebug,
	} {
		if rest, ok := strings.CutPrefix(s, prefix); ok {
			return level, rest
		}
	}
	return slog.LevelInfo, s
}

// remarkAge is how long a remark stands after it was last found true.
const remarkAge = 2 * time.Minute

// remarks is what diagnosis found out about members.
type remarks struct {
	mu   sync.Mutex // guards the rest
	by   map[string]remark
	said map[string]time.Time
}

type remark struct {
	text string
	at   time.Time
}

func newRemarks() *remarks { return &remarks{by: map[string]remark{}, said: map[string]time.Time{}} }

func (r *remarks) of(member string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, ok := r.by[member]
	if !ok || time.Since(m.at) > remarkAge {
		delete(r.by, member)
		return ""
	}
	return m.text
}

func (r *remarks) set(member, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.by[member] = remark{text, time.Now()}
}

// due tells, once a minute, that it is time to say something again.
func (r *remarks) due(what string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.said[what]) < time.Minute {
		return false
	}
	if len(r.said) > 1000 {
		clear(r.said)
	}
	r.said[what] = time.Now()
	return true
}

// read picks out of memberlist's log what it does not say through its API: a member that
// answers on TCP but not on UDP.
func (r *remarks) read(line string) {
	_, rest, ok := strings.Cut(line, "Was able to connect to ")
	if !ok {
		return
	}
	if name, tail, ok := strings.Cut(rest, " over TCP but UDP probes failed"); ok || tail != "" {
		r.set(name, "UDP is blocked between this agent and the member: open the gossip port for UDP in both directions")
	}
}
