package berth

import "time"

// Node is a host as the catalog knows it.
type Node struct {
	ID              string // UUID, may be empty for nodes registered by hand
	Name            string `json:"Node" codec:"Node"`
	Address         string // IP or host name
	Datacenter      string
	TaggedAddresses map[string]string
	Meta            map[string]string
	CreateIndex     uint64
	ModifyIndex     uint64

	// Forgotten is what was deregistered in the catalog and what the node's agent, which still
	// wants it, has not taken notice of.
	Forgotten []Forgotten `json:"-" codec:",omitempty"`
}

// Forgotten is an instance or a check that its agent shall not register again.
type Forgotten struct {
	ServiceID string `codec:",omitempty"` // one of both is set
	CheckID   string `codec:",omitempty"`
	Owner     string `codec:",omitempty"` // what the instance had under MetaOwner
}

// ServiceInstance is one address:port under a service name, on one node.
type ServiceInstance struct {
	Node              string `json:"-" codec:"Node"` // name of the node it is on
	Kind              string `json:",omitempty"`
	ID                string // unique on the node
	Name              string `json:"Service" codec:"Service"`
	Tags              []string
	Address           string                    // IP or host name; empty: the node's
	TaggedAddresses   map[string]ServiceAddress `json:",omitempty"`
	Meta              map[string]string
	Port              int    `json:",omitempty"`
	SocketPath        string `json:",omitempty"`
	Weights           *Weights
	EnableTagOverride bool
	CreateIndex       uint64
	ModifyIndex       uint64
}

// ServiceAddress is an address and port under a tag such as "lan_ipv4".
type ServiceAddress struct {
	Address string
	Port    int
}

// Weights are an instance's SRV weights, 0 to 65535, by its health.
type Weights struct {
	Passing int
	Warning int
}

// Check statuses.
const (
	StatusPassing  = "passing"
	StatusWarning  = "warning"
	StatusCritical = "critical"
	StatusAny      = "any" // in queries only
	StatusMaint    = "maintenance"
)

// Check IDs with a fixed meaning.
const (
	NodeHealthCheckID        = "serfHealth"
	NodeHealthCheckName      = "Serf Health Status"
	NodeMaintenanceCheckID   = "_node_maintenance"
	ServiceMaintenancePrefix = "_service_maintenance:"
	ConsulServiceID          = "consul"
	ConsulServiceName        = "consul"
)

// Check is the health check of a node (ServiceID empty) or of a service instance, with its
// latest result, as the catalog knows it.
type Check struct {
	Node        string
	CheckID     string // unique on the node
	Name        string
	Status      string
	Notes       string
	Output      string
	ServiceID   string
	ServiceName string
	ServiceTags []string
	Type        string
	Interval    string
	Timeout     string
	ExposedPort int
	Definition  CheckTarget
	CreateIndex uint64
	ModifyIndex uint64

	// DeregisterAfter is the definition's DeregisterCriticalServiceAfter of a check that an agent
	// runs; clients see no Definition of those.
	DeregisterAfter Duration `json:"-" codec:",omitempty"`
	// CriticalSince is when the check became critical, in Unix nanoseconds; 0 while it is not. The
	// catalog sets it.
	CriticalSince int64 `json:"-" codec:",omitempty"`
}

// HealthEntry is one instance with its node and all checks that decide its health: those of
// the node and its own.
type HealthEntry struct {
	Node    *Node
	Service *ServiceInstance
	Checks  []*Check
}

// Status is the worst status among the entry's checks; passing when it has none.
func (e *HealthEntry) Status() string { return WorstStatus(e.Checks) }

// WorstStatus is critical, warning or passing, whichever is worst among checks.
func WorstStatus(checks []*Check) string {
	worst := StatusPassing
	for _, c := range checks {
		switch c.Status {
		case StatusCritical:
			return StatusCritical
		case StatusWarning:
			worst = StatusWarning
		}
	}
	return worst
}

// NodeServices is all that the catalog has of one node.
type NodeServices struct {
	Node     *Node
	Services []*ServiceInstance
	Checks   []*Check
}

// Registration puts a node, and with it an instance and checks, into the catalog. Present
// members replace what is there; absent ones are left as they are. A registration that changes
// nothing raises no index.
type Registration struct {
	ID              string
	Node            string
	Address         string
	Datacenter      string
	TaggedAddresses map[string]string
	NodeMeta        map[string]string
	Service         *ServiceInstance
	Check           *Check
	Checks          []*Check
	SkipNodeUpdate  bool
}

// Deregistration takes out a check (CheckID), an instance with its checks (ServiceID), or a
// node with everything on it (neither). What is not there is no error.
type Deregistration struct {
	Node       string
	Datacenter string
	Address    string // accepted for old clients, ignored
	ServiceID  string
	CheckID    string

	// Owner, when set, makes an instance's removal conditional: it is removed only while its
	// metadata value under MetaOwner equals Owner, so that the death of an old container never
	// removes its successor.
	Owner string `json:",omitempty"`

	// Forget leaves word for the node's agent that it shall not bring back what was taken out
	// (Node.Forgotten); Forgotten, from that agent, only takes the word of it away again.
	Forget    bool `json:"-" codec:",omitempty"`
	Forgotten bool `json:"-" codec:",omitempty"`

	// Overdue takes out the service of check CheckID, if that check still asks for it by its
	// DeregisterCriticalServiceAfter and no living agent does it. The leader alone sets it.
	Overdue bool `json:"-" codec:",omitempty"`
}

// CatalogOp is one entry of a batched catalog write: exactly one member is set.
type CatalogOp struct {
	Register   *Registration   `json:",omitempty"`
	Deregister *Deregistration `json:",omitempty"`
}

// Metadata keys under the reserved prefix; users cannot set them.
const (
	MetaPrefix      = "berth-"
	MetaSource      = "berth-source"    // who desires the instance: "docker"
	MetaOwner       = "berth-owner"     // <engine id>/<container id>/<started-at>, see Deregistration.Owner
	MetaContainer   = "berth-container" // first 12 characters of the container ID
	MetaImage       = "berth-image"
	MetaProto       = "berth-proto"
	MetaEngine      = "berth-engine"
	MetaStarted     = "berth-started"
	MetaOrigName    = "berth-original-name"
	MetaDNSTTL      = "berth-dns-ttl" // duration: DNS TTL of the instance's service
	MetaNodeVersion = "consul-version"
)

// Change says what a committed write touched, for readers that keep something derived from
// the catalog. Exactly one member is set.
type Change struct {
	Service string // instances of this service name, their checks, or their nodes changed
	Node    string // this node's row or its serfHealth check changed, came or went
	All     bool   // the whole catalog was replaced
}

// Usage counts what is in the catalog.
type Usage struct {
	Nodes            int
	Services         int
	ServiceInstances int
}

// Consistency of a read.
type Consistency string

// Read modes: default answers at the leader from its state, consistent after it has verified
// that it still leads, stale at whoever is asked.
const (
	ConsistencyDefault    Consistency = "leader"
	ConsistencyConsistent Consistency = "consistent"
	ConsistencyStale      Consistency = "stale"
)

// QueryOptions of a catalog, health, KV or session read.
type QueryOptions struct {
	MinIndex    uint64        // above 0: wait until the result's index is larger
	MaxWait     time.Duration // how long to wait; 0: the default (5 min), capped at 10 min
	Consistency Consistency   // "" is ConsistencyDefault
	NodeMeta    map[string]string
	Near        string // node name: order results by round-trip time from it
	Token       string

	// Instances is for lists of services that are selected by what their instances are: any change
	// of an instance or a node counts, not only names and tags. NodeMeta implies it.
	Instances bool
}

// QueryMeta goes with the result of a read.
type QueryMeta struct {
	Index       uint64 // never 0
	LastContact time.Duration
	KnownLeader bool
}

// Name is what an IP address belongs to: a node (Service empty) or a service.
type Name struct {
	Node    string
	Service string
}

// Route says where a request has to run; the zero value is "on any server".
type Route struct {
	Datacenter string        // "" is the local one
	Leader     bool          // a write, or a read in default or consistent mode
	Stale      bool          // any replica will do, this agent's own too
	MaxStale   time.Duration // with Stale: at most this long out of touch; 0 is any
	Servers    bool          // with Stale: reads more than nodes, services and checks, which only servers have
}
