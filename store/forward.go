package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"berth"
	"berth/store/transport"
)

// Headers between agents. headerVia says who forwarded a request, so that none goes in a
// circle: a request from an agent of this datacenter is never passed on inside it, and one
// from another datacenter never leaves this one again.
const (
	headerVia       = "X-Berth-Via"
	headerNotLeader = "X-Berth-Not-Leader" // on an answer: surely not run, with the leader's address if known
	viaLAN          = "lan"
	viaWAN          = "wan"
)

// maxReplay is how much of a request's body is kept to send it again.
const maxReplay = 1 << 20

// Forward runs the request where route says: it returns false when that is here (nothing has
// been written then, and the body is whole), and true when the request was answered, by
// another agent or with an error. It waits up to the hold timeout for a leader. What would run
// on a server over its limits is answered here, too.
func (s *Store) Forward(w http.ResponseWriter, r *http.Request, route berth.Route) bool {
	return s.forward(w, r, route) || s.node != nil && !s.admit(w, r)
}

func (s *Store) forward(w http.ResponseWriter, r *http.Request, route berth.Route) bool {
	via := forwardedBy(r)
	if dc := route.Datacenter; dc != "" && dc != s.cfg.Datacenter {
		if via == viaWAN {
			answerError(w, berth.ErrNoPath)
			return true
		}
		return s.forwardDatacenter(w, r, dc, via)
	}
	leader := route.Leader && !route.Stale
	if route.Stale {
		if (s.node != nil || !route.Servers) && s.freshEnough(route.MaxStale) {
			return false
		}
		leader = s.node != nil // a server that is too far behind asks the leader
	}
	if s.node != nil && (!leader || s.leads()) {
		return false
	}
	if via == viaLAN {
		return s.refuseOrRun(w, r, leader)
	}
	return s.forwardHere(w, r, leader)
}

// freshEnough tells whether a stale read may be answered from this agent's own state.
func (s *Store) freshEnough(limit time.Duration) bool {
	v := s.View()
	return v.Synced() && (limit <= 0 || v.Lag() <= limit)
}

// refuseOrRun handles what another agent of this datacenter sent to the wrong server: it is
// told so, rather than passed on, unless this server is about to lead.
func (s *Store) refuseOrRun(w http.ResponseWriter, r *http.Request, leader bool) bool {
	if leader && s.node != nil && s.leaderAddr() == s.addr {
		ctx, cancel := context.WithTimeout(r.Context(), s.cfg.HoldTimeout)
		defer cancel()
		for ctx.Err() == nil && s.leaderAddr() == s.addr {
			changed := s.leaderChanged.wait()
			if s.leads() {
				return false
			}
			select {
			case <-ctx.Done():
			case <-changed:
			}
		}
	}
	s.answerNotLeader(w)
	return true
}

func (s *Store) answerNotLeader(w http.ResponseWriter) {
	w.Header().Set(headerNotLeader, s.leaderAddr())
	http.Error(w, berth.ErrNotLeader.Error(), http.StatusServiceUnavailable)
}

// forwardHere sends the request to the leader, or any server, of this datacenter.
func (s *Store) forwardHere(w http.ResponseWriter, r *http.Request, leader bool) bool {
	if !s.mayForward(w) {
		return true
	}
	body, err := newReplay(r)
	if err != nil {
		answerError(w, err)
		return true
	}
	local := false
	err = s.route(r.Context(), leader, func(_ context.Context, addr string) error {
		if addr == "" {
			local = true
			return nil
		}
		return s.proxy(w, r, addr, viaLAN, body)
	})
	if local {
		body.restore(r)
		return false
	}
	if err != nil {
		answerError(w, err)
	}
	return true
}

// proxy passes the request on verbatim and copies the answer. errRetry: nothing happened.
func (s *Store) proxy(w http.ResponseWriter, r *http.Request, addr, via string, body *replay) error {
	ctx, began := s.forwardLimit(r, body.whole)
	defer began()
	req, err := http.NewRequestWithContext(ctx, r.Method, "http://"+addr+r.URL.RequestURI(), body.reader())
	if err != nil {
		return err
	}
	req.Header = r.Header.Clone()
	for _, h := range []string{"Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade", "Te"} {
		req.Header.Del(h)
	}
	req.Header.Set(headerVia, via)
	req.ContentLength, req.Host = r.ContentLength, r.Host
	resp, err := s.trans.RoundTrip(req)
	if err != nil {
		if context.Cause(ctx) == errForwardTimeout { //nolint:errorlint // the very value
			return errForwardTimeout
		}
		return s.proxyError(r, addr, body, err)
	}
	began()
	defer resp.Body.Close()
	if hint, ok := resp.Header[headerNotLeader]; ok && body.whole {
		s.unprefer(addr) // a stale read that is too stale there is asked of another one
		s.learnLeader(strings.Join(hint, ""))
		return errRetry
	}
	copyAnswer(w, resp)
	return nil
}

// proxyError decides whether a failed request may be sent again: when nothing was sent, or when
// it only reads.
func (s *Store) proxyError(r *http.Request, addr string, body *replay, err error) error {
	if r.Context().Err() != nil {
		return r.Context().Err()
	}
	s.log.Debug("forwarding failed", "server", addr, "path", r.URL.Path, "err", err)
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	if body.whole && (transport.NotSent(err) || reads) {
		s.unprefer(addr)
		return errRetry
	}
	return &rpcError{addr, err}
}

// rpcError is a failure after the request had been sent.
type rpcError struct {
	addr string
	err  error
}

func (e *rpcError) Error() string {
	return "rpc error making call: server " + e.addr + " went away while it ran the request: " + e.err.Error()
}

// Unwrap is the cause.
func (e *rpcError) Unwrap() error { return e.err }

// copyAnswer copies a response, passing each piece on at once when its length is unknown. One
// that breaks off is cut off here as well, since its end would make it look whole.
func copyAnswer(w http.ResponseWriter, resp *http.Response) {
	h := w.Header()
	for k, v := range resp.Header {
		h[k] = v
	}
	w.WriteHeader(resp.StatusCode)
	rc := http.NewResponseController(w)
	size := int64(32 << 10)
	if resp.ContentLength >= 0 {
		size = min(size, resp.ContentLength+1)
	}
	buf := make([]byte, size)
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return // the client has gone
			}
			if resp.ContentLength < 0 {
				_ = rc.Flush() // not every writer can
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			panic(http.ErrAbortHandler)
		}
	}
}

// answerError writes what clients know of Consul when a request found no server.
func answerError(w http.ResponseWriter, err error) {
	if errors.Is(err, context.Canceled) {
		return // the client has gone
	}
	status := http.StatusInternalServerError
	var body *bodyError
	if errors.As(err, &body) {
		status = body.status()
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, err.Error())
}

// bodyError is that a client's body could not be read. Its status is the cause's, if it has one.
type bodyError struct{ error }

// Unwrap is the cause.
func (e *bodyError) Unwrap() error { return e.error }

func (e *bodyError) status() int {
	var told *berth.InvalidError
	if errors.As(e.error, &told) {
		return told.Status
	}
	return http.StatusBadRequest
}

// replay keeps a request's body so that it can be sent more than once.
type replay struct {
	kept  []byte
	rest  io.Reader // what was too long to keep
	whole bool
}

func newReplay(r *http.Request) (*replay, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return &replay{whole: true}, nil
	}
	kept, err := io.ReadAll(io.LimitReader(r.Body, maxReplay+1))
	if err != nil {
		return nil, &bodyError{err}
	}
	if len(kept) <= maxReplay {
		return &replay{kept: kept, whole: true}, nil
	}
	return &replay{kept: kept, rest: r.Body}, nil
}

func (b *replay) reader() io.Reader {
	switch {
	case b.rest != nil:
		return io.MultiReader(bytes.NewReader(b.kept), b.rest)
	case len(b.kept) > 0:
		return bytes.NewReader(b.kept)
	}
	return http.NoBody
}

// restore gives the body back to a request that runs here after all.
func (b *replay) restore(r *http.Request) { r.Body = io.NopCloser(b.reader()) }
