package httpapi

import (
	"context"
	"net/http"
	"strings"
)

// InternalHandler answers requests that other agents send to port 8300: the same routes without
// the gates in front of clients. It waits for nothing
// but the handlers; requests that were put on the wrong host (the leader changed) travel on.
func (s *Server) InternalHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/internal/") {
			http.Error(w, textUnknownV1, http.StatusNotFound) // those are the store's own
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(s.base, cancel)()
		s.serve(w, r.WithContext(ctx), false)
	})
}
