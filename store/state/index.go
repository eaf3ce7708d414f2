package state

import (
	"sync/atomic"

	"berth"
)

// globals is the one row of its table: the index of the last change of each table, and counts.
type globals struct {
	Nodes       uint64 // rows of nodes only, not what is on them
	Services    uint64
	Checks      uint64
	KV          uint64
	Tombstones  uint64 // the newest tombstone, kept when it is reaped
	Forgotten   uint64 // the newest deletion of keys that has no tombstone (any more)
	Sessions    uint64
	Coordinates uint64
	Queries     uint64
	Autopilot   uint64

	ServiceNames uint64 // the set of service names and their tags
	Usage        uint64 // the counts below

	// The index of what is not there: raised when any service lost its last instance, or any
	// node went, so that whoever waits for the gone one is woken with a larger index.
	ServiceExtinction uint64
	NodeExtinction    uint64

	NodeCount     int
	ServiceCount  int
	InstanceCount int
}

// member is one index of globals under the name that snapshots have for it.
type member struct {
	kind    string // append-only: snapshots have it
	index   *uint64
	catalog bool // a replica has it too
}

func (g *globals) members() []member {
	return []member{
		{"nodes", &g.Nodes, true},
		{"services", &g.Services, true},
		{"checks", &g.Checks, true},
		{"service-names", &g.ServiceNames, true},
		{"usage", &g.Usage, true},
		{"service-extinction", &g.ServiceExtinction, true},
		{"node-extinction", &g.NodeExtinction, true},
		{"kv", &g.KV, false},
		{"tombstones", &g.Tombstones, false},
		{"forgotten", &g.Forgotten, false},
		{"sessions", &g.Sessions, false},
		{"coordinates", &g.Coordinates, false},
		{"queries", &g.Queries, false},
		{"autopilot", &g.Autopilot, false},
	}
}

// mark is the row of an index of globals that is watched by itself: it is replaced when that
// index is raised, whereas the row of globals is with every write.
type mark struct{ kind string }

// Marks.
const (
	markServiceNames = "service-names"
	markUsage        = "usage"
)

// serviceRow stands for a service name that has instances. It is replaced whenever anything
// changes in what a health query for the name answers, and at no other time; so its watch
// fires exactly then, and what was computed from one row holds as long as the row does.
type serviceRow struct {
	key       string // lower-cased name
	Index     uint64
	instances int

	entries atomic.Pointer[[]*berth.HealthEntry]
	before  atomic.Pointer[stale]      // nil once there are entries
	tags    atomic.Pointer[[]nameTags] // taken over by the next row unless names or tags changed
}

// nameTags is a service name as it is written, and the union of its instances' tags.
type nameTags struct {
	name string
	tags []string
}

// nodeRow keeps the index of the last removal of an instance or check from a node. That of all
// else on it is in the rows themselves.
type nodeRow struct {
	key   string // lower-cased name
	Index uint64
}

// touchedService is what a Tx did to a service name so far.
type touchedService struct {
	index     uint64
	instances int
	tags      bool // names or tags changed
	dirty     dirt
}
