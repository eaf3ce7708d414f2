package dnsproxy

import "time"

// routes is which upstreams there are; it is replaced as a whole when the configuration or
// resolv.conf changes.
type routes struct {
	cfg     ForwardConfig
	def     *group
	domains []*group // by rule index
}

// newRoutes makes the groups of a configuration. def is the default upstreams; old, which may
// be nil, is where experience with upstreams comes from.
func newRoutes(cfg ForwardConfig, def []endpoint, old *routes) *routes {
	r := &routes{cfg: cfg}
	r.def = newGroup(-1, cfg.Policy, def, old)
	for i, d := range cfg.Domains {
		if len(d.Servers) == 1 && d.Servers[0] == "#" {
			r.domains = append(r.domains, r.def)
			continue
		}
		r.domains = append(r.domains, newGroup(i, cfg.Policy, endpoints(d.Servers), old))
	}
	return r
}

func newGroup(id int, policy string, list []endpoint, old *routes) *group {
	g := &group{id: id, policy: policy}
	g.probed.Store(time.Now().UnixNano())
	known := old.upstreams()
	for _, a := range list {
		u := known[a]
		if u == nil {
			u = &upstream{addr: a}
			known[a] = u
		}
		g.ups = append(g.ups, u)
	}
	return g
}

// upstreams is every upstream of r, each once.
func (r *routes) upstreams() map[endpoint]*upstream {
	all := map[endpoint]*upstream{}
	if r == nil {
		return all
	}
	for _, g := range append([]*group{r.def}, r.domains...) {
		for _, u := range g.ups {
			all[u.addr] = u
		}
	}
	return all
}

// group is the upstreams for a rule index; -1 is the default.
func (r *routes) group(index int) *group {
	if index < 0 || index >= len(r.domains) {
		return r.def
	}
	return r.domains[index]
}
