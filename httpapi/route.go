package httpapi

import (
	"net/http"
	"strings"

	"berth"
)

// placement says where a request runs.
type placement int

const (
	onAgent     placement = iota // here, on the agent that was asked
	onAgentOrDC                  // here, unless dc= names another datacenter
	onServer                     // on any server of the datacenter
	onRead                       // by the read mode: leader, leader after verification, or any replica
	onWrite                      // on the leader
)

// route is one row of the table.
type route struct {
	path    string // exact; with a trailing slash everything below it, and the path without the slash
	methods string // separated by commas, in the order of the Allow header
	place   placement
	access  Access // Name is taken from what follows the path
	handle  handler

	prepare   func(c *call, to *berth.Route) error // before placement, on the agent that was asked
	asks      bool                                 // prepare or handle asks the Authorizer, about names in the body
	limit     bodyLimit
	tenancy   tenancy
	effective bool // X-Consul-Effective-Consistency goes with the answer
	discovery bool // discovery_max_stale applies
	cacheable bool // ?cached applies
	binary    bool // an empty answer to PUT has type application/octet-stream
}

// Route is a row of the table as others may know it.
type Route struct {
	Path    string // with a trailing slash: everything below it
	Methods string // separated by commas
}

// Routes lists all rows in the table's order.
func Routes() []Route {
	var out []Route
	for _, r := range routes() {
		out = append(out, Route{Path: r.path, Methods: r.methods})
	}
	return out
}

// endpoint is a path with its routes, one for each set of methods.
type endpoint struct {
	path    string
	allow   string
	routes  []*route
	samples apiSamples
}

// route gives the route for a method; nil when the path does not take it. HEAD is taken wherever GET is.
func (e *endpoint) route(method string) *route {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for _, r := range e.routes {
		for m := range strings.SplitSeq(r.methods, ",") {
			if m == method {
				return r
			}
		}
	}
	return nil
}

// table finds endpoints by path. It is not changed after newTable.
type table struct {
	exact    map[string]*endpoint
	prefixes map[string]*endpoint // with their trailing slash
	depth    int                  // most slashes in a prefix
}

func newTable(routes []route) *table {
	t := &table{exact: make(map[string]*endpoint), prefixes: make(map[string]*endpoint)}
	for i := range routes {
		r := &routes[i]
		m := t.exact
		if strings.HasSuffix(r.path, "/") {
			m = t.prefixes
			t.depth = max(t.depth, strings.Count(r.path, "/"))
		}
		e := m[r.path]
		if e == nil {
			e = &endpoint{path: r.path, allow: http.MethodOptions, samples: newAPISamples(r.path)}
			m[r.path] = e
		}
		e.routes = append(e.routes, r)
		e.allow += "," + r.methods
	}
	return t
}

// find gives the endpoint of a path and what follows a prefix; nil when there is none. The
// longest prefix wins, and an exact path wins over prefixes.
func (t *table) find(path string) (e *endpoint, tail string) {
	if e := t.exact[path]; e != nil {
		return e, ""
	}
	slashes := 0
	for i := 0; i < len(path) && slashes < t.depth; i++ {
		if path[i] != '/' {
			continue
		}
		slashes++
		if p := t.prefixes[path[:i+1]]; p != nil {
			e, tail = p, path[i+1:]
		}
	}
	if e == nil {
		e = t.prefixes[path+"/"]
	}
	return e, tail
}
