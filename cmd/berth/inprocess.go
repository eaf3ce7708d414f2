package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/netip"
	"net/url"
)

// inProcess is a RoundTripper that asks a handler of this process, without a socket.
type inProcess struct {
	handler http.Handler
}

// selfClient asks this agent's own API as any client would.
func selfClient(h http.Handler) *client {
	return &client{http: &http.Client{Transport: inProcess{h}}, base: "http://localhost", query: url.Values{}, address: "this agent"}
}

// RoundTrip runs the handler to its end and gives what it wrote.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.RemoteAddr, r.RequestURI = "127.0.0.1:0", r.URL.RequestURI()
	if from, ok := r.Context().Value(sourceKey{}).(netip.Addr); ok {
		r.RemoteAddr = netip.AddrPortFrom(from, 0).String()
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := &recorder{header: http.Header{}, code: http.StatusOK}
	t.handler.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: w.code, Status: http.StatusText(w.code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

// sourceKey is the context key of the address of a request's client.
type sourceKey struct{}

// onBehalfOf makes requests of selfClient appear to come from addr.
func onBehalfOf(ctx context.Context, addr netip.Addr) context.Context {
	return context.WithValue(ctx, sourceKey{}, addr)
}

// recorder is a ResponseWriter in memory.
type recorder struct {
	header http.Header
	code   int
	wrote  bool
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(code int) {
	if !w.wrote {
		w.code, w.wrote = code, true
	}
}

func (w *recorder) Write(b []byte) (int, error) {
	w.wrote = true
	return w.body.Write(b)
}
