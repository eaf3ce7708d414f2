package httpapi

import (
	"berth"
)

// The types here are the JSON of Consul's API where it differs from the root types, in the
// order in which Consul writes the members. They are also what filter expressions select from.

type node struct {
	ID              string
	Node            string
	Address         string
	Datacenter      string
	TaggedAddresses map[string]string
	Meta            map[string]string
	CreateIndex     uint64
	ModifyIndex     uint64
}

func newNode(n *berth.Node) *node {
	if n == nil {
		return nil
	}
	return &node{ID: n.ID, Node: n.Name, Address: n.Address, Datacenter: n.Datacenter, TaggedAddresses: n.TaggedAddresses,
		Meta: n.Meta, CreateIndex: n.CreateIndex, ModifyIndex: n.ModifyIndex}
}

func newNodes(list []*berth.Node) []*node {
	out := make([]*node, len(list))
	for i, n := range list {
		out[i] = newNode(n)
	}
	return out
}

// mesh members that plain discovery always leaves empty.
type (
	serviceProxy struct {
		Mode        string
		MeshGateway struct{}
		Expose      struct{}
	}
	serviceConnect struct{}
)

// nodeService is an instance as catalog and health answers have it.
type nodeService struct {
	Kind              string `json:",omitempty"`
	ID                string
	Service           string
	Tags              []string
	Address           string
	TaggedAddresses   map[string]berth.ServiceAddress `json:",omitempty"`
	Meta              map[string]string
	Port              int    `json:",omitempty"`
	SocketPath        string `json:",omitempty"`
	Weights           berth.Weights
	EnableTagOverride bool
	Proxy             serviceProxy
	Connect           serviceConnect
	PeerName          string
	CreateIndex       uint64
	ModifyIndex       uint64
}

func newNodeService(s *berth.ServiceInstance) *nodeService {
	return &nodeService{Kind: s.Kind, ID: s.ID, Service: s.Name, Tags: list(s.Tags), Address: s.Address,
		TaggedAddresses: s.TaggedAddresses, Meta: s.Meta, Port: s.Port, SocketPath: s.SocketPath, Weights: weights(s),
		EnableTagOverride: s.EnableTagOverride, CreateIndex: s.CreateIndex, ModifyIndex: s.ModifyIndex}
}

// catalogInstance is an instance with its node in one flat object, as /v1/catalog/service has it.
type catalogInstance struct {
	ID                       string
	Node                     string
	Address                  string
	Datacenter               string
	TaggedAddresses          map[string]string
	NodeMeta                 map[string]string
	ServiceKind              string
	ServiceID                string
	ServiceName              string
	ServiceTags              []string
	ServiceAddress           string
	ServiceTaggedAddresses   map[string]berth.ServiceAddress `json:",omitempty"`
	ServiceWeights           berth.Weights
	ServiceMeta              map[string]string
	ServicePort              int
	ServiceSocketPath        string
	ServiceEnableTagOverride bool
	ServiceProxy             serviceProxy
	ServiceConnect           serviceConnect
	ServiceLocality          *struct{}
	CreateIndex              uint64
	ModifyIndex              uint64
}

func newCatalogInstance(e *berth.HealthEntry) *catalogInstance {
	n, s := e.Node, e.Service
	return &catalogInstance{ID: n.ID, Node: n.Name, Address: n.Address, Datacenter: n.Datacenter, TaggedAddresses: n.TaggedAddresses,
		NodeMeta: n.Meta, ServiceKind: s.Kind, ServiceID: s.ID, ServiceName: s.Name, ServiceTags: list(s.Tags),
		ServiceAddress: s.Address, ServiceTaggedAddresses: s.TaggedAddresses, ServiceWeights: weights(s), ServiceMeta: dict(s.Meta),
		ServicePort: s.Port, ServiceSocketPath: s.SocketPath, ServiceEnableTagOverride: s.EnableTagOverride,
		CreateIndex: s.CreateIndex, ModifyIndex: s.ModifyIndex}
}

// healthEntry is an instance with its node and checks.
type healthEntry struct {
	Node    *node
	Service *nodeService
	Checks  []*berth.Check
}

func newHealthEntry(e *berth.HealthEntry) *healthEntry {
	return &healthEntry{Node: newNode(e.Node), Service: newNodeService(e.Service), Checks: newChecks(e.Checks)}
}

// newChecks gives every check a tag list that is not null; the root type has Consul's JSON otherwise.
func newChecks(checks []*berth.Check) []*berth.Check {
	out := make([]*berth.Check, len(checks))
	for i, c := range checks {
		out[i] = newCheck(c)
	}
	return out
}

func newCheck(c *berth.Check) *berth.Check {
	if c.ServiceTags != nil {
		return c
	}
	copied := *c
	copied.ServiceTags = []string{}
	return &copied
}

// agentService is an instance as this host's agent has it.
type agentService struct {
	Kind              string `json:",omitempty"`
	ID                string
	Service           string
	Tags              []string
	Meta              map[string]string
	Port              int
	Address           string
	SocketPath        string                          `json:",omitempty"`
	TaggedAddresses   map[string]berth.ServiceAddress `json:",omitempty"`
	Weights           berth.Weights
	EnableTagOverride bool
	CreateIndex       uint64 `json:",omitempty"`
	ModifyIndex       uint64 `json:",omitempty"`
	ContentHash       string `json:",omitempty"`
	Datacenter        string
}

func newAgentService(s *berth.ServiceInstance, datacenter string) *agentService {
	return &agentService{Kind: s.Kind, ID: s.ID, Service: s.Name, Tags: list(s.Tags), Meta: dict(s.Meta), Port: s.Port,
		Address: s.Address, SocketPath: s.SocketPath, TaggedAddresses: s.TaggedAddresses, Weights: weights(s),
		EnableTagOverride: s.EnableTagOverride, CreateIndex: s.CreateIndex, ModifyIndex: s.ModifyIndex, Datacenter: datacenter}
}

func weights(s *berth.ServiceInstance) berth.Weights {
	if s.Weights == nil {
		return berth.Weights{Passing: 1, Warning: 1}
	}
	return *s.Weights
}

func list[T any](v []T) []T {
	if v == nil {
		return []T{}
	}
	return v
}

func dict(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
