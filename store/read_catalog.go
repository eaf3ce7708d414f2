package store

import (
	"context"
	"math"
	"slices"

	"github.com/hashicorp/go-memdb"

	"berth"
	"berth/store/gossip"
	"berth/store/state"
)

// Nodes lists the nodes.
func (s *Store) Nodes(ctx context.Context, o berth.QueryOptions) (out []*berth.Node, m berth.QueryMeta, err error) {
	m, err = s.read(ctx, o, func(ws memdb.WatchSet, r *state.Reader) (idx uint64) {
		idx, out = r.Nodes(ws)
		if len(o.NodeMeta) > 0 {
			out = keep(out, func(n *berth.Node) bool { return hasMeta(n.Meta, o.NodeMeta) })
		}
		out = sortNear(r, o.Near, out, func(n *berth.Node) string { return n.Name })
		return idx
	})
	return out, m, err
}

// Node gives a node, by name or a prefix of its ID, and all that is on it; nil: unknown.
func (s *Store) Node(ctx context.Context, nameOrIDPrefix string, o berth.QueryOptions) (out *berth.NodeServices, m berth.QueryMeta, err error) {
	m, err = s.read(ctx, o, func(ws memdb.WatchSet, r *state.Reader) (idx uint64) {
		idx, out = r.NodeServices(ws, nameOrIDPrefix)
		return idx
	})
	return out, m, err
}

// Services lists the service names, each with the union of its instances' tags.
func (s *Store) Services(ctx context.Context, o berth.QueryOptions) (out map[string][]string, m berth.QueryMeta, err error) {
	m, err = s.read(ctx, o, func(ws memdb.WatchSet, r *state.Reader) (idx uint64) {
		idx, out = r.Services(ws)
		if o.Instances || len(o.NodeMeta) > 0 {
			idx = max(idx, r.AnyInstance(ws))
		}
		if len(o.NodeMeta) > 0 {
			out = servicesOn(r, out, o.NodeMeta)
		}
		return idx
	})
	return out, m, err
}

// servicesOn keeps of each service what instances on nodes with the metadata have.
func servicesOn(r *state.Reader, all map[string][]string, meta map[string]string) map[string][]string {
	out := map[string][]string{}
	for name := range all {
		_, entries := r.Service(nil, name)
		for _, e := range entries {
			if e.Service.Name != name || !hasMeta(e.Node.Meta, meta) {
				continue
			}
			tags := out[name]
			if tags == nil {
				tags = []string{}
			}
			for _, t := range e.Service.Tags {
				if !slices.Contains(tags, t) {
					tags = append(tags, t)
				}
			}
			out[name] = tags
		}
	}
	return out
}

// Service lists all instances of a service, whatever their health.
func (s *Store) Service(ctx context.Context, name string, o berth.QueryOptions) (out []*berth.HealthEntry, m berth.QueryMeta, err error) {
	m, err = s.read(ctx, o, func(ws memdb.WatchSet, r *state.Reader) (idx uint64) {
		idx, out = r.Service(ws, name)
		if len(o.NodeMeta) > 0 {
			out = keep(out, func(e *berth.HealthEntry) bool { return hasMeta(e.Node.Meta, o.NodeMeta) })
		}
		out = sortNear(r, o.Near, out, func(e *berth.HealthEntry) string { return e.Node.Name })
		return idx
	})
	return out, m, err
}

// NodeChecks lists the checks of a node and of all that is on it.
func (s *Store) NodeChecks(ctx context.Context, node string, o berth.QueryOptions) ([]*berth.Check, berth.QueryMeta, error) {
	return s.checks(ctx, o, func(ws memdb.WatchSet, r *state.Reader) (uint64, []*berth.Check) { return r.NodeChecks(ws, node) })
}

// ServiceChecks lists the checks of a service's instances.
func (s *Store) ServiceChecks(ctx context.Context, service string, o berth.QueryOptions) ([]*berth.Check, berth.QueryMeta, error) {
	return s.checks(ctx, o, func(ws memdb.WatchSet, r *state.Reader) (uint64, []*berth.Check) { return r.ServiceChecks(ws, service) })
}

// StateChecks lists the checks with a status, or all for "any".
func (s *Store) StateChecks(ctx context.Context, status string, o berth.QueryOptions) ([]*berth.Check, berth.QueryMeta, error) {
	return s.checks(ctx, o, func(ws memdb.WatchSet, r *state.Reader) (uint64, []*berth.Check) { return r.StateChecks(ws, status) })
}

func (s *Store) checks(ctx context.Context, o berth.QueryOptions, get func(memdb.WatchSet, *state.Reader) (uint64, []*berth.Check)) (out []*berth.Check, m berth.QueryMeta, err error) {
	m, err = s.read(ctx, o, func(ws memdb.WatchSet, r *state.Reader) (idx uint64) {
		idx, out = get(ws, r)
		if len(o.NodeMeta) > 0 {
			idx = max(idx, r.AnyNode(ws))
			out = keep(out, func(c *berth.Check) bool {
				_, n := r.Node(nil, c.Node)
				return n != nil && hasMeta(n.Meta, o.NodeMeta)
			})
		}
		out = sortNear(r, o.Near, out, func(c *berth.Check) string { return c.Node })
		return idx
	})
	return out, m, err
}

// Usage counts what is in the catalog.
func (s *Store) Usage(ctx context.Context, o berth.QueryOptions) (out berth.Usage, m berth.QueryMeta, err error) {
	m, err = s.read(ctx, o, func(ws memdb.WatchSet, r *state.Reader) (idx uint64) {
		idx, out = r.Usage(ws)
		return idx
	})
	return out, m, err
}

// keep gives a new slice: what the state returns is shared.
func keep[T any](all []T, ok func(T) bool) []T {
	out := make([]T, 0, len(all))
	for _, x := range all {
		if ok(x) {
			out = append(out, x)
		}
	}
	return out
}

// hasMeta tells whether all of want is there. A key that is missing is not one with an empty value.
func hasMeta(meta, want map[string]string) bool {
	for k, v := range want {
		if have, ok := meta[k]; !ok || have != v {
			return false
		}
	}
	return true
}

// sortNear orders by estimated round-trip time from a node; what has no estimate comes last,
// and without a known node the order stays.
func sortNear[T any](r *state.Reader, near string, all []T, node func(T) string) []T {
	if near == "" || len(all) < 2 {
		return all
	}
	from := coordinateOf(r, near)
	if from == nil {
		return all
	}
	distance := map[string]float64{}
	for _, x := range all {
		n := node(x)
		if _, ok := distance[n]; ok {
			continue
		}
		distance[n] = math.Inf(1)
		if d, ok := gossip.Distance(from, coordinateOf(r, n)); ok {
			distance[n] = d.Seconds()
		}
	}
	out := slices.Clone(all)
	slices.SortStableFunc(out, func(a, b T) int {
		da, db := distance[node(a)], distance[node(b)]
		switch {
		case da < db:
			return -1
		case da > db:
			return 1
		}
		return 0
	})
	return out
}

func coordinateOf(r *state.Reader, node string) *berth.Coordinate {
	_, cs := r.Coordinates(nil, node)
	if len(cs) == 0 {
		return nil
	}
	return cs[0].Coord
}
