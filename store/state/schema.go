package state

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"berth"

	"github.com/hashicorp/go-memdb"
)

// Tables.
const (
	tableNodes       = "nodes"
	tableServices    = "services"
	tableChecks      = "checks"
	tableKV          = "kv"
	tableTombstones  = "tombstones"
	tableLockDelays  = "lock_delays"
	tableSessions    = "sessions"
	tableCoordinates = "coordinates"
	tableQueries     = "queries"
	tableAutopilot   = "autopilot"

	tableRefs = "refs" // see ref.go

	// Index tables: see index.go.
	tableGlobals      = "globals"
	tableMarks        = "marks"
	tableServiceIndex = "service_index"
	tableNodeIndex    = "node_index"
)

// Secondary indexes; every table also has "id".
const (
	byID       = "id"
	byUUID     = "uuid"
	byAddr     = "addr"
	byName     = "name"
	byStatus   = "status"
	byIndex    = "index"
	bySession  = "session"
	byNode     = "node"
	byCheck    = "check"
	byTemplate = "template"
)

// key joins parts, each ended by a zero byte, so that a key of fewer parts is a prefix of the
// longer ones below it and of nothing else.
type key []byte

func joinKey(parts ...string) key {
	n := len(parts)
	for _, p := range parts {
		n += len(p)
	}
	k := make(key, 0, n)
	for _, p := range parts {
		k = append(k, p...)
		k = append(k, 0)
	}
	return k
}

// fold is how names are compared: without regard to case, as DNS does.
func fold(s string) string { return strings.ToLower(s) }

// indexer makes a table's keys with a function; look-ups pass a ready key.
type indexer[T any] struct {
	of func(row T) key // nil: the row is not in this index
}

// FromObject implements memdb.SingleIndexer.
func (x indexer[T]) FromObject(obj any) (bool, []byte, error) {
	row, ok := obj.(T)
	if !ok {
		return false, nil, fmt.Errorf("row is a %T", obj)
	}
	k := x.of(row)
	return k != nil, k, nil
}

// FromArgs implements memdb.Indexer.
func (x indexer[T]) FromArgs(args ...any) ([]byte, error) {
	k, ok := args[0].(key)
	if len(args) != 1 || !ok {
		return nil, fmt.Errorf("look-up takes one key, got %v", args)
	}
	return k, nil
}

// PrefixFromArgs implements memdb.PrefixIndexer.
func (x indexer[T]) PrefixFromArgs(args ...any) ([]byte, error) { return x.FromArgs(args...) }

// multiIndexer is indexer for rows that stand under several keys.
type multiIndexer[T any] struct {
	of func(row T) [][]byte
}

// FromObject implements memdb.MultiIndexer.
func (x multiIndexer[T]) FromObject(obj any) (bool, [][]byte, error) {
	row, ok := obj.(T)
	if !ok {
		return false, nil, fmt.Errorf("row is a %T", obj)
	}
	ks := x.of(row)
	return len(ks) > 0, ks, nil
}

// FromArgs implements memdb.Indexer.
func (x multiIndexer[T]) FromArgs(args ...any) ([]byte, error) {
	return indexer[T]{}.FromArgs(args...)
}

func table(name string, indexes ...*memdb.IndexSchema) *memdb.TableSchema {
	t := &memdb.TableSchema{Name: name, Indexes: make(map[string]*memdb.IndexSchema, len(indexes))}
	for _, x := range indexes {
		t.Indexes[x.Name] = x
	}
	return t
}

func id[T any](of func(T) key) *memdb.IndexSchema {
	return &memdb.IndexSchema{Name: byID, Unique: true, Indexer: indexer[T]{of}}
}

func secondary[T any](name string, of func(T) key) *memdb.IndexSchema {
	return &memdb.IndexSchema{Name: name, AllowMissing: true, Indexer: indexer[T]{of}}
}

func schema() *memdb.DBSchema {
	s := &memdb.DBSchema{Tables: make(map[string]*memdb.TableSchema)}
	for _, t := range append(catalogTables(), otherTables()...) {
		s.Tables[t.Name] = t
	}
	return s
}

func catalogTables() []*memdb.TableSchema {
	return []*memdb.TableSchema{
		table(tableNodes,
			id(func(n *berth.Node) key { return nodeKey(n.Name) }),
			secondary(byUUID, func(n *berth.Node) key { return uuidKey(n.ID) }),
			secondary(byAddr, func(n *berth.Node) key { return addrKey(n.Address) })),
		table(tableServices,
			id(func(s *berth.ServiceInstance) key { return instanceKey(s.Node, s.ID) })),
		table(tableChecks,
			id(func(c *berth.Check) key { return instanceKey(c.Node, c.CheckID) }),
			secondary(byStatus, statusKey)),
		table(tableRefs, id(func(r *ref) key { return r.key })),
		table(tableGlobals, id(func(*globals) key { return globalsKey() })),
		table(tableMarks, id(func(m *mark) key { return joinKey(m.kind) })),
		table(tableServiceIndex, id(func(r *serviceRow) key { return joinKey(r.key) })),
		table(tableNodeIndex, id(func(r *nodeRow) key { return joinKey(r.key) })),
	}
}

func otherTables() []*memdb.TableSchema {
	return []*memdb.TableSchema{
		table(tableKV,
			id(func(e *berth.KVEntry) key { return kvKey(e.Key) }),
			secondary(bySession, func(e *berth.KVEntry) key { return optionalKey(e.Session) })),
		table(tableTombstones,
			id(func(t *Tombstone) key { return kvKey(t.Key) }),
			secondary(byIndex, func(t *Tombstone) key { return indexKey(t.Index) })),
		table(tableLockDelays, id(func(d *LockDelay) key { return kvKey(d.Key) })),
		table(tableSessions,
			id(func(s *berth.Session) key { return joinKey(fold(s.ID)) }),
			secondary(byNode, func(s *berth.Session) key { return nodeKey(s.Node) }),
			&memdb.IndexSchema{Name: byCheck, AllowMissing: true, Indexer: multiIndexer[*berth.Session]{sessionCheckKeys}}),
		table(tableCoordinates,
			id(func(c *berth.NodeCoordinate) key { return instanceKey(c.Node, c.Segment) })),
		table(tableQueries,
			id(func(q *preparedQuery) key { return joinKey(fold(q.ID)) }),
			&memdb.IndexSchema{Name: byName, Unique: true, AllowMissing: true, Indexer: indexer[*preparedQuery]{queryNameKey}},
			&memdb.IndexSchema{Name: byTemplate, Unique: true, AllowMissing: true, Indexer: indexer[*preparedQuery]{queryTemplateKey}},
			secondary(bySession, func(q *preparedQuery) key { return optionalKey(q.Session) })),
		table(tableAutopilot, id(func(*berth.AutopilotConfig) key { return globalsKey() })),
	}
}

func nodeKey(name string) key { return joinKey(fold(name)) }

// instanceKey is the key of what is unique on a node: an instance or a check.
func instanceKey(node, id string) key { return joinKey(fold(node), fold(id)) }

func optionalKey(s string) key {
	if s == "" {
		return nil
	}
	return joinKey(fold(s))
}

// statusKey is nil for passing checks: most are, and keeping them would cost each write.
func statusKey(c *berth.Check) key {
	if c.Status == berth.StatusPassing {
		return nil
	}
	return joinKey(c.Status)
}

// uuidKey has no zero byte before its end, so that the first characters of an ID find it.
func uuidKey(id string) key {
	if id == "" {
		return nil
	}
	return append(key(fold(id)), 0)
}

// addrKey is nil for host names: they have no reverse look-up.
func addrKey(s string) key {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return nil
	}
	return ipKey(a)
}

func ipKey(a netip.Addr) key {
	b := a.Unmap().WithZone("").As16()
	return b[:]
}

// kvKey keeps the key's bytes as they are: prefixes of keys are prefixes in the table.
func kvKey(k string) key { return key(k) }

func indexKey(i uint64) key {
	return binary.BigEndian.AppendUint64(nil, i)
}

func globalsKey() key { return key{1} }

func sessionCheckKeys(s *berth.Session) [][]byte {
	ks := make([][]byte, 0, len(s.NodeChecks)+len(s.ServiceChecks))
	seen := make(map[string]bool, cap(ks))
	add := func(check string) {
		k := instanceKey(s.Node, check)
		if !seen[string(k)] {
			seen[string(k)] = true
			ks = append(ks, k)
		}
	}
	for _, c := range s.NodeChecks {
		add(c)
	}
	for _, c := range s.ServiceChecks {
		add(c.ID)
	}
	return ks
}
