package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"berth"
)

// catalogRegister answers PUT /v1/catalog/register.
func catalogRegister(c *call) (any, error) {
	var body registrationBody
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	r := body.registration()
	r.Datacenter = c.s.cfg.Self.Datacenter // where the request has arrived
	if err := checkRegistration(r); err != nil {
		return nil, err
	}
	if err := c.authorize("node", Write, r.Node); err != nil {
		return nil, err
	}
	if r.Service != nil {
		if err := c.authorize("service", Write, r.Service.Name); err != nil {
			return nil, err
		}
	}
	if err := c.s.cfg.Store.Register(c.ctx, r); err != nil {
		return nil, err
	}
	return true, nil
}

// checkRegistration refuses what a server would refuse, and fills in what is left to it.
func checkRegistration(r *berth.Registration) error {
	if r.Node == "" {
		return berth.Rejected("Must provide node")
	}
	if r.Address == "" && !r.SkipNodeUpdate {
		return berth.Rejected("Must provide address if SkipNodeUpdate is not set")
	}
	if s := r.Service; s != nil {
		if s.ID == "" && s.Name != "" {
			s.ID = s.Name
		}
		if s.Weights != nil && *s.Weights == (berth.Weights{}) {
			s.Weights = nil // clients that have no weights to give send zeros
		}
		switch {
		case s.ID != "" && s.Name == "":
			return berth.Rejected("Must provide service name (Service.Service) when service ID is provided")
		case s.Name == "":
			return berth.Rejected("Must provide service name (Service.Service)")
		case anyAddress(s.Address):
			return berth.Rejected("Invalid service address")
		}
	}
	for _, check := range r.Checks {
		if err := completeCheck(r, check); err != nil {
			return err
		}
	}
	if r.Check != nil {
		if err := completeCheck(r, r.Check); err != nil {
			return err
		}
	}
	return plausible(r)
}

func completeCheck(r *berth.Registration, check *berth.Check) error {
	if check.CheckID == "" {
		check.CheckID = check.Name
	}
	if check.Node == "" {
		check.Node = r.Node
	}
	if check.Status == "" {
		check.Status = berth.StatusCritical
	}
	if !strings.EqualFold(check.Node, r.Node) {
		return berth.Rejected(fmt.Sprintf("Node '%s' for check '%s' doesn't match register request node '%s'", check.Node, check.CheckID, r.Node))
	}
	return nil
}

// deregistrationBody is a catalog deregistration as clients send it; removal by owner is for
// agents only.
type deregistrationBody struct {
	berth.Deregistration
	Owner json.RawMessage
}

// catalogDeregister answers PUT /v1/catalog/deregister.
func catalogDeregister(c *call) (any, error) {
	d, err := c.deregistration()
	if err != nil {
		return nil, err
	}
	if err := c.authorize("node", Write, d.Node); err != nil {
		return nil, err
	}
	if d.ServiceID != "" && d.CheckID != "" {
		d.ServiceID = "" // both: the check alone, as in Consul
	}
	d.Forget = true // else its agent would put it back
	if err := c.s.cfg.Store.Deregister(c.ctx, d); err != nil {
		return nil, err
	}
	return true, nil
}

func (c *call) deregistration() (*berth.Deregistration, error) {
	var body deregistrationBody
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	if body.Owner != nil {
		return nil, berth.Invalid(decodeFailed + `json: unknown field "Owner"`)
	}
	if body.Node == "" {
		return nil, berth.Rejected("Must provide node")
	}
	return &body.Deregistration, nil
}

// placeRegistration sends a registration to the datacenter that its body names.
func placeRegistration(c *call, to *berth.Route) error {
	raw, err := c.body()
	if err != nil {
		return err
	}
	defer c.setBody(raw)
	c.placeByBody(raw, to)
	return nil
}

// placeByBody takes the datacenter from a body's Datacenter member, where the query names none.
// What does not parse is left to the handler.
func (c *call) placeByBody(raw []byte, to *berth.Route) {
	if c.dc != "" || !bytes.Contains(raw, []byte("atacenter")) {
		return
	}
	var body struct{ Datacenter string }
	if json.Unmarshal(raw, &body) == nil && body.Datacenter != "" && body.Datacenter != c.s.cfg.Self.Datacenter {
		to.Datacenter = body.Datacenter
	}
}

// placeDeregistration sends a deregistration to the datacenter that its body names. In this one,
// it makes this agent forget what is taken out of the catalog before the request travels on: else
// its next sync would put it back.
func placeDeregistration(c *call, to *berth.Route) error {
	raw, err := c.body()
	if err != nil {
		return err
	}
	defer c.setBody(raw)
	c.placeByBody(raw, to)
	if c.dc != "" || to.Datacenter != "" || c.s.cfg.Agent == nil {
		return nil
	}
	var d berth.Deregistration
	if json.Unmarshal(raw, &d) != nil || !strings.EqualFold(d.Node, c.s.cfg.Self.NodeName) || d.Owner != "" {
		return nil
	}
	if err := c.authorize("node", Write, d.Node); err != nil {
		return err
	}
	c.s.cfg.Agent.Forget(c.ctx, &d)
	return nil
}

// catalogDatacenters answers GET /v1/catalog/datacenters.
func catalogDatacenters(c *call) (any, error) { return list(c.s.cfg.Store.Datacenters()), nil }

// catalogNodes answers GET /v1/catalog/nodes.
func catalogNodes(c *call) (any, error) {
	filter, err := newFilter[node](c)
	if err != nil {
		return nil, err
	}
	nodes, err := read(c, c.s.cfg.Store.Nodes)
	if err != nil {
		return nil, err
	}
	out := newNodes(nodes)
	return filter.apply(out)
}

// catalogServices answers GET /v1/catalog/services. A filter selects instances: services without
// a matching one are left out, and tags are those of the matching ones.
func catalogServices(c *call) (any, error) {
	filter, err := newFilter[catalogInstance](c)
	if err != nil {
		return nil, err
	}
	services, err := read(c, func(ctx context.Context, q berth.QueryOptions) (map[string][]string, berth.QueryMeta, error) {
		q.Instances = filter != nil
		return c.s.cfg.Store.Services(ctx, q)
	})
	if err != nil {
		return nil, err
	}
	out := make(map[string][]string, len(services))
	for name, tags := range services {
		found := true
		if filter != nil {
			if tags, found, err = c.filteredTags(name, filter); err != nil {
				return nil, err
			}
		}
		if found {
			out[name] = list(tags)
		}
	}
	return out, nil
}

// filteredTags gives the union of the tags of a service's instances that match; found tells
// whether there are any.
func (c *call) filteredTags(name string, filter *filter[catalogInstance]) (tags []string, found bool, err error) {
	q := c.opts
	q.MinIndex, q.Near = 0, ""
	entries, _, err := c.s.cfg.Store.Service(c.ctx, name, q)
	if err != nil {
		return nil, false, err
	}
	for _, e := range entries {
		ok, err := filter.match(newCatalogInstance(e))
		if err != nil {
			return nil, false, err
		}
		if !ok {
			continue
		}
		found = true
		for _, tag := range e.Service.Tags {
			if !slices.Contains(tags, tag) {
				tags = append(tags, tag)
			}
		}
	}
	slices.Sort(tags)
	return tags, found, nil
}

// entries reads the instances of the service that the path names and keeps those with all tags
// that were asked for.
func (c *call) entries() ([]*berth.HealthEntry, error) {
	if c.tail == "" {
		return nil, berth.Invalid("Missing service name")
	}
	entries, err := read(c, func(ctx context.Context, q berth.QueryOptions) ([]*berth.HealthEntry, berth.QueryMeta, error) {
		return c.s.cfg.Store.Service(ctx, c.tail, q)
	})
	if err != nil {
		return nil, err
	}
	return withTags(entries, c.form.All("tag")), nil
}

// withTags keeps the entries that have all tags, whatever their case.
func withTags(entries []*berth.HealthEntry, tags []string) []*berth.HealthEntry {
	if len(tags) == 0 || len(tags) == 1 && tags[0] == "" {
		return entries
	}
	var kept []*berth.HealthEntry
	for _, e := range entries {
		if hasTags(e.Service.Tags, tags) {
			kept = append(kept, e)
		}
	}
	return kept
}

func hasTags(have, want []string) bool {
	for _, w := range want {
		found := w == ""
		for _, h := range have {
			found = found || strings.EqualFold(h, w)
		}
		if !found {
			return false
		}
	}
	return true
}

// catalogService answers GET /v1/catalog/service/<name>.
func catalogService(c *call) (any, error) {
	filter, err := newFilter[catalogInstance](c)
	if err != nil {
		return nil, err
	}
	entries, err := c.entries()
	if err != nil {
		return nil, err
	}
	out := make([]*catalogInstance, len(entries))
	for i, e := range entries {
		out[i] = newCatalogInstance(e)
	}
	return filter.apply(out)
}

// nodeByPath reads the node that the path names; nil when there is none.
func (c *call) nodeByPath() (*berth.NodeServices, error) {
	if c.tail == "" {
		return nil, berth.Invalid("Missing node name")
	}
	return read(c, func(ctx context.Context, q berth.QueryOptions) (*berth.NodeServices, berth.QueryMeta, error) {
		return c.s.cfg.Store.Node(ctx, c.tail, q)
	})
}

// nodeInstances gives a node's instances that pass the filter.
func (c *call) nodeInstances(ns *berth.NodeServices, filter *filter[nodeService]) ([]*nodeService, error) {
	out := make([]*nodeService, 0, len(ns.Services))
	for _, s := range ns.Services {
		out = append(out, newNodeService(s))
	}
	return filter.apply(out)
}

// catalogNode answers GET /v1/catalog/node/<node>.
func catalogNode(c *call) (any, error) {
	filter, err := newFilter[nodeService](c)
	if err != nil {
		return nil, err
	}
	ns, err := c.nodeByPath()
	if err != nil {
		return nil, err
	}
	if ns == nil || ns.Node == nil {
		return jsonNull, nil
	}
	instances, err := c.nodeInstances(ns, filter)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]*nodeService, len(instances))
	for _, s := range instances {
		byID[s.ID] = s
	}
	return struct {
		Node     *node
		Services map[string]*nodeService
	}{newNode(ns.Node), byID}, nil
}

// catalogNodeServices answers GET /v1/catalog/node-services/<node>.
func catalogNodeServices(c *call) (any, error) {
	type answer struct {
		Node     *node
		Services []*nodeService
	}
	filter, err := newFilter[nodeService](c)
	if err != nil {
		return nil, err
	}
	ns, err := c.nodeByPath()
	if err != nil {
		return nil, err
	}
	if ns == nil || ns.Node == nil {
		return answer{}, nil
	}
	instances, err := c.nodeInstances(ns, filter)
	if err != nil {
		return nil, err
	}
	return answer{newNode(ns.Node), instances}, nil
}
