package store

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"berth"
)

// Limits bound what others may ask of this agent, and it of others. Rates of 0 or less are no
// limit.
type Limits struct {
	Handshake    time.Duration // for a TLS handshake on the server port, both ends; 0: 10 s
	ConnsPerAddr int           // connections to the server port from one address; 0: no limit

	ForwardTimeout time.Duration // for a forwarded request that does not block, until its answer begins; 0: none
	ForwardRate    float64       // requests a second that this agent, not a server, forwards
	ForwardBurst   int           // of these at once

	Mode      string  // of the rates below: disabled, permissive (only logged) or enforcing; "" is disabled
	ReadRate  float64 // API reads a second that run on this server
	WriteRate float64 // API writes a second that run on this server
}

// Values of Limits.Mode.
const (
	LimitsOff        = "disabled"
	LimitsPermissive = "permissive"
	LimitsEnforcing  = "enforcing"
)

// Texts of refused requests.
const (
	textForwardLimit = "RPC rate limit exceeded"
	textRequestLimit = "rate limit exceeded, try again later or against a different server"
)

// gates are the limits in force; a reload replaces them.
type gates struct {
	limits              Limits
	forward             *bucket
	read, write         *bucket
	lastRead, lastWrite atomic.Int64 // when a refusal was last logged, Unix ns
}

func newGates(l Limits) *gates {
	g := &gates{limits: l, forward: newBucket(l.ForwardRate, l.ForwardBurst)}
	if l.Mode == LimitsPermissive || l.Mode == LimitsEnforcing {
		g.read, g.write = newBucket(l.ReadRate, int(l.ReadRate)), newBucket(l.WriteRate, int(l.WriteRate))
	}
	return g
}

func (c *Limits) check() error {
	switch c.Mode {
	case "", LimitsOff, LimitsPermissive, LimitsEnforcing:
		return nil
	}
	return fmt.Errorf("limits.request_limits.mode %q: use %s, %s or %s", c.Mode, LimitsOff, LimitsPermissive, LimitsEnforcing)
}

// admit says whether a request that is to run on this server may; when not it is answered.
func (s *Store) admit(w http.ResponseWriter, r *http.Request) bool {
	g := s.gates.Load()
	b, last, kind, rate := g.write, &g.lastWrite, "write", g.limits.WriteRate
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		b, last, kind, rate = g.read, &g.lastRead, "read", g.limits.ReadRate
	}
	if b.take() {
		return true
	}
	if at := last.Load(); time.Since(time.Unix(0, at)) > time.Second && last.CompareAndSwap(at, now()) {
		s.log.Warn("requests are over their limit", "kind", kind, "rate", rate, "mode", g.limits.Mode, "path", r.URL.Path)
	}
	if g.limits.Mode != LimitsEnforcing {
		return true
	}
	tooMany(w, textRequestLimit)
	return false
}

// mayForward says whether this agent may forward one more request now; when not it is answered.
func (s *Store) mayForward(w http.ResponseWriter) bool {
	if s.node != nil || s.gates.Load().forward.take() {
		return true
	}
	tooMany(w, textForwardLimit)
	return false
}

func tooMany(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusTooManyRequests)
	_, _ = w.Write([]byte(text)) // the client may have gone
}

var errForwardTimeout = errors.New("rpc error making call: i/o deadline reached: no answer within limits.rpc_client_timeout")

// forwardLimit bounds the wait for the answer of a forwarded request that does not block; began
// ends the bound.
func (s *Store) forwardLimit(r *http.Request, whole bool) (ctx context.Context, began func() bool) {
	limit := s.gates.Load().limits.ForwardTimeout
	if limit <= 0 || !whole || lasting(r) {
		return r.Context(), func() bool { return true }
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	t := time.AfterFunc(limit, func() { cancel(errForwardTimeout) })
	return ctx, t.Stop
}

// lasting tells whether a request may last for as long as its sender likes.
func lasting(r *http.Request) bool {
	return r.URL.Query().Has("index") || r.URL.Path == "/internal/store/replica"
}

// SetLimits puts new limits of requests in force: all but Handshake and ConnsPerAddr.
func (s *Store) SetLimits(l Limits) error {
	if err := l.check(); err != nil {
		return err
	}
	s.gates.Store(newGates(l))
	return nil
}

// SetSnapshots changes when raft makes snapshots and how much of the log it keeps behind one.
func (s *Store) SetSnapshots(c RaftConfig) error {
	if s.node == nil {
		return nil
	}
	r := s.node.raft.Load()
	if r == nil {
		return berth.ErrNoLeader
	}
	now := r.ReloadableConfig()
	now.SnapshotThreshold, now.SnapshotInterval, now.TrailingLogs = c.SnapshotThreshold, c.SnapshotInterval, c.TrailingLogs
	if now == r.ReloadableConfig() {
		return nil
	}
	if err := r.ReloadConfig(now); err != nil {
		return fmt.Errorf("raft snapshots: %w", err)
	}
	return nil
}

// bucket lets through rate events a second, and burst at once. nil lets all through. It is safe
// for concurrent use.
type bucket struct {
	rate, burst float64

	mu     sync.Mutex // guards tokens, at
	tokens float64
	at     time.Time
}

func newBucket(rate float64, burst int) *bucket {
	if rate <= 0 {
		return nil
	}
	b := &bucket{rate: rate, burst: max(1, float64(burst)), at: time.Now()}
	b.tokens = b.burst
	return b
}

func (b *bucket) take() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.tokens = min(b.burst, b.tokens+now.Sub(b.at).Seconds()*b.rate)
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
