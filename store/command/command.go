package command

import "berth"

// Type is the first byte of a log entry.
type Type byte

// Types of commands. The numbers are in the log: append only, never reuse.
const (
	TypeBatch       Type = 1
	TypeCatalog     Type = 2
	TypeKV          Type = 3
	TypeSession     Type = 4
	TypeTxn         Type = 5
	TypeReap        Type = 6
	TypeCoordinates Type = 7
	TypeQuery       Type = 8
	TypeAutopilot   Type = 9

	// Ignorable is the bit of a type that servers may skip when they do not know it.
	Ignorable Type = 0x80
)

// Verbs of Session and Query.
const (
	VerbCreate  = "create"
	VerbUpdate  = "update"
	VerbDelete  = "delete"
	VerbDestroy = "destroy"
)

// Command is one of the structs below.
type Command interface {
	// Type is the number under which the command is in the log.
	Type() Type
}

// Catalog registers and deregisters nodes, instances and checks, in order. Each op is taken or
// refused by itself.
type Catalog struct {
	Now int64 // proposer's wall clock, Unix nanoseconds: starts lock-delays of sessions that end
	Ops []berth.CatalogOp
}

// KV is one write to the key/value store.
type KV struct {
	Now int64 // proposer's wall clock, Unix nanoseconds: decides whether a lock-delay is over
	Op  berth.KVOp
}

// Session creates (VerbCreate, the proposer has chosen the ID) or destroys (VerbDestroy, only
// the ID is used) a session.
type Session struct {
	Now     int64 // proposer's wall clock, Unix nanoseconds
	Verb    string
	Session berth.Session
}

// Txn applies all its ops or none.
type Txn struct {
	Now int64 // proposer's wall clock, Unix nanoseconds
	Ops []berth.TxnOp
}

// Reap forgets the tombstones of deletions at or before Index, and the lock-delays that are
// over at Now.
type Reap struct {
	Now   int64 // proposer's wall clock, Unix nanoseconds
	Index uint64
}

// Coordinates sets the network coordinates of nodes; those of unknown nodes are dropped.
type Coordinates struct {
	Updates []berth.NodeCoordinate
}

// Query creates, updates (both set the row) or deletes a prepared query; the proposer has
// chosen the ID.
type Query struct {
	Verb  string
	Query berth.PreparedQuery
}

// Autopilot sets the autopilot configuration; with CAS only while the stored one has
// Config.ModifyIndex.
type Autopilot struct {
	Config berth.AutopilotConfig
	CAS    bool
}

// Batch is several encoded commands in one log entry. They are applied in order at the same
// index, each with a result of its own. A batch in a batch is refused.
type Batch struct {
	Members [][]byte
}

// Type is TypeCatalog.
func (*Catalog) Type() Type { return TypeCatalog }

// Type is TypeKV.
func (*KV) Type() Type { return TypeKV }

// Type is TypeSession.
func (*Session) Type() Type { return TypeSession }

// Type is TypeTxn.
func (*Txn) Type() Type { return TypeTxn }

// Type is TypeReap.
func (*Reap) Type() Type { return TypeReap }

// Type is TypeCoordinates.
func (*Coordinates) Type() Type { return TypeCoordinates }

// Type is TypeQuery.
func (*Query) Type() Type { return TypeQuery }

// Type is TypeAutopilot.
func (*Autopilot) Type() Type { return TypeAutopilot }

// Type is TypeBatch.
func (*Batch) Type() Type { return TypeBatch }

// Result is what applying a command gave: the Response of a raft.ApplyFuture.
type Result struct {
	// Index is the log index at which the command was applied.
	Index uint64
	// Err is why the command was refused as a whole; nothing was written then.
	Err error
	// Errs belongs to Catalog: Errs[i] is why op i was refused; nil when all were taken.
	Errs []error
	// OK is false when a KV or Autopilot compare failed or a lock was not free.
	OK bool
	// Txn is the outcome of a Txn.
	Txn berth.TxnResponse
	// Members are the results of a Batch's members, in order.
	Members []Result
	// Ignored is set for an Ignorable type that this server does not know.
	Ignored bool
}
