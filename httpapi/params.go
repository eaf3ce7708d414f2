package httpapi

import (
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"berth"
)

// has tells whether a query parameter is present, with or without a value.
func (c *call) has(name string) bool { return c.form.Has(name) }

// flag reads a parameter that may be present without a value, or have a boolean one.
func (c *call) flag(name string) (bool, error) {
	if !c.has(name) {
		return false, nil
	}
	v := c.form.Get(name)
	if v == "" {
		return true, nil
	}
	return strconv.ParseBool(v)
}

// parseParams reads the parameters that all endpoints share.
func (c *call) parseParams() error {
	if err := c.refuseEnterprise(); err != nil {
		return err
	}
	c.dc = c.form.Get("datacenter")
	if c.dc == "" {
		c.dc = c.form.Get("dc")
	}
	if c.dc == c.s.cfg.Self.Datacenter {
		c.dc = ""
	}
	c.opts.Token = c.token()
	if c.route.place != onRead {
		return nil
	}
	if err := c.parseConsistency(); err != nil {
		return err
	}
	if err := c.parseBlocking(); err != nil {
		return err
	}
	return c.parseNodeMeta()
}

// token is the request's token: the parameter, the header, the bearer token, or the agent's own.
func (c *call) token() string {
	if t := c.form.Get("token"); t != "" {
		return t
	}
	if t := c.r.Header.Get("X-Consul-Token"); t != "" {
		return t
	}
	scheme, value, ok := strings.Cut(strings.TrimSpace(c.r.Header.Get("Authorization")), " ")
	if ok && strings.EqualFold(scheme, "bearer") {
		if t := strings.TrimSpace(value); t != "" {
			return t
		}
	}
	if c.s.cfg.Tokens == nil {
		return ""
	}
	return c.s.cfg.Tokens.UserToken()
}

// How much of Consul Enterprise's tenancy an endpoint has to refuse.
type tenancy int

const (
	tenancyAll       tenancy = iota // namespaces and partitions
	tenancyPartition                // nodes have partitions, but no namespace
	tenancyIgnored
)

// refuseEnterprise refuses parameters that would change the meaning of a request, had they an effect.
func (c *call) refuseEnterprise() error {
	if c.route.tenancy == tenancyIgnored {
		return nil
	}
	if c.has("partition") {
		return berth.Invalid(`Invalid query parameter: "partition" - Partitions are a Consul Enterprise feature`)
	}
	if c.r.Header.Get("X-Consul-Partition") != "" {
		return berth.Invalid(`Invalid header: "X-Consul-Partition" - Partitions are a Consul Enterprise feature`)
	}
	if c.route.tenancy == tenancyPartition {
		return nil
	}
	if c.has("ns") {
		return berth.Invalid(`Invalid query parameter: "ns" - Namespaces are a Consul Enterprise feature`)
	}
	if c.r.Header.Get("X-Consul-Namespace") != "" {
		return berth.Invalid(`Invalid header: "X-Consul-Namespace" - Namespaces are a Consul Enterprise feature`)
	}
	return nil
}

// parseConsistency decides the read mode from stale, consistent, leader, max_stale and cached.
func (c *call) parseConsistency() error {
	stale, consistent, leader := c.has("stale"), c.has("consistent"), c.has("leader")
	c.opts.Consistency = berth.ConsistencyDefault
	if v := c.form.Get("max_stale"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil {
			return berth.Invalid(fmt.Sprintf("Invalid max_stale value %q", v))
		}
		stale, c.maxStale = true, d
	}
	if stale && consistent {
		return berth.Invalid("Cannot specify ?stale with ?consistent, conflicting semantics.")
	}
	if c.has("cached") && consistent {
		return berth.Invalid("Cannot specify ?cached with ?consistent, conflicting semantics.")
	}
	if d := c.s.cfg.DiscoveryMaxStale; d > 0 && c.route.discovery && !stale && !consistent && !leader {
		stale, c.maxStale = true, d
	}
	switch {
	case consistent:
		c.opts.Consistency = berth.ConsistencyConsistent
	case stale:
		c.opts.Consistency = berth.ConsistencyStale
	}
	return c.parseCached()
}

// parseCached answers ?cached from this agent's replica: it is a cache that is always warm. A
// client that asks for revalidation, or for something fresher than the replica, gets a leader's answer.
func (c *call) parseCached() error {
	if !c.has("cached") || !c.route.cacheable || c.s.cfg.NoCache {
		return nil
	}
	c.cached = true
	maxAge := time.Duration(-1)
	revalidate := false
	for directive := range strings.SplitSeq(strings.ToLower(c.r.Header.Get("Cache-Control")), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch name {
		case "must-revalidate":
			revalidate = true
		case "max-age", "stale-if-error":
			n, err := strconv.ParseUint(value, 10, 31)
			if err != nil {
				return berth.Invalid("Invalid Cache-Control header.")
			}
			if name == "max-age" {
				maxAge = time.Duration(n) * time.Second
			}
		}
	}
	if revalidate || maxAge == 0 {
		return nil
	}
	c.opts.Consistency = berth.ConsistencyStale
	c.maxStale = max(maxAge, 0)
	return nil
}

// parseBlocking reads index and wait.
func (c *call) parseBlocking() error {
	if v := c.form.Get("index"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			return berth.Invalid("Invalid index")
		}
		c.opts.MinIndex = n
	}
	wait, err := c.wait()
	c.opts.MaxWait = wait
	return err
}

// wait is how long a blocking request may wait, within what is configured.
func (c *call) wait() (time.Duration, error) {
	d := c.s.cfg.DefaultQueryTime
	if v := c.form.Get("wait"); v != "" {
		var err error
		if d, err = time.ParseDuration(v); err != nil || d < 0 {
			return 0, berth.Invalid("Invalid wait time")
		}
		if d == 0 {
			d = c.s.cfg.DefaultQueryTime
		}
	}
	return min(d, c.s.cfg.MaxQueryTime), nil
}

// parseNodeMeta reads node-meta=key:value, all of which have to match.
func (c *call) parseNodeMeta() error {
	for _, kv := range c.form.All("node-meta") {
		key, value, _ := strings.Cut(kv, ":")
		if c.opts.NodeMeta == nil {
			c.opts.NodeMeta = make(map[string]string)
		}
		c.opts.NodeMeta[key] = value
	}
	return nil
}

// berthRoute is where the request has to run, for the Forwarder.
func (c *call) berthRoute() berth.Route {
	route := berth.Route{Datacenter: c.dc}
	switch c.route.place {
	case onWrite:
		route.Leader = true
	case onRead:
		route.Stale = c.opts.Consistency == berth.ConsistencyStale
		route.Leader = !route.Stale
		if route.Stale {
			route.MaxStale = c.maxStale
			route.Servers = !c.route.discovery || c.form.Has("near") // to sort takes coordinates
		}
	}
	return route
}

// source is the client's address: the first entry of X-Forwarded-For, else the connection's.
func source(r *http.Request) netip.Addr {
	if v := r.Header.Get("X-Forwarded-For"); v != "" {
		first, _, _ := strings.Cut(v, ",")
		if a, err := netip.ParseAddr(strings.TrimSpace(first)); err == nil {
			return a.Unmap()
		}
	}
	return remoteAddr(r)
}

// remoteAddr is the connection's other end; the zero Addr for unix sockets.
func remoteAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// printable tells whether a path has printable characters only, in UTF-8.
func printable(path string) bool {
	for _, r := range path {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return utf8.ValidString(path)
}
