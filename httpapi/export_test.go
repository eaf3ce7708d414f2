package httpapi

import (
	"net"
	"net/http"
)

var exported = newTable(routes())

// RouteOf is the table's row that answers a request, "" when none does.
func RouteOf(r *http.Request) (row Route) {
	if e, _ := exported.find(r.URL.Path); e != nil {
		if found := e.route(r.Method); found != nil {
			row = Route{Path: found.path, Methods: found.methods}
		}
	}
	return row
}

// ServeOn makes a server serve on a listener of a test's own.
func (s *Server) ServeOn(l net.Listener) { s.listeners = append(s.listeners, s.limitConns(l, false)) }

// KeptBytes is how much of answers is kept.
func (s *Server) KeptBytes() int {
	s.bodies.mu.RLock()
	defer s.bodies.mu.RUnlock()
	n := 0
	for k, b := range s.bodies.kept {
		n += b.size(k)
	}
	if n != s.bodies.bytes {
		panic("the count is not what there is")
	}
	return n
}
