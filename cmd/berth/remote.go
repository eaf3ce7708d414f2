package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"berth"
)

// remote answers DNS for other datacenters and prepared queries by asking this agent's own API,
// which knows the way.
type remote struct {
	self *client
}

// Service gives all instances of a service of another datacenter.
func (r *remote) Service(ctx context.Context, dc, name string) ([]*berth.HealthEntry, error) {
	var out []*berth.HealthEntry
	err := r.get(ctx, "/v1/health/service/"+url.PathEscape(name), url.Values{"dc": {dc}, "stale": {""}}, &out)
	for _, e := range out {
		if e.Service != nil && e.Node != nil {
			e.Service.Node = e.Node.Name
		}
	}
	return out, err
}

// Node gives a node of another datacenter, nil when it does not exist.
func (r *remote) Node(ctx context.Context, dc, name string) (*berth.Node, error) {
	var out *struct{ Node *berth.Node }
	err := r.get(ctx, "/v1/catalog/node/"+url.PathEscape(name), url.Values{"dc": {dc}, "stale": {""}}, &out)
	if out == nil {
		return nil, err
	}
	return out.Node, err
}

// Query executes a prepared query for the client at source.
func (r *remote) Query(ctx context.Context, dc, name string, source netip.Addr) (*berth.QueryResult, error) {
	var out berth.QueryResult
	q := url.Values{"stale": {""}}
	if dc != "" {
		q.Set("dc", dc)
	}
	if err := r.get(onBehalfOf(ctx, source), "/v1/query/"+url.PathEscape(name)+"/execute", q, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

func (r *remote) get(ctx context.Context, path string, q url.Values, out any) error {
	resp, err := r.self.open(ctx, http.MethodGet, path, q, nil)
	if err != nil {
		return sharedError(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("answer of %s: %w", path, err)
	}
	return nil
}

// sharedError makes the shared errors out of the texts that travel over HTTP.
func sharedError(err error) error {
	for _, known := range []error{berth.ErrNoPath, berth.ErrRemoteUnreachable, berth.ErrNoLeader, berth.ErrNoServers} {
		if strings.Contains(err.Error(), known.Error()) {
			return known
		}
	}
	if hasStatus(err, http.StatusNotFound) {
		return &berth.InvalidError{Status: http.StatusNotFound, Text: err.Error()}
	}
	return err
}
