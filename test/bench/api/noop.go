//go:build linux

package main

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
)

// serveNoop answers each request with as many bytes as it asks for: the least that a server on
// net/http can do.
func serveNoop(addr string) error {
	answer := bytes.Repeat([]byte("x"), 1<<20)
	return http.ListenAndServe(addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			_, _ = io.Copy(io.Discard, r.Body) // a client that has gone needs no answer
		}
		n, _ := strconv.Atoi(r.Header.Get(headerLength)) // not asked: empty
		h := w.Header()
		h["Content-Type"] = []string{"application/json"}
		h["Content-Length"] = []string{strconv.Itoa(n)}
		_, _ = w.Write(answer[:min(n, len(answer))])
	}))
}
