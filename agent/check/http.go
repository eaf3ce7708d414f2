package check

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"berth"
)

// maxBody is how much of an HTTP answer is read.
const maxBody = 64 << 10

type httpRunner struct {
	def       *berth.CheckDefinition
	method    string
	client    *http.Client
	outputMax int
}

// transport is shared by all checks with the same TLS settings; without keep-alive, since a
// check shall prove that new connections work.
func (r *Runners) transport(def *berth.CheckDefinition) *http.Transport {
	key := tlsKey{def.TLSServerName, def.TLSSkipVerify}
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.transports[key]; t != nil {
		return t
	}
	t := &http.Transport{
		DialContext:            (&net.Dialer{KeepAlive: -1}).DialContext,
		TLSClientConfig:        r.tlsConfig(def),
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxBody,
	}
	r.transports[key] = t
	return t
}

func newHTTP(def *berth.CheckDefinition, t *http.Transport, timeout time.Duration, outputMax int) (Runner, error) {
	if _, err := url.ParseRequestURI(def.HTTP); err != nil {
		return nil, fmt.Errorf("check %q: HTTP is not a URL: %w", def.ID, err)
	}
	c := &http.Client{Transport: t, Timeout: timeout}
	switch {
	case def.DisableRedirects:
		c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	case def.StayOnHost:
		c.CheckRedirect = stayOnHost
	}
	method := def.Method
	if method == "" {
		method = http.MethodGet
	}
	return &httpRunner{def: def, method: method, client: c, outputMax: outputMax}, nil
}

// maxRedirects is also net/http's own limit.
const maxRedirects = 10

// stayOnHost follows redirects to the same host; to another port of it only what does no harm.
func stayOnHost(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	harmless := req.Method == http.MethodGet || req.Method == http.MethodHead
	switch {
	case len(via) >= maxRedirects:
		return fmt.Errorf("stopped after %d redirects", maxRedirects)
	case req.URL.Hostname() != first.Hostname(), req.URL.Port() != first.Port() && !harmless:
		return fmt.Errorf("redirect to %s is not followed: it is not the checked host", req.URL.Host)
	}
	return nil
}

func (h *httpRunner) Run(ctx context.Context) Result {
	req, err := http.NewRequestWithContext(ctx, h.method, h.def.HTTP, strings.NewReader(h.def.Body))
	if err != nil {
		return critical("%v", err)
	}
	for k, vs := range h.def.Header {
		for _, v := range vs {
			req.Header.Add(k, v)
		}
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "Consul Health Check")
	}
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "text/plain, text/*, */*")
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return critical("%v", err)
	}
	defer resp.Body.Close()
	body, remark := newTail(h.outputMax), ""
	if _, err := io.Copy(body, io.LimitReader(resp.Body, maxBody)); err != nil {
		remark = " (the body did not end)" // the status tells: an event stream is healthy, too
	}
	r := passing("HTTP %s %s: %s%s Output: %s", h.method, h.def.HTTP, resp.Status, remark, body)
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode <= 299:
	case resp.StatusCode == http.StatusTooManyRequests:
		r.Status = berth.StatusWarning
	default:
		r.Status = berth.StatusCritical
	}
	return r
}
