// Package httpapi serves the HTTP API under /v1 as Consul's clients know it.
//
// One table (routes.go) says for every path which methods it takes, where a request has to
// run, which parameters it understands and which handler answers. One middleware
// (middleware.go) applies the rules that hold for all of them in a fixed order: path, limits,
// method, parameters, authorization, placement. Placement asks a Forwarder; a handler runs only
// where its data is and touches only what its interface in resources.go offers.
//
// Statuses are decided in respond.go and nowhere else.
package httpapi
