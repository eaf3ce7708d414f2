package berth

// KVEntry is one key of the key/value store.
type KVEntry struct {
	LockIndex   uint64
	Key         string
	Flags       uint64
	Value       []byte
	Session     string `json:",omitempty"` // holder of the lock
	CreateIndex uint64
	ModifyIndex uint64
}

// KV write verbs; in transactions also the reading ones.
const (
	KVSet            = "set"
	KVDelete         = "delete"
	KVDeleteCAS      = "delete-cas"
	KVDeleteTree     = "delete-tree"
	KVCAS            = "cas"
	KVLock           = "lock"
	KVUnlock         = "unlock"
	KVGet            = "get"
	KVGetOrEmpty     = "get-or-empty"
	KVGetTree        = "get-tree"
	KVCheckSession   = "check-session"
	KVCheckIndex     = "check-index"
	KVCheckNotExists = "check-not-exists"
)

// KVOp is one operation on a key. For cas, delete-cas and check-index Entry.ModifyIndex is the
// index to compare; for lock, unlock and check-session Entry.Session is the session.
type KVOp struct {
	Verb  string
	Entry KVEntry
}

// Session behaviours: what happens to held keys when a session ends.
const (
	SessionRelease = "release"
	SessionDelete  = "delete"
)

// Session is the leased owner of locks.
type Session struct {
	ID            string
	Name          string
	Node          string
	LockDelay     int64 // nanoseconds
	Behavior      string
	TTL           string // Go duration; "" never expires by time
	NodeChecks    []string
	ServiceChecks []SessionServiceCheck
	CreateIndex   uint64
	ModifyIndex   uint64
}

// SessionServiceCheck names a service check that a session is bound to.
type SessionServiceCheck struct {
	ID        string
	Namespace string `json:",omitempty"`
}

// TxnOp is one operation of a transaction: exactly one member is set.
type TxnOp struct {
	KV      *KVOp         `json:",omitempty"`
	Node    *TxnNodeOp    `json:",omitempty"`
	Service *TxnServiceOp `json:",omitempty"`
	Check   *TxnCheckOp   `json:",omitempty"`
	Session *TxnSessionOp `json:",omitempty"`
}

// TxnNodeOp works on a node: get, set, cas, delete or delete-cas.
type TxnNodeOp struct {
	Verb string
	Node Node
}

// TxnServiceOp works on an instance of a node: get, set, cas, delete or delete-cas.
type TxnServiceOp struct {
	Verb    string
	Node    string
	Service ServiceInstance
}

// TxnCheckOp works on a check: get, set, cas, delete or delete-cas.
type TxnCheckOp struct {
	Verb  string
	Check Check
}

// TxnSessionOp deletes a session.
type TxnSessionOp struct {
	Verb    string
	Session Session
}

// TxnResult is what one operation of a transaction gave.
type TxnResult struct {
	KV      *KVEntry         `json:",omitempty"`
	Node    *Node            `json:",omitempty"`
	Service *ServiceInstance `json:",omitempty"`
	Check   *Check           `json:",omitempty"`
}

// TxnError says which operation of a transaction failed; then none was applied.
type TxnError struct {
	OpIndex int
	What    string
}

// TxnResponse is the outcome of a transaction. Errors is empty when it was applied.
type TxnResponse struct {
	Results []*TxnResult
	Errors  []*TxnError
}
