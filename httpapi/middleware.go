package httpapi

import (
	"context"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"berth"
)

// Texts for paths that no route has.
const (
	textUnknownV1   = "Invalid URL path: not a recognized HTTP API endpoint\n"
	textUnknownPath = "Invalid URL path: if attempting to use the HTTP API, ensure the path starts with '/v1/'\n"
	textUnprintable = "Invalid URL path: it has characters that cannot be printed, or that are not UTF-8; http_config.disable_http_unprintable_char_filter lets them through\n"
	textUIOff       = "Consul Agent: UI disabled. To enable, set ui_config.enabled=true in the agent configuration and restart."
)

// headerVia is set by agents on what they forward; from a client it means nothing.
const headerVia = "X-Berth-Via"

// writeBudget bounds a write whose client does not wait for it.
const writeBudget = 60 * time.Second

// call is one request on its way through the middleware and its handler. It belongs to the
// request's goroutine.
type call struct {
	s        *Server
	w        http.ResponseWriter
	r        *http.Request
	ctx      context.Context // the request's; a write's goes on when the client has gone
	route    *route
	tail     string   // what follows a prefix route's path
	form     form     // query parameters
	few      [4]param // memory for them
	dc       string   // other datacenter, "" for the local one
	opts     berth.QueryOptions
	maxStale time.Duration
	cached   bool
	local    bool // came from a client, not over port 8300 from another agent
	txn      *txn // set by prepareTxn
	forward  forwardWriter
}

// handler answers a request whose parameters are in order and which has arrived where it runs.
type handler func(c *call) (any, error)

// serve applies the rules that all requests share and runs the handler. local is false for
// requests from other agents, which have passed the gate where they entered.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, local bool) {
	h := w.Header()
	maps.Copy(h, s.headers)
	if !s.cfg.AllowUnprintable && !printable(r.URL.Path) {
		h.Set("Content-Type", typeText)
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, textUnprintable) // a client that does not read it is gone
		return
	}
	if local {
		r.Header.Del(headerVia)
	}
	c := &call{s: s, w: w, r: r, ctx: r.Context(), local: local}
	point, tail := s.table.find(r.URL.Path)
	if point == nil {
		s.serveOther(c)
		return
	}
	if local {
		defer point.measure(r.Method, time.Now())
	}
	c.tail = tail
	c.route = point.route(r.Method)
	maps.Copy(h, s.common)
	if err := c.admit(point); err != nil {
		c.fail(err)
		return
	}
	if r.Method == http.MethodOptions {
		h.Set("Allow", point.allow)
		c.write(http.StatusOK, "", nil)
		return
	}
	var err error
	if c.form, err = form(c.few[:0]).parse(r.URL.RawQuery); err != nil {
		c.fail(berth.Invalid(err.Error()))
		return
	}
	c.run()
}

// run does what needs the parsed parameters: it authorizes, places and answers the request.
func (c *call) run() {
	if err := c.parseParams(); err != nil {
		c.fail(err)
		return
	}
	if !c.route.asks {
		if err := c.authorize(c.route.access.Resource, c.route.access.Verb, c.tail); err != nil {
			c.fail(err)
			return
		}
	}
	if err := c.limitBody(); err != nil {
		c.fail(err)
		return
	}
	route := c.berthRoute()
	if c.route.prepare != nil {
		if err := c.route.prepare(c, &route); err != nil {
			c.fail(err)
			return
		}
	}
	if c.forwarded(route) {
		return
	}
	if c.r.Method != http.MethodGet && c.r.Method != http.MethodHead {
		// A write that has begun is finished, though its client or the server goes away.
		var cancel context.CancelFunc
		c.ctx, cancel = context.WithTimeout(context.WithoutCancel(c.ctx), writeBudget)
		defer cancel()
	}
	c.respond(c.route.handle(c))
}

// forwarded places the request; true means that it has been answered elsewhere.
func (c *call) forwarded(route berth.Route) bool {
	switch c.route.place {
	case onAgent:
		return false
	case onAgentOrDC:
		if route.Datacenter == "" {
			return false
		}
	}
	// The token that this agent would use goes along, as do headers that the other side sets again.
	if c.opts.Token != "" && c.r.Header.Get("X-Consul-Token") == "" {
		c.r.Header.Set("X-Consul-Token", c.opts.Token)
	}
	c.forward.ResponseWriter, c.forward.c = c.w, c
	if c.r.Body != nil && c.r.Body != http.NoBody {
		c.r.Body = toldBody{c.r.Body, c}
	}
	if !c.s.cfg.Store.Forward(&c.forward, c.r, route) {
		return false
	}
	c.writeDeadline(writeTimeout) // for what net/http still holds
	if !c.forward.written {
		c.fail(berth.ErrClosed) // given up half-way: the server stops, or the client has gone
	}
	return true
}

// forwardWriter notices whether an answer was written, and gives the client a while to take each
// piece of it, as for answers that are made here. In between the other agent may take its time.
type forwardWriter struct {
	http.ResponseWriter
	c       *call
	written bool
}

// WriteHeader passes the status on.
func (w *forwardWriter) WriteHeader(status int) {
	w.written = true
	w.ResponseWriter.WriteHeader(status)
}

// Write passes a piece of the body on.
func (w *forwardWriter) Write(p []byte) (int, error) {
	w.written = true
	w.c.writeDeadline(writeTimeout)
	defer w.c.writeDeadline(0)
	return w.ResponseWriter.Write(p)
}

// FlushError sends what is buffered.
func (w *forwardWriter) FlushError() error { return w.c.flush() }

// Unwrap lets a ResponseController reach the connection.
func (w *forwardWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// admit applies the gates in front of all routes.
func (c *call) admit(point *endpoint) error {
	if c.local {
		for _, prefix := range c.s.cfg.BlockEndpoints {
			if strings.HasPrefix(c.r.URL.Path, prefix) {
				return httpError(http.StatusForbidden, "Endpoint is blocked by agent configuration")
			}
		}
		if !c.s.mayWrite(c.r) {
			return httpError(http.StatusForbidden, "Access is restricted")
		}
	}
	if c.route == nil {
		c.route = point.routes[0]
		if c.r.Method != http.MethodOptions {
			c.w.Header().Set("Allow", point.allow)
			return httpError(http.StatusMethodNotAllowed, "method "+c.r.Method+" not allowed")
		}
	}
	return nil
}

// mayWrite tells whether the client's address is one that writes are taken from.
func (s *Server) mayWrite(r *http.Request) bool {
	if len(s.cfg.AllowWriteFrom) == 0 {
		return true
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	addr := remoteAddr(r)
	for _, p := range s.cfg.AllowWriteFrom {
		if addr.IsValid() && p.Contains(addr) {
			return true
		}
	}
	return false
}

// authorize asks the Authorizer; a prefix route's name is part of the question.
func (c *call) authorize(resource, verb, name string) error {
	return c.s.cfg.Authorizer.Authorize(c.ctx, c.opts.Token, Access{Resource: resource, Verb: verb, Name: name})
}

// serveOther answers paths outside the table.
func (s *Server) serveOther(c *call) {
	path := c.r.URL.Path
	c.route = &route{}
	switch {
	case path == "/" && s.cfg.UI != nil:
		http.Redirect(c.w, c.r, "/ui/", http.StatusMovedPermanently)
	case path == "/":
		c.write(http.StatusOK, typeText, []byte(textUIOff))
	case s.cfg.UI != nil && strings.HasPrefix(path, "/ui/"):
		s.cfg.UI.ServeHTTP(c.w, c.r)
	case s.cfg.Debug && strings.HasPrefix(path, pprofPrefix):
		c.serveProfile()
	case strings.Contains(path, "/v1/"):
		c.write(http.StatusNotFound, typeText, []byte(textUnknownV1))
	default:
		c.write(http.StatusNotFound, typeText, []byte(textUnknownPath))
	}
}
