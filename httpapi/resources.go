package httpapi

import (
	"context"
	"io"
	"net/http"

	"berth"
)

// The interfaces below are what the handlers need, one per resource, and are satisfied by
// *store.Store, *agent.Agent and *registrator.Registrator. Values that a read returns are
// shared and are never changed here.

// Catalog reads nodes and instances. Reads wait while q.MinIndex is not passed.
type Catalog interface {
	Nodes(ctx context.Context, q berth.QueryOptions) ([]*berth.Node, berth.QueryMeta, error)
	// Node finds a node by name or ID prefix; nil when there is none.
	Node(ctx context.Context, nameOrIDPrefix string, q berth.QueryOptions) (*berth.NodeServices, berth.QueryMeta, error)
	Services(ctx context.Context, q berth.QueryOptions) (map[string][]string, berth.QueryMeta, error)
	// Service gives all instances of a service, whatever their health. A slice that is the same as
	// an earlier one has the same content.
	Service(ctx context.Context, name string, q berth.QueryOptions) ([]*berth.HealthEntry, berth.QueryMeta, error)
	// Datacenters gives the local one first, then by distance.
	Datacenters() []string
}

// Registrar writes to the catalog.
type Registrar interface {
	Register(ctx context.Context, r *berth.Registration) error
	Deregister(ctx context.Context, d *berth.Deregistration) error
}

// Health reads checks.
type Health interface {
	NodeChecks(ctx context.Context, node string, q berth.QueryOptions) ([]*berth.Check, berth.QueryMeta, error)
	ServiceChecks(ctx context.Context, service string, q berth.QueryOptions) ([]*berth.Check, berth.QueryMeta, error)
	StateChecks(ctx context.Context, status string, q berth.QueryOptions) ([]*berth.Check, berth.QueryMeta, error)
}

// KV is the key/value store.
type KV interface {
	KVGet(ctx context.Context, key string, q berth.QueryOptions) (*berth.KVEntry, berth.QueryMeta, error) // nil: missing
	KVList(ctx context.Context, prefix string, q berth.QueryOptions) ([]*berth.KVEntry, berth.QueryMeta, error)
	KVKeys(ctx context.Context, prefix, separator string, q berth.QueryOptions) ([]string, berth.QueryMeta, error)
	KVApply(ctx context.Context, op berth.KVOp) (bool, error)
}

// Sessions are the leased owners of locks.
type Sessions interface {
	Session(ctx context.Context, id string, q berth.QueryOptions) (*berth.Session, berth.QueryMeta, error) // nil: unknown
	Sessions(ctx context.Context, node string, q berth.QueryOptions) ([]*berth.Session, berth.QueryMeta, error)
	SessionCreate(ctx context.Context, s *berth.Session) (id string, err error)
	SessionDestroy(ctx context.Context, id string) error
	SessionRenew(ctx context.Context, id string) (*berth.Session, error) // berth.ErrSessionNotFound
}

// Events are the user events that gossip spreads.
type Events interface {
	FireEvent(ctx context.Context, e *berth.UserEvent) error
	Events() []*berth.UserEvent     // oldest first
	EventsChanged() <-chan struct{} // closed at the next event
}

// Txn runs several operations as one.
type Txn interface {
	Txn(ctx context.Context, ops []berth.TxnOp) (berth.TxnResponse, error)
	TxnRead(ctx context.Context, ops []berth.TxnOp, q berth.QueryOptions) (berth.TxnResponse, berth.QueryMeta, error)
}

// Coordinates are positions in round-trip-time space.
type Coordinates interface {
	Coordinates(ctx context.Context, node string, q berth.QueryOptions) ([]berth.NodeCoordinate, berth.QueryMeta, error)
	DatacenterCoordinates() []berth.DatacenterCoordinates
	CoordinateUpdate(ctx context.Context, c berth.NodeCoordinate) error
}

// Queries are the prepared queries.
type Queries interface {
	Query(ctx context.Context, idOrName string, q berth.QueryOptions) (*berth.PreparedQuery, berth.QueryMeta, error) // nil: unknown
	Queries(ctx context.Context, q berth.QueryOptions) ([]*berth.PreparedQuery, berth.QueryMeta, error)
	QueryApply(ctx context.Context, verb string, q *berth.PreparedQuery) (id string, err error) // create, update, delete
	QueryExecute(ctx context.Context, idOrName string, from berth.QuerySource, limit int) (*berth.QueryResult, berth.QueryMeta, error)
	QueryExplain(ctx context.Context, idOrName string) (*berth.PreparedQuery, error)
}

// Status says who leads.
type Status interface {
	Leader() string // host:port, or ""
	Peers() []string
}

// Raft is the operator's hand on the set of servers.
type Raft interface {
	RaftConfiguration(ctx context.Context) ([]berth.Server, uint64, error)
	RaftRemovePeer(ctx context.Context, id, address string) error
	TransferLeader(ctx context.Context, id string) error
}

// Autopilot looks after the servers.
type Autopilot interface {
	AutopilotConfig() (berth.AutopilotConfig, error)
	SetAutopilotConfig(ctx context.Context, c berth.AutopilotConfig, cas bool) (bool, error)
	AutopilotHealth() (berth.AutopilotHealth, error)
}

// Operator is what the endpoints below /v1/operator need.
type Operator interface {
	Raft
	Autopilot
	Keyring(ctx context.Context, op, key string, relay int, localOnly bool) ([]berth.KeyringResponse, error) // list, install, use, remove
	Usage(ctx context.Context, q berth.QueryOptions) (berth.Usage, berth.QueryMeta, error)
}

// Snapshots save and restore the whole state.
type Snapshots interface {
	SnapshotSave(ctx context.Context, w io.Writer) error
	SnapshotRestore(ctx context.Context, r io.Reader) error
}

// Members is the gossip side of this agent.
type Members interface {
	Members(wan bool) []berth.Member
	LocalMember() berth.Member
	Coordinate() *berth.Coordinate
	Join(addrs []string, wan bool) (int, error)
	Leave(ctx context.Context) error
	ForceLeave(node string, prune, wan bool) error
}

// Forwarder puts requests where they can be answered. Forward returns true when it has answered
// the request from elsewhere, or has answered with an error because there is nowhere to go;
// false when nothing was written and the request shall run here.
type Forwarder interface {
	Forward(w http.ResponseWriter, r *http.Request, route berth.Route) bool
}

// Store is all that the replicated side offers; *store.Store satisfies it.
type Store interface {
	Catalog
	Registrar
	Health
	KV
	Sessions
	Events
	Txn
	Coordinates
	Queries
	Status
	Operator
	Snapshots
	Members
	Forwarder
	Stats() map[string]map[string]string
}

// AgentServices are the service instances of this host.
type AgentServices interface {
	Services() []*berth.ServiceInstance // sorted by ID
	RegisterService(ctx context.Context, def *berth.ServiceDefinition, replaceChecks bool) error
	DeregisterService(ctx context.Context, id string) error     // berth.ErrUnknownService
	ServiceMaintenance(id string, on bool, reason string) error // berth.ErrUnknownService
	Forget(ctx context.Context, d *berth.Deregistration) bool   // drop what a catalog deregistration takes out
}

// AgentChecks are the checks of this host.
type AgentChecks interface {
	Checks() []*berth.Check                                              // sorted by CheckID
	RegisterCheck(ctx context.Context, def *berth.CheckDefinition) error // berth.ErrUnknownService for its ServiceID
	DeregisterCheck(ctx context.Context, id string) error                // berth.ErrUnknownCheck
	UpdateTTL(id, status, output string) error                           // berth.ErrUnknownCheck, berth.ErrNotTTL
}

// Agent is this host's side; *agent.Agent satisfies it.
type Agent interface {
	AgentServices
	AgentChecks
	NodeMaintenance(on bool, reason string) error
	Watch() <-chan struct{} // closed at the next local change
}

// Explainer says what became of each container; *registrator.Registrator satisfies it.
type Explainer interface {
	Explain(container string) []berth.ContainerReport // "" all; name, ID or prefix
}

// Verbs of an Access.
const (
	Read  = "read"
	Write = "write"
	List  = "list"
)

// Access is what a request wants to do: a verb on a resource (agent, event, key, keyring, node,
// operator, query, service, session, acl), with the resource's name where the request tells it.
type Access struct {
	Resource string
	Verb     string
	Name     string
}

// Authorizer decides what the holder of a token may do. Authorize returns nil or an error that
// wraps berth.ErrPermissionDenied. It is asked once or more for every request.
type Authorizer interface {
	Authorize(ctx context.Context, token string, a Access) error
}

// allowAll is the Authorizer until access control is configured.
type allowAll struct{}

func (allowAll) Authorize(context.Context, string, Access) error { return nil }

// Tokens are the tokens that this agent uses by itself.
type Tokens interface {
	UserToken() string // for requests that bring none; "" is the anonymous one
	// SetToken replaces the token of a kind: default, agent, agent_recovery, replication,
	// config_file_service_registration or dns.
	SetToken(kind, token string) error
}
