package store_test

import (
	"context"
	"io"
	"net/http"

	"berth"
	"berth/store"
)

// seams is what docs/architecture.md promises of a Store.
type seams interface {
	Nodes(context.Context, berth.QueryOptions) ([]*berth.Node, berth.QueryMeta, error)
	Node(context.Context, string, berth.QueryOptions) (*berth.NodeServices, berth.QueryMeta, error)
	Services(context.Context, berth.QueryOptions) (map[string][]string, berth.QueryMeta, error)
	Service(context.Context, string, berth.QueryOptions) ([]*berth.HealthEntry, berth.QueryMeta, error)
	NodeChecks(context.Context, string, berth.QueryOptions) ([]*berth.Check, berth.QueryMeta, error)
	ServiceChecks(context.Context, string, berth.QueryOptions) ([]*berth.Check, berth.QueryMeta, error)
	StateChecks(context.Context, string, berth.QueryOptions) ([]*berth.Check, berth.QueryMeta, error)
	KVGet(context.Context, string, berth.QueryOptions) (*berth.KVEntry, berth.QueryMeta, error)
	KVList(context.Context, string, berth.QueryOptions) ([]*berth.KVEntry, berth.QueryMeta, error)
	KVKeys(context.Context, string, string, berth.QueryOptions) ([]string, berth.QueryMeta, error)
	Session(context.Context, string, berth.QueryOptions) (*berth.Session, berth.QueryMeta, error)
	Sessions(context.Context, string, berth.QueryOptions) ([]*berth.Session, berth.QueryMeta, error)
	Coordinates(context.Context, string, berth.QueryOptions) ([]berth.NodeCoordinate, berth.QueryMeta, error)
	DatacenterCoordinates() []berth.DatacenterCoordinates
	Query(context.Context, string, berth.QueryOptions) (*berth.PreparedQuery, berth.QueryMeta, error)
	Queries(context.Context, berth.QueryOptions) ([]*berth.PreparedQuery, berth.QueryMeta, error)
	Usage(context.Context, berth.QueryOptions) (berth.Usage, berth.QueryMeta, error)
	TxnRead(context.Context, []berth.TxnOp, berth.QueryOptions) (berth.TxnResponse, berth.QueryMeta, error)
	Datacenters() []string

	Register(context.Context, *berth.Registration) error
	Deregister(context.Context, *berth.Deregistration) error
	Write(context.Context, []berth.CatalogOp) ([]error, error)
	NodeState(context.Context, string) (*berth.NodeServices, error)
	KVApply(context.Context, berth.KVOp) (bool, error)
	Txn(context.Context, []berth.TxnOp) (berth.TxnResponse, error)
	SessionCreate(context.Context, *berth.Session) (string, error)
	SessionDestroy(context.Context, string) error
	SessionRenew(context.Context, string) (*berth.Session, error)
	QueryApply(context.Context, string, *berth.PreparedQuery) (string, error)
	QueryExecute(context.Context, string, berth.QuerySource, int) (*berth.QueryResult, berth.QueryMeta, error)
	QueryExplain(context.Context, string) (*berth.PreparedQuery, error)
	CoordinateUpdate(context.Context, berth.NodeCoordinate) error
	SnapshotSave(context.Context, io.Writer) error
	SnapshotRestore(context.Context, io.Reader) error

	Leader() string
	Peers() []string
	RaftConfiguration(context.Context) ([]berth.Server, uint64, error)
	RaftRemovePeer(context.Context, string, string) error
	TransferLeader(context.Context, string) error
	AutopilotConfig() (berth.AutopilotConfig, error)
	SetAutopilotConfig(context.Context, berth.AutopilotConfig, bool) (bool, error)
	AutopilotHealth() (berth.AutopilotHealth, error)
	Members(bool) []berth.Member
	LocalMember() berth.Member
	Coordinate() *berth.Coordinate
	Join([]string, bool) (int, error)
	Leave(context.Context) error
	ForceLeave(string, bool, bool) error
	FireEvent(context.Context, *berth.UserEvent) error
	Events() []*berth.UserEvent
	EventsChanged() <-chan struct{}
	Keyring(context.Context, string, string, int, bool) ([]berth.KeyringResponse, error)
	Stats() map[string]map[string]string

	Forward(http.ResponseWriter, *http.Request, berth.Route) bool
	Handle(http.Handler)
	View() *store.View
	OnChange(func([]berth.Change))
	Run(context.Context) error
}

var _ seams = (*store.Store)(nil)
