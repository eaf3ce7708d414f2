package state

import (
	"iter"

	"berth"
)

// Record is one row of the state as snapshots have it: exactly one member is set.
type Record struct {
	Node       *berth.Node            `codec:",omitempty"`
	Service    *berth.ServiceInstance `codec:",omitempty"`
	Check      *berth.Check           `codec:",omitempty"`
	Session    *berth.Session         `codec:",omitempty"`
	KV         *berth.KVEntry         `codec:",omitempty"`
	Tombstone  *Tombstone             `codec:",omitempty"`
	LockDelay  *LockDelay             `codec:",omitempty"`
	Coordinate *berth.NodeCoordinate  `codec:",omitempty"`
	Query      *berth.PreparedQuery   `codec:",omitempty"`
	Autopilot  *berth.AutopilotConfig `codec:",omitempty"`
	Index      *IndexRow              `codec:",omitempty"`
}

// Tombstone marks a deleted key, or prefix, so that the index of what is below a prefix does
// not fall when something below it is deleted.
type Tombstone struct {
	Key   string
	Index uint64
}

// LockDelay keeps a key from being locked until a time, in Unix nanoseconds.
type LockDelay struct {
	Key   string
	Until int64
}

// IndexRow is the index of a service or node (Of is its name in lower case), or of a table or
// another thing there is one of (Of is empty).
type IndexRow struct {
	Kind  string
	Of    string `codec:",omitempty"`
	Index uint64
}

// Kinds of index rows that there are many of; globals.members has the others.
const (
	indexOfService = "service"
	indexOfNode    = "node"
)

// Records yields all rows of all tables, in the order in which a Loader takes them.
func (r *Reader) Records() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		_ = r.catalogRecords(yield) && r.otherRecords(yield) && r.indexRecords(yield, false)
	}
}

// CatalogRecords yields the rows of nodes, services and checks with their indexes, in the
// order in which a Loader takes them: what a replica starts from.
func (r *Reader) CatalogRecords() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		_ = r.catalogRecords(yield) && r.indexRecords(yield, true)
	}
}

func (r *Reader) catalogRecords(yield func(Record) bool) bool {
	return records(r, tableNodes, yield, func(n *berth.Node) Record { return Record{Node: n} }) &&
		records(r, tableServices, yield, func(s *berth.ServiceInstance) Record { return Record{Service: s} }) &&
		records(r, tableChecks, yield, func(c *berth.Check) Record { return Record{Check: c} })
}

func (r *Reader) otherRecords(yield func(Record) bool) bool {
	return records(r, tableSessions, yield, func(s *berth.Session) Record { return Record{Session: s} }) &&
		records(r, tableKV, yield, func(e *berth.KVEntry) Record { return Record{KV: e} }) &&
		records(r, tableTombstones, yield, func(t *Tombstone) Record { return Record{Tombstone: t} }) &&
		records(r, tableLockDelays, yield, func(d *LockDelay) Record { return Record{LockDelay: d} }) &&
		records(r, tableCoordinates, yield, func(c *berth.NodeCoordinate) Record { return Record{Coordinate: c} }) &&
		records(r, tableQueries, yield, func(q *preparedQuery) Record { return Record{Query: &q.PreparedQuery} }) &&
		records(r, tableAutopilot, yield, func(c *berth.AutopilotConfig) Record { return Record{Autopilot: c} })
}

func (r *Reader) indexRecords(yield func(Record) bool, catalog bool) bool {
	ok := records(r, tableServiceIndex, yield, func(s *serviceRow) Record {
		return Record{Index: &IndexRow{Kind: indexOfService, Of: s.key, Index: s.Index}}
	}) && records(r, tableNodeIndex, yield, func(n *nodeRow) Record {
		return Record{Index: &IndexRow{Kind: indexOfNode, Of: n.key, Index: n.Index}}
	})
	g := *r.globals(nil)
	for _, m := range g.members() {
		ok = ok && (catalog && !m.catalog || yield(Record{Index: &IndexRow{Kind: m.kind, Index: *m.index}}))
	}
	return ok
}

// records yields the rows of a table until yield has enough; it returns whether it has not.
func records[T any](r *Reader, table string, yield func(Record) bool, wrap func(*T) Record) bool {
	for row := range each[T](r.txn, nil, table, byID, nil) {
		if !yield(wrap(row)) {
			return false
		}
	}
	return true
}
