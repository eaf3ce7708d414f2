package httpapi

import (
	"context"

	"berth"
)

// healthService answers GET /v1/health/service/<name>.
func healthService(c *call) (any, error) {
	passing, err := c.flag("passing")
	if err != nil {
		return nil, berth.Invalid("Invalid value for ?passing")
	}
	filter, err := newFilter[healthEntry](c)
	if err != nil {
		return nil, err
	}
	entries, err := c.entries()
	if err != nil {
		return nil, err
	}
	// Entries that were selected or ordered for this request are not the store's.
	if filter == nil && !c.has("tag") && c.opts.Near == "" && c.opts.NodeMeta == nil && !c.pretty() {
		return c.healthBody(entries, passing), nil
	}
	return selectHealth(entries, passing, filter)
}

// healthBody gives the body of a service's health, of all entries or the passing ones.
func (c *call) healthBody(entries healthList, passing bool) *body {
	k := bodyKey{c.tail, passing}
	if found := c.s.bodies.find(k, entries); found != nil {
		return found
	}
	selected, _ := selectHealth(entries, passing, nil) // only a filter has errors
	return c.s.bodies.keep(k, entries, selected)
}

// selectHealth gives the entries that are passing, if that is asked, and match the filter.
func selectHealth(entries healthList, passing bool, filter *filter[healthEntry]) (healthList, error) {
	if !passing && filter == nil {
		return entries, nil
	}
	out := make(healthList, 0, len(entries))
	for _, e := range entries {
		if passing && e.Status() != berth.StatusPassing {
			continue
		}
		if filter != nil {
			if ok, err := filter.match(newHealthEntry(e)); err != nil {
				return nil, err
			} else if !ok {
				continue
			}
		}
		out = append(out, e)
	}
	return out, nil
}

// healthNode answers GET /v1/health/node/<node>.
func healthNode(c *call) (any, error) {
	return c.checks(c.s.cfg.Store.NodeChecks, "Missing node name")
}

// healthChecks answers GET /v1/health/checks/<service>.
func healthChecks(c *call) (any, error) {
	return c.checks(c.s.cfg.Store.ServiceChecks, "Missing service name")
}

// healthState answers GET /v1/health/state/<status>.
func healthState(c *call) (any, error) {
	return c.checks(c.s.cfg.Store.StateChecks, "Missing check state")
}

type checksBy func(ctx context.Context, name string, q berth.QueryOptions) ([]*berth.Check, berth.QueryMeta, error)

// checks answers with a list of checks by what the path names.
func (c *call) checks(by checksBy, missing string) (any, error) {
	if c.tail == "" {
		return nil, berth.Invalid(missing)
	}
	filter, err := newFilter[berth.Check](c)
	if err != nil {
		return nil, err
	}
	checks, err := read(c, func(ctx context.Context, q berth.QueryOptions) ([]*berth.Check, berth.QueryMeta, error) {
		return by(ctx, c.tail, q)
	})
	if err != nil {
		return nil, err
	}
	out := newChecks(checks)
	return filter.apply(out)
}
